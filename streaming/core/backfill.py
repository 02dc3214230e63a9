"""History through the same kernel: what the stream would have computed, for training and for comparison.

State is held on shelves (``shelf.py``) instead of Redis; everything else is the stream's own code. Labels are folded
before a slice when they were known at its first event, so a slice never sees a label from its future.

**Cost:** the kernel's, plus memory for every entity's partial and id (``shelf.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.features import ENTITIES, Entity
from streaming.core.events import EventBatch, build_event_batch, read_integers, read_strings
from streaming.core.hashing import compute_partitions, hash_strings, mix
from streaming.core.kernel import Computed, PackedStates, step_packed
from streaming.core.labels import LABEL_ENTITIES, build_label_batch, fold_labels
from streaming.core.machine import Partials
from streaming.core.packing import pack, unpack
from streaming.core.shelf import ALL, OTHERS, OWN, Shelf

SLICE_ROWS: Final = 20_000
"""Labels become visible at slice boundaries: small enough that the delay is minutes, large enough to be fast."""

Shelves = dict[Entity, Shelf]


def _build_shelves(entities: Iterable[Entity], partitions: int) -> Shelves:
    return {entity: Shelf(partitions) for entity in entities}


class LabelHistory:
    """Labels in the order in which they became known, folded as the stream's time passes them."""

    def __init__(self, labels: pa.Table | None, *, partitions: int) -> None:
        self.shelves = _build_shelves(LABEL_ENTITIES, partitions)
        self._partitions = partitions
        self._labels = labels.sort_by("label_time_ms").combine_chunks() if labels is not None else None
        times = self._labels["label_time_ms"].to_numpy() if self._labels is not None else np.empty(0, np.int64)
        self._times: NDArray[np.int64] = times
        self._done = 0

    def advance(self, until_ms: int) -> None:
        """Fold every label known at a time."""
        end = int(np.searchsorted(self._times, until_ms, side="right"))
        while self._labels is not None and self._done < end:
            rows = min(SLICE_ROWS, end - self._done)
            for batch in self._labels.slice(self._done, rows).to_batches():
                self._fold(batch)
            self._done += rows

    def _fold(self, batch: pa.RecordBatch) -> None:
        partition = compute_partitions(read_strings(batch, "card_id"), self._partitions)
        labels = build_label_batch(batch, partition=partition)
        numbers = {entity: self.shelves[entity].number(labels.entities[entity]) for entity in LABEL_ENTITIES}
        own = {}
        for entity, shelf in self.shelves.items():
            packed = shelf.take(numbers[entity], labels.entities[entity].units, OWN)
            own[entity] = unpack(packed.data, packed.offsets)
        for entity, values in fold_labels(labels, own).items():
            self.shelves[entity].put(numbers[entity], labels.entities[entity].units, pack(values))


def compute_row_digest(batch: pa.RecordBatch) -> NDArray[np.uint32]:
    """Digest the fields that tell two records with one transaction id apart, where the raw value is not at hand."""
    value = mix(hash_strings(read_strings(batch, "merchant_id")), read_integers(batch, "amount_minor").view(np.uint64))
    value = mix(value, read_integers(batch, "event_time_ms").view(np.uint64))
    return (value >> np.uint64(32)).astype(np.uint32)


def _slices(transactions: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in transactions:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            yield batch.slice(start, SLICE_ROWS)


def backfill(
    transactions: Iterable[pa.RecordBatch], labels: pa.Table | None, *, partitions: int = 1
) -> Iterator[tuple[pa.RecordBatch, Computed]]:
    """Take transactions in log order through the kernel.

    Args:
        transactions: columns of the newest transaction schema; ``append_time_ms`` beside them if known, else the
            event time stands in for it.
        labels: columns of the label schema, in any order; None for none.
        partitions: keep state per input partition as producers would assign it; 1 sees every entity whole.

    Yields:
        Slices of at most ``SLICE_ROWS`` rows with what the kernel made of them, in order.
    """
    shelves = _build_shelves((spec.entity for spec in ENTITIES), partitions)
    known = LabelHistory(labels, partitions=partitions)
    for batch in _slices(transactions):
        known.advance(int(pc.min(batch.column("event_time_ms")).as_py()))
        yield batch, _step(batch, shelves, known, partitions)


def _build_events(batch: pa.RecordBatch, partitions: int) -> EventBatch:
    has_append_time = "append_time_ms" in batch.schema.names
    return build_event_batch(
        batch,
        append_time_ms=read_integers(batch, "append_time_ms" if has_append_time else "event_time_ms"),
        partition=compute_partitions(read_strings(batch, "card_id"), partitions) if partitions > 1 else 0,
        body_digest=compute_row_digest(batch),
    )


def _take_labels(known: LabelHistory, events: EventBatch) -> dict[Entity, Partials]:
    taken = {}
    for spec in ENTITIES:
        index, shelf = events.entities[spec.entity], known.shelves.get(spec.entity)
        if spec.has_labels and shelf:  # mostly none for a week
            taken[spec.entity] = shelf.take(shelf.find(index), index.units, ALL)
    return taken


def _step(batch: pa.RecordBatch, shelves: Shelves, known: LabelHistory, partitions: int) -> Computed:
    events = _build_events(batch, partitions)
    units = {entity: index.units for entity, index in events.entities.items()}
    numbers = {entity: shelves[entity].number(index) for entity, index in events.entities.items()}
    shared = [spec.entity for spec in ENTITIES if spec.shared and partitions > 1]
    states = PackedStates(
        own={entity: shelf.take(numbers[entity], units[entity], OWN) for entity, shelf in shelves.items()},
        others={entity: shelves[entity].take(numbers[entity], units[entity], OTHERS) for entity in shared},
        labels=_take_labels(known, events),
    )
    done, out = step_packed(events, states)
    for entity, packed in out.items():
        shelves[entity].put(numbers[entity], units[entity], packed)
    return done
