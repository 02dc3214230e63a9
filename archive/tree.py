"""The Merkle tree over archived rows: canonical row bytes, salted leaves, the root, inclusion proofs. Pure.

A row's **leaf** is HMAC-SHA256 of its canonical bytes under 16 random bytes of its own, the salt. Who holds row and
salt can compute it; once both are erased, 32 bytes are left from which nothing can be guessed, an id of few digits
neither.

The tree is that of RFC 6962, section 2.1, with the leaves as its entries: an entry is hashed behind a byte 0, two nodes
behind a byte 1, so that no inner node passes for an entry. A tree that is no power of two is never padded: at each
level a last node without a partner moves up as it is, which is the RFC's split at the largest power of two.

**Cost:** 1.5 µs a leaf of a batch, 1 µs a leaf in the tree.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

SALT_BYTES = 16
"""As long as a key that cannot be guessed; of a cryptographic source, one per row."""
LEAF_BYTES = 32

_BLOCK_BYTES, _INNER, _OUTER = 64, np.uint8(0x36), np.uint8(0x5C)
"""Of HMAC: what SHA-256 takes at once, and what the key is combined with on the inside and on the outside."""
_ENTRY, _NODE = b"\x00", b"\x01"
_ROW = b"weir.row.1"
"""Begins the bytes of a row; the number is the version of all that ``row_bytes`` writes."""
_NULL = 0xFFFF_FFFF
"""The length that stands for no bytes at all, which are other than none of them: a tombstone is no empty value."""
_POSITION = struct.Struct(">iqq")
_LENGTH = struct.Struct(">I")

Headers = Iterable[tuple[str, bytes | None]]


def row_bytes(
    topic: str,
    partition: int,
    offset: int,
    append_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> bytes:
    """Return a record as the bytes that its leaf stands for.

    Each part has a fixed length or its length before it, so that no two records have the same bytes.

    Args:
        topic: as the record's broker knows it.
        partition: of the topic.
        offset: in the partition.
        append_ms: the broker's append time, UTC epoch milliseconds.
        key: raw; None where there is none.
        value: raw, as on the wire; None where there is none.
        headers: in the record's order.

    >>> row_bytes("t", 1, 2, 3, None, b"v", []).hex(" ", 4)
    '77656972 2e726f77 2e310000 00017400 00000100 00000000 00000200 00000000 000003ff ffffff00 00000176 00000000'
    """
    parts = [_ROW, _sized(topic.encode()), _POSITION.pack(partition, offset, append_ms), _sized(key), _sized(value)]
    listed = list(headers)
    parts.append(_LENGTH.pack(len(listed)))
    for name, content in listed:
        parts += (_sized(name.encode()), _sized(content))
    return b"".join(parts)


def leaf(salt: bytes, row: bytes) -> bytes:
    """Return the leaf of a row's bytes under its salt, 32 bytes."""
    assert len(salt) == SALT_BYTES, f"expected a salt of {SALT_BYTES} bytes, found {len(salt)}"
    return hmac.digest(salt, _ENTRY + row, "sha256")


def each_leaf(salts: bytes, rows: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the leaf of each row's bytes, as ``leaf`` does, in half the time.

    It is HMAC as RFC 2104 writes it: what ``hmac`` does for each key by itself is done for all salts at once.

    Args:
        salts: of all rows, one after the other.
        rows: as many.
    """
    keys = np.zeros((len(salts) // SALT_BYTES, _BLOCK_BYTES), np.uint8)
    keys[:, :SALT_BYTES] = np.frombuffer(salts, np.uint8).reshape(-1, SALT_BYTES)
    inner, outer, sha256 = (keys ^ _INNER).tobytes(), (keys ^ _OUTER).tobytes(), hashlib.sha256
    for at, row in zip(range(0, len(inner), _BLOCK_BYTES), rows, strict=True):
        end = at + _BLOCK_BYTES
        yield sha256(outer[at:end] + sha256(inner[at:end] + _ENTRY + row).digest()).digest()


class Tree:
    """The tree over some entries, all levels kept, so that a proof costs nothing more.

    Attributes:
        size: number of entries.
        root: 32 bytes; of no entries, the hash of nothing.

    >>> tree = Tree([b"a", b"b", b"c"])
    >>> fold(b"c", 2, tree.size, tree.prove(2)) == tree.root
    True
    """

    def __init__(self, entries: Sequence[bytes]) -> None:
        """Hash all entries, in order."""
        self.size = len(entries)
        sha256 = hashlib.sha256
        level = b"".join([sha256(_ENTRY + entry).digest() for entry in entries])
        self._levels = [level]
        while len(level) > LEAF_BYTES:
            level = _pair(level)
            self._levels.append(level)
        self.root = level or sha256(b"").digest()

    def prove(self, index: int) -> list[bytes]:
        """Return the audit path of one entry: the nodes that, hashed with it from the bottom up, give the root."""
        assert 0 <= index < self.size, f"expected an index below {self.size}, found {index}"
        path = []
        for level in self._levels[:-1]:
            at = (index ^ 1) * LEAF_BYTES
            if at < len(level):  # a last node without a partner moves up as it is
                path.append(level[at : at + LEAF_BYTES])
            index >>= 1
        return path


def fold(entry: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an entry and its audit path give; None where no tree of that size has such a path."""
    if not 0 <= index < size:
        return None
    node, rest, last = hashlib.sha256(_ENTRY + entry).digest(), list(path), size - 1
    while last:
        if index < last or index & 1:
            if not rest:
                return None
            other = rest.pop(0)
            node = _join(other, node) if index & 1 else _join(node, other)
        index, last = index >> 1, last >> 1
    return None if rest else node


def _pair(level: bytes) -> bytes:
    sha256, step = hashlib.sha256, 2 * LEAF_BYTES
    whole = len(level) // step * step
    nodes = [sha256(_NODE + level[at : at + step]).digest() for at in range(0, whole, step)]
    return b"".join([*nodes, level[whole:]])


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _sized(content: bytes | None) -> bytes:
    return _LENGTH.pack(_NULL) if content is None else _LENGTH.pack(len(content)) + content
