"""The columns of the archive's tables: the contract of all that reads, seals or erases rows. Pure.

There is one Delta table for each topic, in a folder of the topic's name under one root. A row is a record of the topic
as a ``read_committed`` consumer is given it, and each record has one row.

============ ======== ==================================================================================================
partition    int32    of the record in its topic
offset       int64    of the record in its partition; with ``partition`` it names the row
append_ms    int64    the broker's append time, UTC epoch ms; 0 where the broker has none
day          date     UTC day of ``append_ms``; the table's only partition column
bucket       int32    ``bucket_of(key)``, 0 to 63
key          binary   as in the record; null where there is none
value        binary   as on the wire, the schema's id included; null for a tombstone
headers      list     of ``{name: string, value: binary}`` in the record's order; empty where there are none
id           string   of the event that the record is or is about, where it could be decoded, else null
id_hash      int64    ``hash_id(id)``; null where ``id`` is
undecoded    string   why nothing is decoded of the record, as in its dead letter, such as ``decoder_died``; null where
                      it is, in dead letters, and in rows that an older release archived
x_request_id string   id of the HTTP request that published the event, as the record's header says; null where there is
                      none, and in rows that an older release archived
salt         binary   16 random bytes of the row's own
leaf         binary   32 bytes: ``leaf(salt, row_bytes(topic, partition, offset, append_ms, key, value, headers))`` of
                      ``archive/tree.py``
batch        int64    number of the commit that brought it: 1, 2, 3 … in each table, without holes; rewrites keep it
============ ======== ==================================================================================================

After these come the fields of the newest Avro schema of the topic, decoded, all nullable. A field whose name is taken
above has ``record_`` before its name. Fields that are added to a schema become further columns and rewrite nothing:
rows from before have null there. A record that cannot be decoded has null in all of them, and its bytes are kept.
A column keeps the type that it had first; a value that does not fit it later is null there, and whole in ``value``.

Rows within one file are sorted by ``bucket``, ``key``, ``partition``, ``offset``; a file holds rows of one day. Rows of
one batch may be in several files, and after files were joined a file holds rows of several batches.

The table's configuration names the format's version (``weir.format``), the topic and its id, and the stream.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

import pyarrow as pa

FORMAT = 1
"""Version of all that the module says. A table of a higher one is refused, one of a lower one is read."""
BUCKETS = 64
"""One key's rows are in one of so many ranges of a day's files, which file statistics tell apart."""
SORTED_BY = ("bucket", "key", "partition", "offset")
DAY = "day"
REQUEST_ID = "x_request_id"
_TAKEN = "record_"

HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
FIXED = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("append_ms", pa.int64()),
        (DAY, pa.date32()),
        ("bucket", pa.int32()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", HEADERS),
        ("id", pa.string()),
        ("id_hash", pa.int64()),
        ("undecoded", pa.string()),
        (REQUEST_ID, pa.string()),
        ("salt", pa.binary()),
        ("leaf", pa.binary()),
        ("batch", pa.int64()),
    ]
)


def bucket_of(key: bytes | None) -> int:
    """Return the bucket of a key: CRC-32 of its bytes, by 64; no key counts as no bytes.

    >>> bucket_of(b"card-1"), bucket_of(None)
    (20, 0)
    """
    return zlib.crc32(key or b"") % BUCKETS


def hash_id(text: str) -> int:
    """Return the hash of an id: the first eight bytes of its SHA-256 as a signed number, big end first.

    >>> hash_id("t1")
    7100850435678660986
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)


def decoded_columns(record: pa.Schema) -> dict[str, pa.Field]:
    """Return the column of each field of a record; a field of a type that a table cannot hold has none.

    >>> list(decoded_columns(pa.schema([("card_id", pa.string()), ("key", pa.int32())])).values())
    [pyarrow.Field<card_id: string>, pyarrow.Field<record_key: int32>]
    """
    return dict(_list_columns(record))


def _list_columns(record: pa.Schema) -> Iterator[tuple[str, pa.Field]]:
    names: set[str] = set(FIXED.names)
    for field in record:
        kind = stored_type(field.type)
        # a table's columns differ in more than the case of their letters
        name = f"{_TAKEN}{field.name}" if field.name.lower() in names else field.name
        if kind is not None and name.lower() not in names:
            names.add(name.lower())
            yield field.name, pa.field(name, kind)


def stored_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type that a value has in a table, or ``None`` where a table has none for it.

    >>> stored_type(pa.dictionary(pa.int32(), pa.string())), stored_type(pa.dense_union([]))
    (DataType(string), None)
    """
    if pa.types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if pa.types.is_list(kind):
        items = stored_type(kind.value_type)
        return pa.list_(items) if items is not None else None
    if pa.types.is_struct(kind):
        parts = [(part.name, stored_type(part.type)) for part in kind.fields]
        return pa.struct(parts) if parts and all(each is not None for _, each in parts) else None
    return kind if kind in _PLAIN else None


_PLAIN = (
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.binary(),
)  # fmt: skip
