"""Folding labels: a ledger per card, and from what changes in it, counts per merchant and device.

Any order of the same labels gives the same bytes, as long as none of them is beyond the retention of its card's ledger
(horizon + hold behind the card's newest labelled transaction). Folded from label records alone, not from transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from weir.schemas.features import ENTITIES, HORIZON_MS, LABEL_HOLD_MS, Entity
from weir.schemas.placeholders import Placeholders
from weir.streaming.core import label_history as ledger
from weir.streaming.core.events import (
    Coded,
    EntityIndex,
    build_index,
    encode_column,
    read_integers,
    read_strings,
    without_placeholders,
)
from weir.streaming.core.hashing import hash_strings, mix
from weir.streaming.core.label_history import LEDGER, WITHDRAWN, LabelColumns, run_ledgers, run_risks
from weir.streaming.core.packing import as_canonical, pack_lists, pack_one_each, unpack
from weir.streaming.core.passes import Groups, group_rows
from weir.streaming.core.plans import PLANS
from weir.streaming.core.risk import NO_CLOCK, Changes
from weir.streaming.core.seal import compute_seeds
from weir.streaming.core.working_memory import RISK, build_record

LABEL_ENTITIES: tuple[Entity, ...] = (Entity.CARD, *(spec.entity for spec in ENTITIES if spec.has_labels))
"""Whose partials a label unit holds: the cards' ledgers, and the risk counts."""


@dataclass(frozen=True)
class LabelBatch:
    """Labels in log order; every array has shape (rows,).

    Attributes:
        event_time_ms: int64, the labelled transaction's own time.
        label_time_ms: int64, when the label became known.
        key: int64, which fact the label is about: hash of transaction, merchant, device and event time.
        code: uint8, 0 legitimate, 1 fraud, 2 withdrawn.
        entities: the card, merchant and device of each row.
    """

    event_time_ms: NDArray[np.int64]
    label_time_ms: NDArray[np.int64]
    key: NDArray[np.int64]
    code: NDArray[np.uint8]
    entities: dict[Entity, EntityIndex]

    def __len__(self) -> int:
        return len(self.event_time_ms)


def build_label_batch(
    batch: pa.RecordBatch, *, partition: NDArray[np.int32] | int, placeholders: Placeholders
) -> LabelBatch:
    """Turn validated labels into flat columns.

    Args:
        batch: columns of the label schema, rows in log order.
        partition: partition of each row in ``labels``, or one for all.
        placeholders: ids of merchants and devices that name nobody: no risk is counted for them.
    """
    partitions = np.ascontiguousarray(np.broadcast_to(np.asarray(partition, dtype=np.int32), batch.num_rows))
    fields = {spec.entity: spec.id_field for spec in ENTITIES if spec.entity in LABEL_ENTITIES}
    coded = {entity: _encode_ids(batch, entity, name, placeholders) for entity, name in fields.items()}
    is_fraud = batch.column("is_fraud").cast(pa.int8())
    times = read_integers(batch, "event_time_ms")
    key = mix(hash_strings(read_strings(batch, "transaction_id")), times.view(np.uint64))
    for name in ("merchant_id", "device_id"):
        key = mix(key, hash_strings(read_strings(batch, name)))
    return LabelBatch(
        event_time_ms=times,
        label_time_ms=read_integers(batch, "label_time_ms"),
        key=key.view(np.int64),
        code=pc.fill_null(is_fraud, WITHDRAWN).to_numpy(zero_copy_only=False).astype(np.uint8),
        entities={entity: build_index(coded[entity], partitions) for entity in LABEL_ENTITIES},
    )


def _encode_ids(batch: pa.RecordBatch, entity: Entity, name: str, placeholders: Placeholders) -> Coded:
    coded = encode_column(read_strings(batch, name))
    return coded if entity is Entity.CARD else without_placeholders(coded, name, placeholders)


def _build_columns(labels: LabelBatch) -> LabelColumns:
    rows = len(labels)
    changes = (np.zeros(rows, np.bool_), np.zeros(rows, np.int8), np.zeros(rows, np.int8))
    given = [as_canonical(array) for array in (labels.event_time_ms, labels.label_time_ms, labels.key, labels.code)]
    return LabelColumns(given[0], given[1], given[2], given[3], *changes)


def _group(entity: Entity, index: EntityIndex) -> Groups:
    seeds = compute_seeds("l", entity, index.values, index.units)
    return Groups(*group_rows(as_canonical(index.codes), len(index)), seeds)


def find_known_elsewhere(
    labels: LabelBatch, own: Sequence[bytes], others: Sequence[Sequence[bytes]]
) -> NDArray[np.int64]:
    """Find labels of facts that another unit counted and ours did not.

    Args:
        labels: rows in log order.
        own: our ledgers of the batch's cards, aligned with its card index.
        others: other units' ledgers of each card, in the same order of units for all cards of one partition.

    Returns:
        int64, shape (rows,): the position among its card's ``others``, or -1.
    """
    index = labels.entities[Entity.CARD]
    ledgers = pack_one_each(own), pack_lists(others, len(index))
    groups = _group(Entity.CARD, index)
    return ledger.find_known_elsewhere(build_record(LEDGER), _build_columns(labels), groups, *ledgers)


def build_changes(columns: LabelColumns, codes: NDArray[np.int32], size: int) -> Changes:
    """Group what a batch of labels changed by the merchants or devices that they are about, in log order."""
    kept = np.where(columns.kept, codes, np.int32(-1))
    order, starts = group_rows(as_canonical(kept), size)
    known, time = columns.label_time[order], columns.time[order]
    return Changes(
        NO_CLOCK, starts[:-1], starts[1:], known, time, columns.count_change[order], columns.fraud_change[order]
    )


def fold_labels(labels: LabelBatch, own: dict[Entity, list[bytes]]) -> dict[Entity, list[bytes]]:
    """Fold a batch of labels; see ``fold_and_tell``."""
    return fold_and_tell(labels, own)[0]


def fold_and_tell(
    labels: LabelBatch, own: dict[Entity, list[bytes]]
) -> tuple[dict[Entity, list[bytes]], dict[Entity, Changes]]:
    """Fold a batch of labels.

    Args:
        labels: rows in log order.
        own: partials of the batch's cards, merchants and devices as of just before it, aligned with its entities.

    Returns:
        New partials, aligned alike, and what changed for each merchant and device of the batch.

    Raises:
        ValueError: when partials do not match the batch, or are not of this version.
    """
    columns = _build_columns(labels)
    out: dict[Entity, list[bytes]] = {}
    told: dict[Entity, Changes] = {}
    for entity in LABEL_ENTITIES:  # cards first: they say what the labels change
        index = labels.entities[entity]
        if len(own[entity]) != len(index):
            raise ValueError(f"expected {len(index)} label partials of {entity}, found {len(own[entity])}")
        groups = _group(entity, index)
        partials = pack_one_each(own[entity])
        if entity is Entity.CARD:
            packed = run_ledgers(build_record(LEDGER), HORIZON_MS + LABEL_HOLD_MS, columns, groups, partials)
        else:
            told[entity] = build_changes(columns, index.codes, len(index))
            packed = run_risks(PLANS[entity], build_record(RISK), told[entity], partials, groups.seeds)
        out[entity] = unpack(*packed)
    return out, told
