"""A batch of events as flat columns: what the kernel reads, and which entity each row is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.expression import Expression
from weir.schemas.expression_values import holds
from weir.schemas.placeholders import Placeholders
from weir.schemas.stream import Stream
from weir.streaming.core.columns import compute_integers, read_integers, read_numbers, read_strings, with_columns
from weir.streaming.core.entity_index import (
    Coded,
    EntityIndex,
    build_index,
    encode_column,
    hash_coded,
    spread,
    without_placeholders,
)
from weir.streaming.core.hashing import hash_strings
from weir.streaming.core.layout import NO_COORDINATE, REVERSAL
from weir.streaming.core.working_memory import Shape


@dataclass(frozen=True)
class EventBatch:
    """Rows in log order; every array has shape (rows,) where nothing else is said.

    Attributes:
        event_time_ms: int64, UTC epoch ms.
        append_time_ms: int64, the broker's append time.
        values: int64, shape (measures, rows).
        flags: uint32, a bit per flag, and ``layout.REVERSAL``.
        lat_e5: int32, 1e-5 degrees, ``NO_COORDINATE`` where the position is not known.
        lon_e5: int32, likewise.
        partition: int32, input partition.
        id_hash: uint64, of the event's id.
        body_digest: uint32, of the record's raw value.
        hashes: uint32, shape (fields told apart, rows); 0 where null or a placeholder.
        entities: who each row is about, by the entity's name.
        records: the records with a column for each measure; of a request, dicts with its measures and flags.
    """

    event_time_ms: NDArray[np.int64]
    append_time_ms: NDArray[np.int64]
    values: NDArray[np.int64]
    flags: NDArray[np.uint32]
    lat_e5: NDArray[np.int32]
    lon_e5: NDArray[np.int32]
    partition: NDArray[np.int32]
    id_hash: NDArray[np.uint64]
    body_digest: NDArray[np.uint32]
    hashes: NDArray[np.uint32]
    entities: Mapping[str, EntityIndex]
    records: pa.RecordBatch | Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.event_time_ms)


@dataclass(frozen=True)
class Log:
    """What the log says of each row, beyond the record.

    Attributes:
        append_time_ms: int64, shape (rows,).
        partition: input partition of each row, or one for all.
        body_digest: uint32, shape (rows,), a digest of each record's raw value.
    """

    append_time_ms: NDArray[np.int64]
    partition: NDArray[np.int32] | int
    body_digest: NDArray[np.uint32]


def build_event_batch(
    stream: Stream, shape: Shape, batch: pa.RecordBatch, log: Log, placeholders: Placeholders
) -> EventBatch:
    """Turn validated records of a stream into flat columns.

    Args:
        stream: what the records mean.
        shape: the stream's.
        batch: columns of the newest schema, rows in log order.
        log: what the log says of them.
        placeholders: ids that name nobody. A key of such an id was counted once, and keeps its state.

    Raises:
        ValueError: when a measure is missing or out of the validated range.
    """
    partition = spread(log.partition, batch.num_rows)
    coded = _encode_fields(stream, batch)
    placeholders = placeholders.with_zero_fields(stream.zero_fields)
    ids = {name: column for name, column in coded.items() if name in stream.id_fields}
    known = coded | without_placeholders(ids, placeholders)
    values, records = _compute_measures(stream, shape, batch)
    lat_e5, lon_e5 = _compute_coordinates(stream, batch)
    hashes = np.empty((len(stream.attribute_fields), batch.num_rows), np.uint32)
    for row, name in enumerate(stream.attribute_fields):
        hashes[row] = hash_coded(known[name])
    of_entity = {e.name: (coded if e.name == stream.key.name else known)[e.field] for e in stream.entities}
    return EventBatch(
        event_time_ms=read_integers(batch, stream.time),
        append_time_ms=np.asarray(log.append_time_ms, dtype=np.int64),
        values=values,
        flags=_compute_flags(stream, records),
        lat_e5=lat_e5,
        lon_e5=lon_e5,
        partition=partition,
        id_hash=hash_strings(read_strings(batch, stream.id)),
        body_digest=np.asarray(log.body_digest, dtype=np.uint32),
        hashes=hashes,
        entities={name: build_index(column, partition) for name, column in of_entity.items()},
        records=records,
    )


def _encode_fields(stream: Stream, batch: pa.RecordBatch) -> dict[str, Coded]:
    fields = dict.fromkeys([*(entity.field for entity in stream.entities), *stream.attribute_fields])
    return {name: encode_column(read_strings(batch, name)) for name in fields}


def _compute_measures(stream: Stream, shape: Shape, batch: pa.RecordBatch) -> tuple[NDArray[np.int64], pa.RecordBatch]:
    """Return the measures, and the records with a column for each."""
    values = np.zeros((shape.measures, batch.num_rows), np.int64)
    for row, measure in enumerate(stream.measures):
        values[row] = compute_integers(measure.value, batch)
        if batch.num_rows and measure.bound is not None and np.abs(values[row]).max() > measure.bound:
            raise ValueError(
                f"expected a validated {measure.name}, found one out of range; such records belong in the DLQ"
            )
    named = {measure.name: pa.array(values[row]) for row, measure in enumerate(stream.measures)}
    return values, with_columns(batch, named) if named else batch


def list_conditions(stream: Stream) -> list[tuple[str, Expression, int]]:
    """Return the name, the expression and the bit of each flag, and of the reversal."""
    conditions = [(flag.name, flag.when, 1 << bit) for bit, flag in enumerate(stream.flags)]
    return conditions + ([(stream.reversal.name, stream.reversal.when, REVERSAL)] if stream.reversal else [])


def _compute_flags(stream: Stream, records: pa.RecordBatch) -> NDArray[np.uint32]:
    flags = np.zeros(records.num_rows, np.uint32)
    for _, when, bit in list_conditions(stream):
        flags |= holds(when, records) * np.uint32(bit)
    return flags


def _compute_coordinates(stream: Stream, batch: pa.RecordBatch) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if stream.position is None:
        nowhere = np.full(batch.num_rows, NO_COORDINATE, np.int32)
        return nowhere, nowhere
    both = [read_numbers(batch, name) for name in (stream.position.lat, stream.position.lon)]
    known = ~(np.isnan(both[0]) | np.isnan(both[1]))
    # as doubles, whatever the field is: next to a null Arrow makes them doubles, and batches must not tell
    degrees = [np.where(known, each, 0.0).astype(np.float64, copy=False) for each in both]
    scaled = [np.where(known, np.rint(each * 1e5), NO_COORDINATE).astype(np.int32) for each in degrees]
    return scaled[0], scaled[1]
