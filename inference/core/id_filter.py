"""Says of nearly every id that it is not among many: a set of a million is a cache miss or two for each that is asked.

A Bloom filter of two marks (Bloom, *Space/Time Trade-offs in Hash Coding with Allowable Errors*, 1970) at hashes of an
id's length and last eight bytes. An id that is there is never denied. Of a hundred that are not there one or two are
not denied either, and none of those that end as one that is there: who asks has to look.

**Cost:** 30 ns an id, of a column of thousands, and several times that where other work has filled the caches; two to
four bytes for each id that is there.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_PART_IDS: Final = 8_192
_BYTES: Final = 8
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without a pattern."""
_Hashes = npt.NDArray[np.uint64]


class IdFilter:
    """Ids, as far as a table of bits knows them."""

    def __init__(self, ids: Collection[str]) -> None:
        """Take them."""
        bits = len(ids).bit_length() + 4
        self._shift, self._low = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
        marks, left = np.zeros(1 << bits, np.bool_), iter(ids)
        # in parts: making a column of a million texts at once would hold up the loop that decides meanwhile
        while some := list(islice(left, _PART_IDS)):
            hashes = _hash(pa.array(some, pa.string()))
            marks[hashes >> self._shift] = marks[hashes & self._low] = True
        self._table = np.packbits(marks, bitorder="little")

    def find(self, ids: pa.StringArray) -> npt.NDArray[np.int64]:
        """Return the rows, in order, of the ids that may be there; a null is as an empty text."""
        hashes = _hash(ids)
        rows = np.flatnonzero(self._is_marked(hashes >> self._shift))
        found: npt.NDArray[np.int64] = rows[self._is_marked(hashes[rows] & self._low)]
        return found

    def _is_marked(self, places: _Hashes) -> npt.NDArray[np.bool_]:
        near = self._table[(places >> np.uint64(3)).view(np.int64)]
        found: npt.NDArray[np.bool_] = (near >> (places.astype(np.uint8) & np.uint8(7)) & np.uint8(1)).view(np.bool_)
        return found


def _hash(ids: pa.StringArray) -> _Hashes:
    count, (_, offsets, data) = len(ids), ids.buffers()
    if not count:
        return np.empty(0, np.uint64)
    ends = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + count + 1]
    first, last = int(ends[0]), int(ends[-1])
    padded = np.zeros(_BYTES + last - first, np.uint8)
    padded[_BYTES:] = np.frombuffer(data, np.uint8)[first:last] if last > first else 0
    lengths, ends = np.diff(ends), ends[1:] - first
    # the eight bytes that end with the id; those that are another's, of a shorter one, are shifted out, in two halves
    # as all 64 bits cannot be at once
    words = np.lib.stride_tricks.as_strided(padded[:_BYTES].view(np.uint64), (len(padded) - _BYTES + 1,), (1,))
    beyond = (np.maximum(_BYTES - lengths, 0) * 4).astype(np.uint64)
    found: _Hashes = ((words[ends] >> beyond >> beyond) ^ lengths.astype(np.uint64)) * _MIX
    found ^= found >> np.uint64(29)
    return found * _MIX
