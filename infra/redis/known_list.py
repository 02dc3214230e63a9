r"""The list of ids that a unit's partials were ever written for: what its bytes are, and whether they can be believed.

Each write appends a part: a head, and an entry for each id that had no partial before::

    255, 8 0, length of the entries (4 bytes), their CRC-32 (4 bytes)
    the kind's place among the stream's entities, length of the id (2 bytes), the id

Numbers have their low byte first; the head is an entry too, of a kind that no stream has. A process that reads a list
asks Redis for none of the partials that it does not name, so a list that is not what was written is no list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final
from zlib import crc32

HEAD_KIND: Final = 255
"""Of entries that are heads; a stream has fewer entities."""
ENTRY_BYTES: Final = 3
"""Of an entry before its id."""
SEGMENT_BYTES: Final = 512_000
"""A value of Redis holds so much of a list, and the part that goes beyond."""
_HEAD = struct.Struct("<BHII")


def segment_of(length: int) -> str:
    """Return the key, within its unit, to which a list of this length grows.

    >>> segment_of(0), segment_of(SEGMENT_BYTES)
    ('known:0', 'known:1')
    """
    return f"known:{length // SEGMENT_BYTES}"


def list_segments(length: int) -> list[str]:
    """Return the keys, within their unit, that may hold a list of this length, in order.

    >>> list_segments(SEGMENT_BYTES + 1)
    ['known:0', 'known:1']
    """
    return [segment_of(first) for first in range(0, length, SEGMENT_BYTES)]


def pack_part(entries: bytes) -> bytes:
    r"""Return what a write appends; nothing for no entries.

    >>> pack_part(b"\x00\x02\x00c1")
    b'\xff\x08\x00\x05\x00\x00\x00\xc8\x07%s\x00\x02\x00c1'
    """
    return _HEAD.pack(HEAD_KIND, 8, len(entries), crc32(entries)) + entries if entries else b""


def read_parts(text: bytes) -> list[bytes] | None:
    r"""Return the entries of each part of a list; ``None`` where it is not what was written.

    >>> read_parts(pack_part(b"\x00\x02\x00c1")), read_parts(b"\x00\x02\x00c1")
    ([b'\x00\x02\x00c1'], None)
    """
    parts, at = [], 0
    while at < len(text):
        if at + _HEAD.size > len(text):
            return None
        kind, size, length, check = _HEAD.unpack_from(text, at)
        at += _HEAD.size
        entries = text[at : at + length]
        if (kind, size) != (HEAD_KIND, 8) or len(entries) != length or crc32(entries) != check:
            return None
        parts.append(entries)
        at += length
    return parts


def leave_out(text: bytes, entry: bytes) -> bytes:
    r"""Return a list, or a piece of one, without an id: bytes without a meaning, as many as it had, are in its place.

    What is not what was written stays so: its parts keep the checks that they have.

    Args:
        text: of the list.
        entry: the id, with its length before it.

    >>> leave_out(b"\x00\x02\x00c1\x00\x02\x00c2", b"\x02\x00c1")
    b'\x00\x02\x00\x00\x00\x00\x02\x00c2'
    """
    if entry not in text:
        return text
    if (parts := read_parts(text)) is None:
        return b"".join(_without(text, entry))
    return b"".join(pack_part(b"".join(_without(part, entry))) for part in parts)


def _without(entries: bytes, entry: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(entries):
        end = at + ENTRY_BYTES + int.from_bytes(entries[at + 1 : at + ENTRY_BYTES], "little")
        found = entries[at:end]
        yield found[:ENTRY_BYTES] + bytes(len(found) - ENTRY_BYTES) if found[1:] == entry else found
        at = end
