"""Labels of history, folded as the stream's time passes the moments at which they became known.

The ledgers do not depend on events, so all labels that become known within a slice of rows are folded at once,
in the order of being known. What each of them changed is kept for the slice: the kernel counts it from the row on at
whose time it was known.

**Cost:** one sort of the labels; per slice, one more look-up of the ids that they name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.placeholders import Placeholders
from weir.streaming.core.columns import read_strings
from weir.streaming.core.hashing import compute_partitions
from weir.streaming.core.labels import LabelFolder
from weir.streaming.core.packing import pack, unpack
from weir.streaming.core.partial_table import OWN, Shelf
from weir.streaming.core.risk import Changes

_BATCH_LABELS: Final = 20_000
"""Labels folded at once: those known before a history begins may be all there are."""

Shelves = dict[str, Shelf]


def build_shelves(entities: Iterable[str], partitions: int) -> Shelves:
    """Return an empty shelf for each kind."""
    return {entity: Shelf(partitions) for entity in entities}


class _Told(NamedTuple):
    """Changes of one entity kind, and to which shelf number each belongs."""

    number: NDArray[np.int64]
    known: NDArray[np.int64]
    time: NDArray[np.int64]
    count_change: NDArray[np.int8]
    fraud_change: NDArray[np.int8]


class LabelHistory:
    """Labels in the order in which they became known."""

    def __init__(
        self, folder: LabelFolder, labels: pa.Table | None, *, placeholders: Placeholders, partitions: int
    ) -> None:
        """Sort the labels; nothing is folded yet."""
        self.shelves = build_shelves(folder.entities, partitions)
        self.labelled = folder.labelled
        self.partitions = partitions
        self._folder = folder
        label_time = folder.stream.labels.time if folder.stream.labels else ""
        self._placeholders = placeholders
        self._labels = labels.sort_by(label_time).combine_chunks() if labels is not None else None
        times = self._labels[label_time].to_numpy() if self._labels is not None else np.empty(0, np.int64)
        self._times: NDArray[np.int64] = times
        self._done = 0
        self._told: dict[str, list[_Told]] = {}

    def advance(self, until_ms: int) -> None:
        """Fold every label known at a time, and keep what changed until the next call."""
        self._told = {}
        end = int(np.searchsorted(self._times, until_ms, side="right"))
        while self._labels is not None and self._done < end:
            rows = min(_BATCH_LABELS, end - self._done)
            for batch in self._labels.slice(self._done, rows).to_batches():
                self._fold(batch)
            self._done += rows

    def changes(self, entity: str, numbers: NDArray[np.int64], clock: NDArray[np.int64]) -> Changes | None:
        """Return what the last ``advance`` changed, by position.

        Args:
            entity: a kind that has labels.
            numbers: where each position is on the shelf, -1 for nowhere.
            clock: the stream's time at each row of the batch.
        """
        if entity not in self._told:
            return None
        number, known, time, count, fraud = (np.concatenate(c) for c in zip(*self._told[entity], strict=True))
        order = np.lexsort((known, number))
        number = number[order]
        first, end = np.searchsorted(number, numbers, side="left"), np.searchsorted(number, numbers, side="right")
        return Changes(clock, first, end, known[order], time[order], count[order], fraud[order])

    def _fold(self, batch: pa.RecordBatch) -> None:
        partition = compute_partitions(read_strings(batch, self._folder.stream.key.field), self.partitions)
        labels = self._folder.build(batch, partition=partition, placeholders=self._placeholders)
        numbers = {
            entity: self.shelves[entity].number(labels.entities[entity].values) for entity in self._folder.entities
        }
        own = {}
        for entity, shelf in self.shelves.items():
            packed = shelf.take(numbers[entity], labels.entities[entity].units, OWN)
            own[entity] = unpack(packed.data, packed.offsets)
        folded, told = self._folder.fold(labels, own)
        for entity, values in folded.items():
            self.shelves[entity].put(numbers[entity], labels.entities[entity].units, pack(values))
        for entity, changes in told.items():
            each = np.repeat(numbers[entity], changes.end - changes.first)
            self._told.setdefault(entity, []).append(_Told(each, *changes[3:]))
