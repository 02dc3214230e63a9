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

from weir.schemas.features import ENTITIES, Entity
from weir.schemas.placeholders import Placeholders
from weir.streaming.core.events import EventBatch, build_event_batch, read_integers, read_strings
from weir.streaming.core.hashing import compute_partitions, hash_strings, mix
from weir.streaming.core.kernel import Computed, PackedStates, step_packed
from weir.streaming.core.known import LabelHistory, Shelves, build_shelves
from weir.streaming.core.layout import NEVER
from weir.streaming.core.partial_table import ALL, OTHERS, OWN
from weir.streaming.core.passes import Partials
from weir.streaming.core.risk import Changes

SLICE_ROWS: Final = 20_000
"""Rows of one call of the kernel: enough that its overhead does not show, few enough to hold at once."""


TOGETHER_MS: Final = 1_000
"""Of several partitions, rows may be in one batch of the stream, and blind to one another, if a second holds them."""


def compute_row_digest(batch: pa.RecordBatch) -> NDArray[np.uint32]:
    """Digest the fields that tell two records with one transaction id apart, where the raw value is not at hand."""
    value = mix(hash_strings(read_strings(batch, "merchant_id")), read_integers(batch, "amount_minor").view(np.uint64))
    value = mix(value, read_integers(batch, "event_time_ms").view(np.uint64))
    return (value >> np.uint64(32)).astype(np.uint32)


def _slices(
    transactions: Iterable[pa.RecordBatch], partitions: int
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    """Cut batches for the kernel; yield each slice with the stream's clock at its rows."""
    now_ms = NEVER
    for batch in transactions:
        clock = np.maximum.accumulate(np.maximum(read_integers(batch, "event_time_ms"), now_ms))
        start = 0
        while start < batch.num_rows:
            end = start + SLICE_ROWS
            if partitions > 1:  # one partition's rows see those of another from the next slice on
                end = min(end, int(np.searchsorted(clock, clock[start] + TOGETHER_MS, side="right")))
            yield batch.slice(start, end - start), clock[start:end]
            now_ms, start = int(clock[min(end, len(clock)) - 1]), end


def backfill(
    transactions: Iterable[pa.RecordBatch], labels: pa.Table | None, *, placeholders: Placeholders, partitions: int = 1
) -> Iterator[tuple[pa.RecordBatch, Computed]]:
    """Take transactions in log order through the kernel.

    Args:
        transactions: columns of the newest transaction schema; ``append_time_ms`` next to them if known, else the
            event time stands in for it.
        labels: columns of the label schema, in any order; None for none.
        placeholders: ids that name nobody.
        partitions: keep state per input partition as producers would assign it; 1 sees every entity whole. With more,
            a slice is a call of the kernel per second of event time: about 1 ms each.

    Yields:
        Slices of at most ``SLICE_ROWS`` rows with what the kernel made of them, in order.
    """
    shelves = build_shelves((spec.entity for spec in ENTITIES), partitions)
    known = LabelHistory(labels, placeholders=placeholders, partitions=partitions)
    for batch, clock in _slices(transactions, partitions):
        yield batch, _step(_build_events(batch, partitions, placeholders), shelves, known, clock)


def _build_events(batch: pa.RecordBatch, partitions: int, placeholders: Placeholders) -> EventBatch:
    has_append_time = "append_time_ms" in batch.schema.names
    return build_event_batch(
        batch,
        append_time_ms=read_integers(batch, "append_time_ms" if has_append_time else "event_time_ms"),
        partition=compute_partitions(read_strings(batch, "card_id"), partitions) if partitions > 1 else 0,
        body_digest=compute_row_digest(batch),
        placeholders=placeholders,
    )


def _take_labels(
    known: LabelHistory, events: EventBatch, clock: NDArray[np.int64]
) -> tuple[dict[Entity, Partials], dict[Entity, Changes]]:
    """Take the labels known at the first row, and those that become known by the last."""
    taken: dict[Entity, Partials] = {}
    changes: dict[Entity, Changes] = {}
    indexes = {entity: events.entities[entity] for entity in known.shelves if entity is not Entity.CARD}
    known.advance(int(clock[0]))
    for entity, index in indexes.items():
        shelf = known.shelves[entity]
        if shelf:  # mostly none for a week
            taken[entity] = shelf.take(shelf.find(index), index.units, ALL)
    known.advance(int(clock[-1]))
    for entity, index in indexes.items():
        changed = known.changes(entity, known.shelves[entity].find(index), clock)
        if changed is not None:
            changes[entity] = changed
    return taken, changes


def _step(events: EventBatch, shelves: Shelves, known: LabelHistory, clock: NDArray[np.int64]) -> Computed:
    units = {entity: index.units for entity, index in events.entities.items()}
    numbers = {entity: shelves[entity].number(index) for entity, index in events.entities.items()}
    shared = [spec.entity for spec in ENTITIES if spec.shared and known.partitions > 1]
    labels, changes = _take_labels(known, events, clock)
    states = PackedStates(
        own={entity: shelf.take(numbers[entity], units[entity], OWN) for entity, shelf in shelves.items()},
        others={entity: shelves[entity].take(numbers[entity], units[entity], OTHERS) for entity in shared},
        labels=labels,
        changes=changes,
    )
    done, out = step_packed(events, states)
    for entity, packed in out.items():
        shelves[entity].put(numbers[entity], units[entity], packed)
    return done
