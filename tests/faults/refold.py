"""What one uninterrupted run leaves: the log minus its dead letters, folded by the kernel in cuts of our own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from tests.unit.streaming.streams import build
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.kernels import shipped_kernel

Row = dict[str, Any]
State = dict[str, bytes]
CUT_RECORDS_MAX = 700
_LABEL_TYPES = {
    "transaction_id": pa.string(), "card_id": pa.string(), "merchant_id": pa.string(), "device_id": pa.string(),
    "event_time_ms": pa.int64(), "label_time_ms": pa.int64(), "is_fraud": pa.bool_(),
}  # fmt: skip


def refold_transactions(counted: Sequence[tuple[Row, int, bytes]], *, partition: int, seed: int) -> State:
    """Fold payments of one partition.

    Args:
        counted: row, append time in ms and raw value of each record that counts, in log order.
        partition: of the input.
        seed: of the cuts.
    """
    events = [
        row | {"append_ms": append_ms, "digest": crc32(value[5:]), "partition": partition}
        for row, append_ms, value in counted
    ]
    state: dict[tuple[str, str], bytes] = {}
    for part in _cuts(events, seed):
        batch = build(part)
        own = {e: [state.get((e, i), b"") for i in index.ids] for e, index in batch.entities.items()}
        _keep(state, batch.entities, shipped_kernel().fold(batch, own))
    return {f"{entity}:{entity_id}": partial for (entity, entity_id), partial in state.items()}


def refold_labels(labels: Sequence[Row], *, partition: int, seed: int) -> State:
    """Fold labels of one partition; arguments as for ``refold_transactions``."""
    state: dict[tuple[str, str], bytes] = {}
    for part in _cuts(labels, seed):
        columns = [pa.array([one[name] for one in part], kind) for name, kind in _LABEL_TYPES.items()]
        batch = shipped_kernel().build_labels(
            pa.RecordBatch.from_arrays(columns, names=list(_LABEL_TYPES)), partition=partition, placeholders=BUILT_IN
        )
        own = {e: [state.get((e, i), b"") for i in batch.entities[e].ids] for e in shipped_kernel().label_entities}
        _keep(state, batch.entities, shipped_kernel().fold_labels(batch, own))
    return {f"{entity}:{entity_id}": partial for (entity, entity_id), partial in state.items()}


def _keep(state: dict[tuple[str, str], bytes], entities: Any, partials: dict[str, list[bytes]]) -> None:
    for entity, values in partials.items():
        for entity_id, value in zip(entities[entity].ids, values, strict=True):
            if value:
                state[entity, entity_id] = value


def _cuts(rows: Sequence[Row], seed: int) -> Iterator[Sequence[Row]]:
    dice, at = random.Random(seed), 0
    while at < len(rows):
        size = dice.randrange(1, CUT_RECORDS_MAX)
        yield rows[at : at + size]
        at += size


def as_float32(value: float | None) -> np.float32:
    """NaN for a missing value."""
    return np.float32(np.nan) if value is None else np.float32(value)
