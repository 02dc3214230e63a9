"""Makes rows of records: decodes, salts, hashes and sorts. Pure but for the source of salts, which is given.

What the columns are is in ``archive/columns.py``.

**Cost:** some 4 µs a row, most of it for leaf, id and lists of Python's bytes; memory is the records' bytes twice,
until the batch is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.columns import DAY, FIXED, HEADERS, REQUEST_ID, SORTED_BY, bucket_of
from weir.archive.tree import LEAF_BYTES, SALT_BYTES, each_leaf, row_bytes
from weir.schemas.avro.codec import Decoded
from weir.schemas.durations import DAY_MS
from weir.schemas.request_id import find_request_id

_NO_ID = bytes(8)
Headers = list[tuple[str, bytes | None]]
Decode = Callable[[Sequence[bytes | None]], Decoded]


@dataclass
class Raw:
    """Records of one topic as they stood in the log, by columns of equal length.

    Attributes:
        framed: the values as the decoder takes them; null where there is nothing to decode.
        refused: by their place, why records are not to be decoded; their ``framed`` is null.
    """

    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    append_ms: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    framed: list[bytes | None] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


class RowMaker:
    """Makes the rows of one topic."""

    def __init__(
        self,
        topic: str,
        columns: Mapping[str, pa.Field],
        decode: Decode | None,
        id_field: str,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Bind to a topic.

        Args:
            topic: its name, which is part of each leaf.
            columns: of the table, by the record's field that they hold.
            decode: None for a topic whose values are not ours to decode.
            id_field: of the record; the columns ``id`` and ``id_hash`` are made of it.
            random_bytes: of a cryptographic source.
        """
        self._topic = topic
        self._columns = dict(columns)
        self._decode = decode
        self._id_field = id_field
        self._random_bytes = random_bytes
        self.schema = pa.schema([*(each for each in FIXED if each.name != "batch"), *self._columns.values()])

    def make(self, raw: Raw) -> pa.RecordBatch:
        """Return the rows of some records in their order, without ``batch``.

        Raises:
            Transient: the registry is unreachable.
        """
        decoded, reasons = self._decode_all(raw)
        ids = decoded.pop("", pa.nulls(len(raw.offsets), pa.string()))
        found = {
            "partition": pa.array(raw.partitions, pa.int32()),
            "offset": pa.array(raw.offsets, pa.int64()),
            "append_ms": pa.array(raw.append_ms, pa.int64()),
            DAY: _days(raw.append_ms),
            "bucket": pa.array([bucket_of(key) for key in raw.keys], pa.int32()),
            "key": pa.array(raw.keys, pa.binary()),
            "value": pa.array(raw.values, pa.binary()),
            "headers": _list_headers(raw.headers),
            "id": ids,
            "id_hash": _hash_ids(ids),
            "undecoded": pa.array([reasons.get(place) for place in range(len(ids))], pa.string()),
            REQUEST_ID: _list_request_ids(raw.headers),
            **self._seal(raw),
        }
        return pa.RecordBatch.from_arrays(
            [{**found, **decoded}[name] for name in self.schema.names], schema=self.schema
        )

    def _seal(self, raw: Raw) -> dict[str, pa.Array]:
        count, topic = len(raw.offsets), self._topic
        salts = self._random_bytes(SALT_BYTES * count)
        parts = zip(raw.partitions, raw.offsets, raw.append_ms, raw.keys, raw.values, raw.headers, strict=True)
        leaves = b"".join(each_leaf(salts, (row_bytes(topic, *part) for part in parts)))
        return {"salt": _cut(salts, SALT_BYTES), "leaf": _cut(leaves, LEAF_BYTES)}

    def _decode_all(self, raw: Raw) -> tuple[dict[str, pa.Array], dict[int, str]]:
        """Return the decoded columns by their names, the id by an empty one, and why others were not by their place."""
        count = len(raw.offsets)
        if self._decode is None:
            return {each.name: pa.nulls(count, each.type) for each in self._columns.values()}, {}
        decoded = self._decode(raw.framed)
        batch = decoded.batch
        if len(decoded.rows) < count:
            batch = batch.take(_places(decoded.rows, count))
        found = {column.name: _fit(batch.column(name), column.type) for name, column in self._columns.items()}
        if self._id_field in batch.schema.names:
            found[""] = _fit(batch.column(self._id_field), pa.string())
        return found, {place: error.reason for place, error in decoded.errors} | raw.refused


def sort_rows(batches: Iterable[pa.RecordBatch], batch: int) -> pa.Table:
    """Return rows as they are written, with the number of their commit.

    Args:
        batches: at least one, of one schema.
        batch: the number.
    """
    table = pa.Table.from_batches(list(batches))
    fields = [*(each.name for each in FIXED if each.name != "batch"), "batch"]
    table = table.append_column("batch", pa.array(np.full(len(table), batch, np.int64)))
    own = [name for name in table.schema.names if name not in fields]
    return table.select([*fields, *own]).sort_by([(name, "ascending") for name in SORTED_BY])


def _cut(content: bytes, length: int) -> pa.Array:
    """Return parts of some bytes that all have one length, without a copy of each."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(length), len(content) // length, [None, pa.py_buffer(content)]
    ).cast(pa.binary())


def _days(append_ms: Sequence[int]) -> pa.Array:
    days = np.array(append_ms, np.int64) // DAY_MS
    return pa.array(days.astype(np.int32), pa.int32()).cast(pa.date32())


def _list_headers(headers: Sequence[Headers]) -> pa.Array:
    ends = np.cumsum([0, *map(len, headers)], dtype=np.int32)
    names = [name for each in headers for name, _ in each]
    values = [value for each in headers for _, value in each]
    pairs = pa.StructArray.from_arrays(
        [pa.array(names, pa.string()), pa.array(values, pa.binary())], fields=list(HEADERS.value_type.fields)
    )
    return pa.ListArray.from_arrays(pa.array(ends), pairs).cast(HEADERS)


def _list_request_ids(headers: Sequence[Headers]) -> pa.Array:
    found = [find_request_id(each) if each else None for each in headers]  # most records have no header
    return pa.array([None if each is None else each.decode() for each in found], pa.string())


def _hash_ids(ids: pa.Array) -> pa.Array:
    """Return ``hash_id`` of each, all of one batch at once."""
    texts, sha256 = ids.to_pylist(), hashlib.sha256
    heads = b"".join([_NO_ID if each is None else sha256(each.encode()).digest()[:8] for each in texts])
    hashes = np.frombuffer(heads, ">i8").astype(np.int64)
    return pa.array(hashes, mask=ids.is_null().to_numpy(zero_copy_only=False))


def _places(rows: npt.NDArray[np.int64], count: int) -> pa.Array:
    """Return for each record the place of its decoded row, null where it has none."""
    places = np.full(count, -1, np.int64)
    places[rows] = np.arange(len(rows))
    return pa.array(places, mask=places < 0)


def _fit(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values as a column's type; what has no place in it becomes null."""
    if values.type == kind:
        return values
    try:
        return values.cast(kind)
    except pa.ArrowException:
        return pa.array([_fit_one(value, kind) for value in values.to_pylist()], kind)


def _fit_one(value: object, kind: pa.DataType) -> object:
    try:
        return pa.scalar(value, kind).as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None
