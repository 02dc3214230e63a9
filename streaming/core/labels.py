"""Folding labels: a ledger per key, and from what changes in it, counts per entity on which risk is kept.

Any order of the same labels gives the same bytes, as long as none of them is beyond the retention of its key's ledger
(horizon + hold behind the key's newest labelled event). Folded from label records alone, not from events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from weir.schemas.placeholders import Placeholders
from weir.schemas.stream import Stream
from weir.streaming.core import label_history as ledger
from weir.streaming.core.columns import read_integers, read_strings
from weir.streaming.core.entity_index import EntityIndex, build_index, encode_column, spread, without_placeholders
from weir.streaming.core.hashing import hash_strings, mix
from weir.streaming.core.label_history import LEDGER, WITHDRAWN, LabelColumns, run_ledgers, run_risks
from weir.streaming.core.packing import as_canonical, pack_lists, pack_one_each, unpack
from weir.streaming.core.passes import Groups, group_rows
from weir.streaming.core.risk import NO_CLOCK, Changes
from weir.streaming.core.seal import compute_seeds
from weir.streaming.core.working_memory import RISK, Record, build_record


@dataclass(frozen=True)
class LabelBatch:
    """Labels in log order; every array has shape (rows,).

    Attributes:
        event_time_ms: int64, the labelled event's own time.
        label_time_ms: int64, when the label became known.
        key: int64, which fact the label is about: hash of the event's id, its time, and whom risk is kept on.
        code: uint8, 0 legitimate, 1 fraud, 2 withdrawn.
        entities: the key of each row, and the entities on which risk is kept, by name.
    """

    event_time_ms: NDArray[np.int64]
    label_time_ms: NDArray[np.int64]
    key: NDArray[np.int64]
    code: NDArray[np.uint8]
    entities: Mapping[str, EntityIndex]

    def __len__(self) -> int:
        return len(self.event_time_ms)


class LabelFolder:
    """Folds the labels of a stream; of one without labels there is nothing to fold."""

    def __init__(self, stream: Stream, plans: Mapping[str, Record], labelled: Sequence[str]) -> None:
        """Bind to a stream, the plans of its entities, and the names of those on which risk is kept, not the key."""
        self.stream = stream
        self._plans = plans
        self.labelled = tuple(labelled)
        self.entities: tuple[str, ...] = (stream.key.name, *labelled) if stream.labels else ()

    def build(
        self, batch: pa.RecordBatch, *, partition: NDArray[np.int32] | int, placeholders: Placeholders
    ) -> LabelBatch:
        """Turn validated labels into flat columns.

        Args:
            batch: columns of the label schema, rows in log order.
            partition: partition of each row in the labels' topic, or one for all.
            placeholders: ids that name nobody: no risk is counted for them.
        """
        labels = self.stream.labels
        if labels is None:
            raise ValueError(f"expected a stream with labels, found {self.stream.name} without")
        partitions = spread(partition, batch.num_rows)
        placeholders = placeholders.with_zero_fields(self.stream.zero_fields)
        times = read_integers(batch, self.stream.time)
        verdict = batch.column(labels.verdict).cast(pa.int8())
        return LabelBatch(
            event_time_ms=times,
            label_time_ms=read_integers(batch, labels.time),
            key=self._compute_keys(batch, times),
            code=pc.fill_null(verdict, WITHDRAWN).to_numpy(zero_copy_only=False).astype(np.uint8),
            entities={name: self._build_index(batch, name, partitions, placeholders) for name in self.entities},
        )

    def _compute_keys(self, batch: pa.RecordBatch, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Hash what a label is about; in an order of the fields that no declaration can change."""
        key = mix(hash_strings(read_strings(batch, self.stream.id)), times.view(np.uint64))
        for field in sorted({self.stream.entity(name).field for name in self.labelled}, reverse=True):
            key = mix(key, hash_strings(read_strings(batch, field)))
        return key.view(np.int64)

    def _build_index(
        self, batch: pa.RecordBatch, name: str, partitions: NDArray[np.int32], placeholders: Placeholders
    ) -> EntityIndex:
        field = self.stream.entity(name).field
        coded = encode_column(read_strings(batch, field))
        known = coded if name == self.stream.key.name else without_placeholders({field: coded}, placeholders)[field]
        return build_index(known, partitions)

    def _group(self, entity: str, index: EntityIndex) -> Groups:
        seeds = compute_seeds(self.stream.declarations_hash, "l", entity, index.values, index.units)
        return Groups(*group_rows(as_canonical(index.codes), len(index)), seeds)

    def find_known_elsewhere(
        self, labels: LabelBatch, own: Sequence[bytes], others: Sequence[Sequence[bytes]]
    ) -> NDArray[np.int64]:
        """Find labels of facts that another unit counted and ours did not.

        Args:
            labels: rows in log order.
            own: our ledgers of the batch's keys, aligned with its key index.
            others: other units' ledgers of each key, in the same order of units for all keys of one partition.

        Returns:
            int64, shape (rows,): the position among its key's ``others``, or -1.
        """
        index = labels.entities[self.stream.key.name]
        ledgers = pack_one_each(own), pack_lists(others, len(index))
        groups = self._group(self.stream.key.name, index)
        return ledger.find_known_elsewhere(build_record(LEDGER), _build_columns(labels), groups, *ledgers)

    def fold(
        self, labels: LabelBatch, own: Mapping[str, list[bytes]]
    ) -> tuple[dict[str, list[bytes]], dict[str, Changes]]:
        """Fold a batch of labels.

        Args:
            labels: rows in log order.
            own: partials of the batch's entities as of just before it, aligned with them.

        Returns:
            New partials, aligned alike, and what changed for each entity on which risk is kept.

        Raises:
            ValueError: when partials do not match the batch, or are not of this version.
        """
        columns = _build_columns(labels)
        out: dict[str, list[bytes]] = {}
        told: dict[str, Changes] = {}
        keep_ms = self.stream.horizon_ms + self.stream.label_hold_ms
        for entity in self.entities:  # keys first: they say what the labels change
            index = labels.entities[entity]
            if len(own[entity]) != len(index):
                raise ValueError(f"expected {len(index)} label partials of {entity}, found {len(own[entity])}")
            groups, partials = self._group(entity, index), pack_one_each(own[entity])
            if entity == self.stream.key.name:
                packed = run_ledgers(build_record(LEDGER), keep_ms, columns, groups, partials)
            else:
                told[entity] = build_changes(columns, index.codes, len(index))
                packed = run_risks(self._plans[entity], build_record(RISK), told[entity], partials, groups.seeds)
            out[entity] = unpack(*packed)
        return out, told


def _build_columns(labels: LabelBatch) -> LabelColumns:
    rows = len(labels)
    changes = (np.zeros(rows, np.bool_), np.zeros(rows, np.int8), np.zeros(rows, np.int8))
    given = [as_canonical(array) for array in (labels.event_time_ms, labels.label_time_ms, labels.key, labels.code)]
    return LabelColumns(given[0], given[1], given[2], given[3], *changes)


def build_changes(columns: LabelColumns, codes: NDArray[np.int32], size: int) -> Changes:
    """Group what a batch of labels changed by the entities that they are about, in log order."""
    kept = np.where(columns.kept, codes, np.int32(-1))
    order, starts = group_rows(as_canonical(kept), size)
    known, time = columns.label_time[order], columns.time[order]
    return Changes(
        NO_CLOCK, starts[:-1], starts[1:], known, time, columns.count_change[order], columns.fraud_change[order]
    )
