"""A few events of requests as flat columns: what ``events.build_event_batch`` gives for columns, without Arrow's.

Each row is in a partition of its own: none of them has happened for another, and the kernel keeps their entities apart.

**Cost:** some 40 us for one row, a few for each further one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.records.one_row import RowPlan
from weir.schemas.stream import Stream
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.events import EventBatch, list_conditions
from weir.streaming.core.hashing import fold_to_32_bits, hash_strings
from weir.streaming.core.layout import NO_COORDINATE
from weir.streaming.core.working_memory import Shape

Rows = Sequence[Mapping[str, Any]]


def build_event_rows(
    stream: Stream, shape: Shape, plan: RowPlan, rows: Rows, append_time_ms: NDArray[np.int64]
) -> EventBatch:
    """Turn records that passed into flat columns.

    Args:
        stream: what the records mean.
        shape: the stream's.
        plan: of the stream.
        rows: from ``plan.derive``, each of which ``plan.passes``.
        append_time_ms: int64, shape (rows,).
    """
    partition = np.arange(len(rows), dtype=np.int32)
    hashed = _hash_texts(stream, plan, rows)
    values = np.zeros((shape.measures, len(rows)), np.int64)
    for place, measure in enumerate(stream.measures):
        values[place] = [row[measure.name] for row in rows]
    bits = [(name, bit) for name, _, bit in list_conditions(stream)]
    positions = [_read_position(stream, row) for row in rows]
    return EventBatch(
        event_time_ms=np.array([row[stream.time] for row in rows], np.int64),
        append_time_ms=append_time_ms,
        values=values,
        flags=np.array([sum(bit for name, bit in bits if row[name]) for row in rows], np.uint32),
        lat_e5=np.array([lat for lat, _ in positions], np.int32),
        lon_e5=np.array([lon for _, lon in positions], np.int32),
        partition=partition,
        id_hash=hashed[0],
        body_digest=np.zeros(len(rows), np.uint32),  # no record: a digest tells only two repeats of an id apart
        hashes=hashed[1],
        entities={entity.name: _build_index(plan, rows, entity.field) for entity in stream.entities},
        records=rows,
    )


def _hash_texts(stream: Stream, plan: RowPlan, rows: Rows) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Return the hash of each id, and of each field that is told apart: 0 where it is null or names nobody."""
    told = [plan.known(name, row[name]) for name in stream.attribute_fields for row in rows]
    hashes = hash_strings(pa.array([*(row[stream.id] for row in rows), *told], pa.string()))
    folded = np.where([text is not None for text in told], fold_to_32_bits(hashes[len(rows) :]), np.uint32(0))
    return hashes[: len(rows)], folded.reshape(len(stream.attribute_fields), len(rows))


def _build_index(plan: RowPlan, rows: Rows, field: str) -> EntityIndex:
    units: list[int] = []
    ids: list[str] = []
    codes = [-1] * len(rows)
    for place, row in enumerate(rows):
        found = plan.known(field, row[field])
        if found is not None:
            codes[place] = len(ids)
            units.append(place)
            ids.append(found)
    return EntityIndex(np.array(units, np.int32), pa.array(ids, pa.string()), np.array(codes, np.int32))


def _read_position(stream: Stream, row: Mapping[str, Any]) -> tuple[int, int]:
    """Return latitude and longitude in 1e-5 degrees."""
    if stream.position is None:
        return NO_COORDINATE, NO_COORDINATE
    lat, lon = row[stream.position.lat], row[stream.position.lon]
    return (NO_COORDINATE, NO_COORDINATE) if lat is None else (round(lat * 1e5), round(lon * 1e5))
