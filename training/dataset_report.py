"""What a dataset holds, column by column, next to the last one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.stream import Stream
from weir.training.dataset import Examples, hash_examples
from weir.training.drift.histograms import count_values
from weir.training.drift.measures import compute_psi, expect_by_chance
from weir.training.drift.reference import Reference
from weir.training.labels import build_keys, labels_of, number_keys

MOVED: Final = 0.25
"""A stability index from which a population counts as another one (Siddiqi 2006)."""


@dataclass(frozen=True)
class Column:
    """What one feature holds.

    Attributes:
        missing: share of missing values.
        low: smallest value; None where all are missing.
        high: largest value.
        psi: how far it is from the last dataset, less what chance gives; None without one.
    """

    missing: float
    low: float | None
    high: float | None
    psi: float | None = None


@dataclass(frozen=True)
class DatasetReport:
    """What a dataset holds.

    Attributes:
        sha256: of everything that teaches and judges.
        events: how many.
        from_ms: oldest event time.
        to_ms: newest event time.
        labels: how many, with repeated ones.
        repeated: of them those that say again what another one says.
        labelled: share of the events with a label.
        positive: share of the labels that find true what is learnt.
        notes: what is odd and stops nothing.
        columns: by feature.
    """

    sha256: str
    events: int
    from_ms: int
    to_ms: int
    labels: int
    repeated: int
    labelled: float
    positive: float
    notes: Sequence[str]
    columns: Mapping[str, Column]

    def as_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def as_manifest(self) -> dict[str, Any]:
        """Return what a manifest keeps: the columns are in its histograms."""
        return {key: value for key, value in asdict(self).items() if key != "columns"}


def describe_dataset(
    examples: Examples, labels: pa.Table, stream: Stream, last: Reference | None = None
) -> DatasetReport:
    """Return what a dataset holds.

    Args:
        examples: in event-time order.
        labels: every label of the history.
        stream: whose they are.
        last: of the bundle that was trained last.
    """
    columns = _describe_columns(examples, stream, last)
    said = labels_of(stream)
    keys = build_keys(labels, stream)
    verdicts = pc.drop_null(labels[said.verdict])
    distinct = pa.table([keys, labels[said.time], labels[said.verdict]], ["key", "time", "verdict"])
    return DatasetReport(
        sha256=hash_examples(examples, labels),
        events=len(examples),
        from_ms=int(examples.event_time_ms[0]),
        to_ms=int(examples.event_time_ms[-1]),
        labels=labels.num_rows,
        repeated=labels.num_rows - distinct.group_by(distinct.column_names).aggregate([]).num_rows,
        labelled=share_of(pc.is_in(examples.keys, value_set=keys)),
        positive=share_of(verdicts),
        notes=tuple(_list_notes(columns)),
        columns=columns,
    )


def _describe_columns(examples: Examples, stream: Stream, last: Reference | None) -> dict[str, Column]:
    recent, keys = _take_recent(examples, last) if last else (examples.features[:0], 0)
    described = {}
    for at, name in enumerate(stream.feature_names):
        values = examples.features[:, at]
        present = values[~np.isnan(values)]
        described[name] = Column(
            missing=1 - len(present) / len(values),
            low=float(present.min()) if len(present) else None,
            high=float(present.max()) if len(present) else None,
            psi=_compute_psi(last, name, recent[:, at], keys),
        )
    return described


def _take_recent(examples: Examples, last: Reference) -> tuple[npt.NDArray[np.float32], int]:
    """Return the newest rows over as long a time as the last dataset's, and how many keys they are of."""
    newest = int(examples.event_time_ms[-1])
    rows = examples.take(examples.event_time_ms > newest - (last.to_ms - last.from_ms))
    return rows.features, len(np.unique(number_keys(rows.keys)))


def _compute_psi(last: Reference | None, name: str, values: npt.NDArray[np.float32], keys: int) -> float | None:
    if last is None or name not in last.features or not len(values):
        return None
    column = last.features[name]
    moved = compute_psi(column.found, count_values(column.bins, values))
    return max(0.0, moved - expect_by_chance(column.found, (last.keys, keys)))


def _list_notes(columns: Mapping[str, Column]) -> Iterator[str]:
    for name, column in columns.items():
        if column.low is None:
            yield f"{name}: all values are missing"
        elif column.low == column.high:
            yield f"{name}: all values that are there are {column.low:g}"
        if column.psi is not None and column.psi >= MOVED:
            yield f"{name}: far from the last dataset, PSI {column.psi:.2f}"


def share_of(flags: Any) -> float:
    """Return the share of true values of an Arrow array; 0 of none."""
    return float(pc.mean(pc.cast(flags, pa.int8())).as_py() or 0.0)
