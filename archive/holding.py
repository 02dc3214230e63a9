"""Which rows hold an id, whatever column or bytes it is in: what erasing has to find. Pure.

A row holds an id when its key is the id, when a decoded text is, when a text in its Avro value is, or when its bytes
could not be decoded, or are in a header, and the id is a word of them. Avro writes a text's length before it, so
that an id which is only part of a longer one is not mistaken for it.
"""

from __future__ import annotations

import re
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

_WORD = r"[0-9A-Za-z_\-]"
"""Of what ids are made as a rule: an id that such a letter follows or precedes is another one."""


def holds(rows: pa.RecordBatch, wanted: str) -> pa.BooleanArray:
    """Return per row whether it holds an id."""
    names = rows.schema.names
    found = [pc.equal(rows.column(name), wanted) for name in names if pa.types.is_string(rows.schema.field(name).type)]
    found.append(pc.equal(rows.column("key"), wanted.encode()))
    found.append(pc.match_substring(rows.column("value"), encode_text(wanted)))
    # a value that could not be decoded is anybody's, and only its bytes can be searched
    found.append(pc.and_(pc.is_null(rows.column("id")), _as_word(rows.column("value"), wanted)))
    found.append(_in_headers(rows.column("headers"), wanted))
    return reduce(pc.or_, [pc.fill_null(each, False) for each in found])


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


def _as_word(column: pa.Array, wanted: str) -> pa.BooleanArray:
    near = pc.match_substring(column, wanted.encode())
    word = re.compile(rb"(?<!%b)%b(?!%b)" % (_WORD.encode(), re.escape(wanted.encode()), _WORD.encode()))
    near_values = zip(near.to_pylist(), column, strict=True)
    sure = [bool(is_near) and word.search(value.as_py()) is not None for is_near, value in near_values]
    return pa.array(sure, pa.bool_())


def _in_headers(headers: pa.ListArray, wanted: str) -> pa.BooleanArray:
    values = pc.struct_field(pc.list_flatten(headers), "value")
    rows = pc.list_parent_indices(headers).filter(pc.fill_null(_as_word(values, wanted), False))
    holding = set(rows.to_pylist())
    return pa.array([row in holding for row in range(len(headers))], pa.bool_())
