"""Checks a dataset before anything is learnt from it: bad data stops the run, and says which column and what. Pure.

What a column can hold follows from what it is declared to be: a count is a whole number from 0 on, a share is between
0 and 1. What stops a run is what no right history has; what only differs from the last dataset is a note, as a history
that moved is why a model is trained again. docs/adr/0031 says why no library of data frames does this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.durations import DAY_MS
from weir.schemas.entity import Aggregate
from weir.schemas.errors import WeirError
from weir.schemas.stream import Stream
from weir.training.dataset import Examples
from weir.training.dataset_report import DatasetReport, describe_dataset, share_of
from weir.training.drift.measures import share_missing
from weir.training.drift.reference import Reference
from weir.training.labels import build_keys, labels_of, name_verdict

POSITIVE_SHARE_MAX: Final = 0.5
"""More is a verdict that is read the wrong way round."""
_WHOLE_FROM_0: Final = (0.0, np.inf, True)
_FROM_0: Final = (0.0, np.inf, False)
_SHARE: Final = (0.0, 1.0, False)
RANGES: Final[Mapping[str, tuple[float, float, bool]]] = {
    Aggregate.COUNT: _WHOLE_FROM_0,
    Aggregate.DISTINCT: _WHOLE_FROM_0,
    Aggregate.NEW: (0.0, 1.0, True),
    Aggregate.RATIO: _SHARE,
    Aggregate.RISK: _SHARE,
    Aggregate.DECAYED: _FROM_0,
    Aggregate.SPEED: _FROM_0,
    Aggregate.STD: _FROM_0,
}
"""Smallest, largest, and whether numbers are whole, by what is computed; anything finite for the others.

The gap and the age of an event that comes late can be below 0."""


def check_dataset(
    examples: Examples, labels: pa.Table, stream: Stream, *, now_ms: int, last: Reference | None = None
) -> DatasetReport:
    """Return what a dataset holds.

    Args:
        examples: in event-time order.
        labels: every label of the history.
        stream: whose they are.
        now_ms: UTC epoch milliseconds; nothing has happened later.
        last: of the bundle that was trained last.

    Raises:
        WeirError: the data is bad; a line for each fault.
    """
    faults = [
        *_check_events(examples, stream, now_ms),
        *_check_columns(examples, stream, last),
        *_check_labels(examples, labels, stream),
    ]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise WeirError(f"dataset: {len(faults)} fault(s), nothing is trained\n{listed}")
    return describe_dataset(examples, labels, stream, last)


def _check_events(examples: Examples, stream: Stream, now_ms: int) -> Iterator[str]:
    times = examples.event_time_ms
    if backwards := int(np.count_nonzero(np.diff(times) < 0)):
        yield f"{stream.time}: expected events in the order of time, found {backwards:,} earlier than the one before"
    if later := int(np.count_nonzero(times > now_ms + DAY_MS)):
        yield f"{stream.time}: expected times up to now, found {later:,} more than a day later"
    if twice := len(examples) - len(pc.unique(examples.keys)):
        yield f"{stream.id}: expected each event once, found {twice:,} again"


def _check_columns(examples: Examples, stream: Stream, last: Reference | None) -> Iterator[str]:
    for at, feature in enumerate(stream.all_features):
        values = examples.features[:, at]
        low, high, whole = RANGES.get(feature.aggregate, (-np.inf, np.inf, False))
        with np.errstate(invalid="ignore"):
            if infinite := int(np.isinf(values).sum()):
                yield f"{feature.name}: expected finite numbers, found {infinite:,} infinite"
                continue
            outside = values[(values < low) | (values > high)]
            broken = values[values != np.floor(values)] if whole else values[:0]
        broken = broken[~np.isnan(broken)]
        if len(outside):
            yield f"{feature.name}: expected {_say(low, high)}, found {len(outside):,} such as {outside[0]:g}"
        elif len(broken):
            yield f"{feature.name}: expected whole numbers, found {len(broken):,} such as {broken[0]:g}"
        elif np.isnan(values).all() and _had_values(last, feature.name):
            yield f"{feature.name}: expected values as in the last dataset, found none in {len(values):,} events"


def _check_labels(examples: Examples, labels: pa.Table, stream: Stream) -> Iterator[str]:
    said = labels_of(stream)
    keys = build_keys(labels, stream)
    places = pc.index_in(keys, value_set=pc.unique(examples.keys))
    found = ~pc.is_null(places).to_numpy(zero_copy_only=False)
    if not found.any():
        yield f"labels: expected labels of these events, found none in {labels.num_rows:,} labels"
        return
    firsts = examples.event_time_ms[_first_places(examples.keys)]
    of_event = firsts[pc.fill_null(places, 0).to_numpy(zero_copy_only=False)]
    if early := int(np.count_nonzero(found & (labels[said.time].to_numpy() < of_event))):
        yield f"{said.time}: expected labels that follow their event, found {early:,} before it"
    table = pa.table([keys, labels[said.time], labels[said.verdict]], ["key", "time", "verdict"])
    apart = table.group_by(["key", "time"]).aggregate([("verdict", "count_distinct")])
    if both := int(pc.sum(pc.greater(apart["verdict_count_distinct"], 1)).as_py() or 0):
        yield f"{said.verdict}: expected one verdict of an event at a time, found two for {both:,} events"
    if (share := share_of(pc.drop_null(labels[said.verdict]))) > POSITIVE_SHARE_MAX:
        yield (
            f"{said.verdict}: expected {name_verdict(stream)} in at most {POSITIVE_SHARE_MAX:.0%} of the labels, found "
            f"{share:.0%}; is the verdict the wrong way round?"
        )


def _first_places(keys: Any) -> npt.NDArray[np.int64]:
    """Return where each distinct key is first, in the order of ``pc.unique``."""
    codes = keys.dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return first.astype(np.int64)


def _had_values(last: Reference | None, name: str) -> bool:
    return last is not None and name in last.features and share_missing(last.features[name].found) < 1


def _say(low: float, high: float) -> str:
    return f"numbers from {low:g} on" if np.isinf(high) else f"numbers from {low:g} to {high:g}"
