"""Which rows are about an entity, whatever bytes its id is in: what erasing has to find. Pure.

A row that was decoded has the entity's field, and that says it. Where the field is not there, as in dead letters and
in rows from before the field was kept, the bytes are searched: a key that is the id, a text of Avro that is, and in a
value that could not be decoded or in a header the id as a word. Avro writes a text's length before it, so that an id
which is only part of a longer one is not mistaken for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

_WORD = rb"[0-9A-Za-z_\-]"
"""Of what ids are made as a rule: an id that such a letter follows or precedes is another one."""


@dataclass(frozen=True)
class Wanted:
    """The entity whose rows are wanted.

    Attributes:
        id: of the entity.
        field: of a record that holds the id.
        is_key: the id is the key of the stream's records.
        until_ms: newest append time of the rows that are wanted, UTC epoch milliseconds.
    """

    id: str
    field: str
    is_key: bool
    until_ms: int = (1 << 63) - 1


def holds(rows: pa.RecordBatch, wanted: Wanted) -> pa.BooleanArray:
    """Return per row whether it is about the entity."""
    text, content = wanted.id, wanted.id.encode()
    keys, values = rows.column("key"), rows.column("value")
    own = rows.column(wanted.field) if wanted.field in rows.schema.names else pa.nulls(len(rows), pa.string())
    is_same_key, unknown = pc.equal(keys, content), pc.is_null(own)
    of_text = pc.match_substring(values, encode_text(text))
    undecoded = pc.and_(pc.is_null(rows.column("id")), _has_word(values, content))
    found = [
        pc.equal(own, text),
        is_same_key if wanted.is_key else pc.and_(is_same_key, unknown),
        pc.and_(unknown, _or(of_text, undecoded)),
        _has_header(rows.column("headers"), content),
    ]
    return pc.and_(reduce(_or, found), pc.less_equal(rows.column("append_ms"), wanted.until_ms))


def encode_text(text: str) -> bytes:
    r"""Return a text as it is in Avro: the length of its bytes, zigzag and in groups of seven bits, then the bytes.

    >>> encode_text("ab"), encode_text("x" * 64)[:2]
    (b'\x04ab', b'\x80\x01')
    """
    content = text.encode()
    left, written = len(content) << 1, bytearray()
    while left > 0x7F:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*written, left]) + content


def _or(one: pa.BooleanArray, other: pa.BooleanArray) -> pa.BooleanArray:
    return pc.or_(pc.fill_null(one, False), pc.fill_null(other, False))


def _has_word(column: pa.Array, content: bytes) -> pa.BooleanArray:
    near = pc.fill_null(pc.match_substring(column, content), False)
    word = re.compile(b"(?<!%b)%b(?!%b)" % (_WORD, re.escape(content), _WORD))
    sure = [
        is_near and word.search(value.as_py()) is not None
        for is_near, value in zip(near.to_pylist(), column, strict=True)
    ]
    return pa.array(sure, pa.bool_())


def _has_header(headers: pa.ListArray, content: bytes) -> pa.BooleanArray:
    values = pc.struct_field(pc.list_flatten(headers), "value")
    holding = set(pc.list_parent_indices(headers).filter(_has_word(values, content)).to_pylist())
    return pa.array([row in holding for row in range(len(headers))], pa.bool_())
