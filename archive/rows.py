"""Makes rows of records: decodes, salts, hashes and sorts. Pure but for the source of salts, which is given.

What the columns are is in ``archive/columns.py``.

**Cost:** some 5 µs a payment, most of it for leaf, id and lists of Python's bytes; memory is the records' bytes twice,
until the batch is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.columns import DAY, FIXED, HEADERS, SORTED_BY, bucket_of, hash_id
from weir.archive.tree import SALT_BYTES, leaf, row_bytes
from weir.schemas.avro.codec import Decoded
from weir.schemas.durations import DAY_MS

Headers = list[tuple[str, bytes | None]]
Decode = Callable[[Sequence[bytes | None]], Decoded]


@dataclass
class Raw:
    """Records of one topic as they stood in the log, by columns of equal length.

    Attributes:
        framed: the values as the decoder takes them; null where there is nothing to decode.
    """

    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    append_ms: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    framed: list[bytes | None] = field(default_factory=list)


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
        decoded = self._decode_all(raw)
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
            **self._seal(raw),
        }
        return pa.RecordBatch.from_arrays(
            [{**found, **decoded}[name] for name in self.schema.names], schema=self.schema
        )

    def _seal(self, raw: Raw) -> dict[str, pa.Array]:
        count, topic = len(raw.offsets), self._topic
        drawn = self._random_bytes(SALT_BYTES * count)
        salts = [drawn[at : at + SALT_BYTES] for at in range(0, SALT_BYTES * count, SALT_BYTES)]
        parts = zip(raw.partitions, raw.offsets, raw.append_ms, raw.keys, raw.values, raw.headers, strict=True)
        leaves = [leaf(salt, row_bytes(topic, *part)) for salt, part in zip(salts, parts, strict=True)]
        return {"salt": pa.array(salts, pa.binary()), "leaf": pa.array(leaves, pa.binary())}

    def _decode_all(self, raw: Raw) -> dict[str, pa.Array]:
        """Return the decoded columns by their names, the id by an empty one."""
        count = len(raw.offsets)
        if self._decode is None:
            return {each.name: pa.nulls(count, each.type) for each in self._columns.values()}
        decoded = self._decode(raw.framed)
        places = _places(decoded.rows, count)
        found = {
            column.name: _fit(decoded.batch.column(name).take(places), column.type)
            for name, column in self._columns.items()
        }
        if self._id_field in decoded.batch.schema.names:
            found[""] = _fit(decoded.batch.column(self._id_field).take(places), pa.string())
        return found


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


def _hash_ids(ids: pa.Array) -> pa.Array:
    return pa.array([None if each is None else hash_id(each) for each in ids.to_pylist()], pa.int64())


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
