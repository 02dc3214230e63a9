"""History through the same kernel: what the stream would have computed, for training and for comparison.

State is held in dictionaries instead of Redis; everything else is the stream's own code. Labels are folded before a
slice when they were known at its first event, so a slice never sees a label from its future.

**Cost:** the kernel's, plus memory for every entity's partial.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.features import ENTITIES, Entity
from streaming.core.events import EntityIndex, build_event_batch, read_integers, read_strings
from streaming.core.hashing import compute_partitions, hash_strings, mix
from streaming.core.kernel import States, Step, step
from streaming.core.labels import LABEL_ENTITIES, build_label_batch, fold_labels

SLICE_ROWS: Final = 20_000
"""Labels become visible at slice boundaries: small enough that the delay is minutes, large enough to be fast."""

Partials = dict[Entity, list[dict[str, bytes]]]
"""Per entity and partition, the partial of each id."""


def _empty(entities: Iterable[Entity], partitions: int) -> Partials:
    return {entity: [{} for _ in range(partitions)] for entity in entities}


def _own(view: Partials, entity: Entity, index: EntityIndex) -> list[bytes]:
    units = view[entity]
    return [units[unit].get(key, b"") for unit, key in zip(index.partitions, index.ids, strict=True)]


def _all(view: Partials, entity: Entity, index: EntityIndex, *, but_own: bool) -> list[list[bytes]]:
    """Every partition's partial of each entity, in partition order, with or without our own."""
    units = [(number, unit) for number, unit in enumerate(view[entity]) if unit]  # labels: mostly none for a week
    return [
        [unit[key] for number, unit in units if key in unit and not (but_own and number == own)]
        for own, key in zip(index.partitions, index.ids, strict=True)
    ]


def _store(view: Partials, entity: Entity, index: EntityIndex, values: list[bytes]) -> None:
    for unit, key, value in zip(index.partitions, index.ids, values, strict=True):
        if value:
            view[entity][unit][key] = value


class LabelHistory:
    """Labels in the order in which they became known, folded as the stream's time passes them."""

    def __init__(self, labels: pa.Table | None, *, partitions: int) -> None:
        self.view = _empty(LABEL_ENTITIES, partitions)
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
        own = {entity: _own(self.view, entity, labels.entities[entity]) for entity in LABEL_ENTITIES}
        for entity, values in fold_labels(labels, own).items():
            _store(self.view, entity, labels.entities[entity], values)


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
) -> Iterator[tuple[pa.RecordBatch, Step]]:
    """Take transactions in log order through the kernel.

    Args:
        transactions: columns of the newest transaction schema; ``append_time_ms`` beside them if known, else the
            event time stands in for it.
        labels: columns of the label schema, in any order; None for none.
        partitions: keep state per input partition as producers would assign it; 1 sees every entity whole.

    Yields:
        Slices of at most ``SLICE_ROWS`` rows with what the kernel made of them, in order.
    """
    view = _empty((spec.entity for spec in ENTITIES), partitions)
    known = LabelHistory(labels, partitions=partitions)
    for batch in _slices(transactions):
        known.advance(int(pc.min(batch.column("event_time_ms")).as_py()))
        yield batch, _step(batch, view, known, partitions)


def _step(batch: pa.RecordBatch, view: Partials, known: LabelHistory, partitions: int) -> Step:
    has_append_time = "append_time_ms" in batch.schema.names
    events = build_event_batch(
        batch,
        append_time_ms=read_integers(batch, "append_time_ms" if has_append_time else "event_time_ms"),
        partition=compute_partitions(read_strings(batch, "card_id"), partitions),
        body_digest=compute_row_digest(batch),
    )
    places = {spec.entity: events.entities[spec.entity] for spec in ENTITIES}
    shared = [spec.entity for spec in ENTITIES if spec.shared and partitions > 1]
    labelled = [spec.entity for spec in ENTITIES if spec.has_labels]
    states = States(
        own={entity: _own(view, entity, index) for entity, index in places.items()},
        others={entity: _all(view, entity, places[entity], but_own=True) for entity in shared},
        labels={entity: _all(known.view, entity, places[entity], but_own=False) for entity in labelled},
    )
    done = step(events, states)
    for entity, values in done.states.items():
        _store(view, entity, events.entities[entity], values)
    return done
