"""History through the same kernel: what the stream would have computed, for training and for comparison.

State is held on shelves (``partial_table.py``) instead of Redis; everything else is the stream's own code.

A label is seen from the first row at which it was known: ``label_time_ms`` is at or before the stream's clock, which is
the latest event time of the log up to and including the row. Slices change no number of one partition. Of several, a
row sees the other partitions' rows of earlier slices, as in the stream those of earlier batches: so a slice holds no
more than a second of event time, and a small history sees them as soon as a stream would.

The labels that become known within a slice are folded first, in the order in which they become known, and each row
of the slice is given those changes that were known by its time.

**Cost:** the kernel's, plus memory for every entity's partial and id (``partial_table.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.expression import columns_of
from weir.schemas.placeholders import Placeholders
from weir.schemas.stream import Stream
from weir.streaming.core.columns import read_integers, read_strings
from weir.streaming.core.events import EventBatch
from weir.streaming.core.hashing import compute_partitions, hash_strings, mix
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.known import LabelHistory, Shelves, build_shelves
from weir.streaming.core.layout import NEVER
from weir.streaming.core.partial_table import ALL, OTHERS, OWN
from weir.streaming.core.passes import Partials
from weir.streaming.core.risk import Changes
from weir.streaming.core.states import Computed, PackedStates

SLICE_ROWS: Final = 20_000
"""Rows of one call of the kernel: enough that its overhead does not show, few enough to hold at once."""


TOGETHER_MS: Final = 1_000
"""Of several partitions, rows may be in one batch of the stream, and blind to one another, if a second holds them."""


def compute_row_digest(stream: Stream, batch: pa.RecordBatch) -> NDArray[np.uint32]:
    """Digest the fields that tell two records with one id apart, where the raw value is not at hand.

    They are the first field that the key tells apart, the integers that measures are made of, and the time.
    """
    value = np.zeros(batch.num_rows, np.uint64)
    for name in stream.key.tells_apart[:1]:
        value = hash_strings(read_strings(batch, name))
    read = frozenset[str]().union(*(columns_of(measure.value) for measure in stream.measures))
    integers = [name for name in sorted(read) if pa.types.is_integer(batch.schema.field(name).type)]
    for name in (*integers, stream.time):
        value = mix(value, read_integers(batch, name).view(np.uint64))
    return (value >> np.uint64(32)).astype(np.uint32)


def _slices(
    stream: Stream, events: Iterable[pa.RecordBatch], partitions: int
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    """Cut batches for the kernel; yield each slice with the stream's clock at its rows."""
    now_ms = NEVER
    for batch in events:
        clock = np.maximum.accumulate(np.maximum(read_integers(batch, stream.time), now_ms))
        start = 0
        while start < batch.num_rows:
            end = start + SLICE_ROWS
            if partitions > 1:  # one partition's rows see those of another from the next slice on
                end = min(end, int(np.searchsorted(clock, clock[start] + TOGETHER_MS, side="right")))
            yield batch.slice(start, end - start), clock[start:end]
            now_ms, start = int(clock[min(end, len(clock)) - 1]), end


def backfill(
    kernel: Kernel,
    events: Iterable[pa.RecordBatch],
    labels: pa.Table | None,
    *,
    placeholders: Placeholders,
    partitions: int = 1,
) -> Iterator[tuple[pa.RecordBatch, Computed]]:
    """Take events in log order through the kernel.

    Args:
        kernel: of their stream.
        events: columns of the newest schema; ``append_time_ms`` next to them if known, else the event time stands in
            for it.
        labels: columns of the label schema, in any order; None for none.
        placeholders: ids that name nobody.
        partitions: keep state per input partition as producers would assign it; 1 sees every entity whole. With more,
            a slice is a call of the kernel per second of event time: about 1 ms each.

    Yields:
        Slices of at most ``SLICE_ROWS`` rows with what the kernel made of them, in order.
    """
    shelves = build_shelves(kernel.entities, partitions)
    known = LabelHistory(kernel.label_folder, labels, placeholders=placeholders, partitions=partitions)
    for batch, clock in _slices(kernel.stream, events, partitions):
        yield batch, _step(kernel, _build_events(kernel, batch, partitions, placeholders), shelves, known, clock)


def _build_events(kernel: Kernel, batch: pa.RecordBatch, partitions: int, placeholders: Placeholders) -> EventBatch:
    stream, has_append_time = kernel.stream, "append_time_ms" in batch.schema.names
    return kernel.build_events(
        batch,
        append_time_ms=read_integers(batch, "append_time_ms" if has_append_time else stream.time),
        partition=compute_partitions(read_strings(batch, stream.key.field), partitions) if partitions > 1 else 0,
        body_digest=compute_row_digest(stream, batch),
        placeholders=placeholders,
    )


def _take_labels(
    known: LabelHistory, events: EventBatch, clock: NDArray[np.int64]
) -> tuple[dict[str, Partials], dict[str, Changes]]:
    """Take the labels known at the first row, and those that become known by the last."""
    taken: dict[str, Partials] = {}
    changes: dict[str, Changes] = {}
    indexes = {entity: events.entities[entity] for entity in known.labelled}
    known.advance(int(clock[0]))
    for entity, index in indexes.items():
        shelf = known.shelves[entity]
        if shelf:  # mostly none for a week
            taken[entity] = shelf.take(shelf.find(index.values), index.units, ALL)
    known.advance(int(clock[-1]))
    for entity, index in indexes.items():
        changed = known.changes(entity, known.shelves[entity].find(index.values), clock)
        if changed is not None:
            changes[entity] = changed
    return taken, changes


def _step(
    kernel: Kernel, events: EventBatch, shelves: Shelves, known: LabelHistory, clock: NDArray[np.int64]
) -> Computed:
    units = {entity: index.units for entity, index in events.entities.items()}
    numbers = {entity: shelves[entity].number(index.values) for entity, index in events.entities.items()}
    shared = kernel.shared if known.partitions > 1 else ()
    labels, changes = _take_labels(known, events, clock)
    states = PackedStates(
        own={entity: shelf.take(numbers[entity], units[entity], OWN) for entity, shelf in shelves.items()},
        others={entity: shelves[entity].take(numbers[entity], units[entity], OTHERS) for entity in shared},
        labels=labels,
        changes=changes,
    )
    done, out = kernel.step_packed(events, states)
    for entity, packed in out.items():
        shelves[entity].put(numbers[entity], units[entity], packed)
    return done
