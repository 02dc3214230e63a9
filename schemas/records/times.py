"""What is asked of times in records. Pure: "from the future" compares with the broker's append time, never a clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.schemas.errors import PoisonRecord
from weir.schemas.masking import quote
from weir.schemas.records.row_finding import RowFinding, as_integers, poison
from weir.schemas.records.units import EARLIEST_TIME_MS, LATEST_TIME_MS, format_time, name_unit

FUTURE_MS_MAX = 5 * 60 * 1_000
"""A sender's clock may run this far ahead of the broker's."""
LABEL_SLACK_MS = 24 * 60 * 60 * 1_000
"""Many labels carry a date without a time of day: so much may one be older than its event, or ahead of the broker."""


def find_bad_times(batch: pa.RecordBatch, name: str, latest_ms: npt.NDArray[np.int64]) -> Iterator[RowFinding]:
    """Yield times of before computers kept them, which are mostly another unit, and those later than they can be."""
    times = as_integers(batch.column(name))
    expected = f"epoch milliseconds from {format_time(EARLIEST_TIME_MS)[:10]} on"

    def explain_early(row: int) -> PoisonRecord:
        return _wrong_time("event_time_out_of_range", expected, int(times[row]), int(latest_ms[row]), name)

    def explain_late(row: int) -> PoisonRecord:
        latest = int(latest_ms[row])
        return _wrong_time(
            "from_future", f"at most {format_time(latest)} by the broker's time", int(times[row]), latest, name
        )

    yield times < EARLIEST_TIME_MS, explain_early
    yield times > latest_ms, explain_late


def find_early_labels(batch: pa.RecordBatch, event_time: str, label_time: str, event: str) -> RowFinding:
    """Return labels that are older than what they are about."""
    events, labels = as_integers(batch.column(event_time)), as_integers(batch.column(label_time))

    def explain(row: int) -> PoisonRecord:
        expected = f"a label at most a day older than its {event} of {format_time(int(events[row]))}"
        return poison("label_before_event", expected, format_time(int(labels[row])), label_time)

    # both are in range where this is asked, so the sum does not overflow; where it does, a finding stands already
    return labels + LABEL_SLACK_MS < events, explain


def _wrong_time(reason: str, expected: str, found: int, latest_ms: int, field: str) -> PoisonRecord:
    hint = name_unit(found, latest_ms=latest_ms)
    # digits that are a time in some unit are shown as they are; others may be a card number and are masked
    shown = found if hint else format_time(found) if EARLIEST_TIME_MS <= found <= LATEST_TIME_MS else quote(found)
    return PoisonRecord(reason, f"expected {expected}, found {shown} at $.{field}", field, hint)
