"""A batch of transactions as flat columns: what the kernel reads, and which entity each row is about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from weir.schemas.currencies import MAX_AMOUNT_BASE_MINOR, micro_rate
from weir.schemas.features import ENTITIES, SMALL_AMOUNT_MINOR, Entity
from weir.schemas.placeholders import Placeholders
from weir.schemas.validation import TRANSACTION_IDS
from weir.streaming.core.hashing import fold_to_32_bits, hash_strings
from weir.streaming.core.jit import entry
from weir.streaming.core.layout import NO_COORDINATE, REVERSAL

FLAGS = ("declined", "online", "foreign", "small")
ATTRIBUTE_FIELDS = tuple(dict.fromkeys(name for spec in ENTITIES for name in spec.attributes))
ONLINE_CHANNELS = pa.array(["ECOM", "MOTO"])


@dataclass(frozen=True)
class EntityIndex:
    """Which entity each row is about: one position per distinct (partition, id), in order of first appearance.

    Attributes:
        units: int32, the input partition of each position.
        values: the entity id of each position.
        codes: int32, shape (rows,); a row's position, or -1 where the row names no such entity: null or a placeholder.
    """

    units: NDArray[np.int32]
    values: pa.Array
    codes: NDArray[np.int32]

    @cached_property
    def partitions(self) -> list[int]:
        """``units`` as a list."""
        return self.units.tolist()

    @cached_property
    def ids(self) -> list[str]:
        """``values`` as a list; history never asks for it."""
        ids: list[str] = self.values.to_pylist()
        return ids

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class EventBatch:
    """Rows in log order; every array has shape (rows,).

    Attributes:
        event_time_ms: int64, UTC epoch ms.
        append_time_ms: int64, the broker's append time.
        values: int64, shape (measures, rows): base minor units; not above 0 for a refund.
        flags: uint32, a bit per flag, and ``REVERSAL`` for a refund.
        lat_e5: int32, 1e-5 degrees, ``NO_COORDINATE`` where the position is not known.
        lon_e5: int32, likewise.
        mcc: int32.
        partition: int32, input partition.
        id_hash: uint64, of the transaction id.
        body_digest: uint32, of the record's raw value.
        hashes: uint32, shape (fields told apart, rows); 0 where null or a placeholder.
        entities: who each row is about.
    """

    event_time_ms: NDArray[np.int64]
    append_time_ms: NDArray[np.int64]
    values: NDArray[np.int64]
    flags: NDArray[np.uint32]
    lat_e5: NDArray[np.int32]
    lon_e5: NDArray[np.int32]
    mcc: NDArray[np.int32]
    partition: NDArray[np.int32]
    id_hash: NDArray[np.uint64]
    body_digest: NDArray[np.uint32]
    hashes: NDArray[np.uint32]
    entities: dict[Entity, EntityIndex]

    def __len__(self) -> int:
        return len(self.event_time_ms)


@dataclass(frozen=True)
class Coded:
    """A string column as codes into its distinct values; -1 is null."""

    codes: NDArray[np.int32]
    values: pa.Array


def encode_column(column: pa.Array) -> Coded:
    """Dictionary-encode a string column (or one that already is), in order of first appearance."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return Coded(codes, encoded.dictionary)


def without_placeholders(coded: Coded, field: str, placeholders: Placeholders) -> Coded:
    """Return an id column with null for each id that names nobody."""
    found = placeholders.find(field, coded.values)
    if not len(found):
        return coded
    kept = np.ones(len(coded.values), dtype=bool)
    kept[found] = False
    positions = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)  # code -1 reads the last
    return Coded(positions[coded.codes], coded.values.filter(pa.array(kept)))


@entry
def _join_partitions(
    codes: NDArray[np.int32], partition: NDArray[np.int32], table: NDArray[np.int32], first: NDArray[np.int64]
) -> int:
    """Renumber codes in place by (partition, code), in order of first appearance; return how many there are."""
    size = 0
    for row in range(len(codes)):
        if codes[row] < 0:
            continue
        if table[partition[row], codes[row]] < 0:
            table[partition[row], codes[row]] = size
            first[size] = row
            size += 1
        codes[row] = table[partition[row], codes[row]]
    return size


def build_index(coded: Coded, partition: NDArray[np.int32]) -> EntityIndex:
    """Number the distinct (partition, id) of a column."""
    size = len(coded.values)
    if len(partition) == 0 or (partition == partition[0]).all():
        return EntityIndex(np.full(size, partition[0] if len(partition) else 0, np.int32), coded.values, coded.codes)
    codes = coded.codes.copy()
    table = np.full((int(partition.max()) + 1, size), -1, dtype=np.int32)
    first = np.empty(len(codes), dtype=np.int64)
    first = first[: _join_partitions(codes, partition, table, first)]
    return EntityIndex(partition[first], coded.values.take(pa.array(coded.codes[first])), codes)


def _hash_coded(coded: Coded) -> NDArray[np.uint32]:
    hashes = np.append(fold_to_32_bits(hash_strings(coded.values)), np.uint32(0))  # code -1 reads the last: null is 0
    return hashes[coded.codes]


def _compute_base_amounts(amount_minor: NDArray[np.int64], currency: pa.Array) -> NDArray[np.int64]:
    coded = encode_column(currency)
    rates = np.array([micro_rate(value) for value in coded.values.to_pylist()], dtype=np.int64)
    if len(amount_minor) == 0:
        return amount_minor
    sizes = (np.abs(amount_minor) * rates[coded.codes] + 500_000) // 1_000_000
    if sizes.min() < 0 or sizes.max() > MAX_AMOUNT_BASE_MINOR:
        raise ValueError("expected validated amounts, found one out of range; such records belong in the DLQ")
    return np.where(amount_minor < 0, -sizes, sizes)


def read_strings(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a string column of the batch; all null when an older writer did not have it."""
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    column = batch.column(name)
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _mask(condition: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = condition.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _compute_flags(batch: pa.RecordBatch, amount_minor: NDArray[np.int64]) -> NDArray[np.uint32]:
    masks = {
        "declined": _mask(pc.equal(read_strings(batch, "outcome"), "DECLINED")),
        "online": _mask(pc.is_in(read_strings(batch, "channel"), value_set=ONLINE_CHANNELS)),
        "foreign": _mask(pc.not_equal(read_strings(batch, "issuer_country"), read_strings(batch, "country"))),
        "small": amount_minor <= SMALL_AMOUNT_MINOR,
    }
    flags = (read_integers(batch, "amount_minor") < 0) * np.uint32(REVERSAL)
    for bit, name in enumerate(FLAGS):
        flags |= masks[name] * np.uint32(1 << bit)
    return flags


def _compute_coordinates(batch: pa.RecordBatch) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    both = []
    for name in ("lat", "lon"):
        column = batch.column(name).cast(pa.float64()).fill_null(float("nan"))
        both.append(column.to_numpy(zero_copy_only=False))
    known = ~(np.isnan(both[0]) | np.isnan(both[1]))
    scaled = [np.where(known, np.rint(np.where(known, degrees, 0.0) * 1e5), NO_COORDINATE) for degrees in both]
    return scaled[0].astype(np.int32), scaled[1].astype(np.int32)


def read_integers(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    """Return an integer column of the batch."""
    values: NDArray[np.int64] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return values


def build_event_batch(
    batch: pa.RecordBatch,
    *,
    append_time_ms: NDArray[np.int64],
    partition: NDArray[np.int32] | int,
    body_digest: NDArray[np.uint32],
    placeholders: Placeholders,
) -> EventBatch:
    """Turn validated transactions into flat columns.

    Args:
        batch: columns of the newest transaction schema, rows in log order.
        append_time_ms: int64, shape (rows,).
        partition: input partition of each row, or one for all.
        body_digest: uint32, shape (rows,), a digest of each record's raw value.
        placeholders: ids that name nobody. A card of such an id was counted once, and keeps its state.

    Raises:
        ValueError: when an amount is out of the validated range.
        KeyError: when a currency is not in the table.
    """
    rows = batch.num_rows
    partitions = np.ascontiguousarray(np.broadcast_to(np.asarray(partition, dtype=np.int32), rows))
    fields = {spec.id_field for spec in ENTITIES} | {name for spec in ENTITIES for name in spec.attributes}
    coded = {name: encode_column(read_strings(batch, name)) for name in fields}
    ids = {name: without_placeholders(coded[name], name, placeholders) for name in fields & {*TRANSACTION_IDS}}
    card = coded["card_id"]
    coded |= ids
    amount_minor = _compute_base_amounts(read_integers(batch, "amount_minor"), read_strings(batch, "currency"))
    lat_e5, lon_e5 = _compute_coordinates(batch)
    return EventBatch(
        event_time_ms=read_integers(batch, "event_time_ms"),
        append_time_ms=np.asarray(append_time_ms, dtype=np.int64),
        values=amount_minor.reshape(1, rows),
        flags=_compute_flags(batch, amount_minor),
        lat_e5=lat_e5,
        lon_e5=lon_e5,
        mcc=read_integers(batch, "mcc").astype(np.int32),
        partition=partitions,
        id_hash=hash_strings(read_strings(batch, "transaction_id")),
        body_digest=np.asarray(body_digest, dtype=np.uint32),
        hashes=np.array([_hash_coded(coded[name]) for name in ATTRIBUTE_FIELDS]),
        entities={
            spec.entity: build_index(card if spec.entity is Entity.CARD else coded[spec.id_field], partitions)
            for spec in ENTITIES
        },
    )
