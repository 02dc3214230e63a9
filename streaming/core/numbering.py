"""Numbers ids in order of first appearance, in compiled code: what a dictionary does for one id at a time.

An open-addressed table over 64-bit hashes; two ids are the same only if their bytes are, so a collision of hashes
costs a comparison and never joins two entities.

**Cost:** some 30 ns per look-up; per id its bytes, 16 bytes for hash and offset, and 8 to 16 for the table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.streaming.core.hashing import hash_strings, string_slices
from weir.streaming.core.jit import entry, leaf

_FIRST_SLOTS = 1_024
_FREE = -1


class _Strings(NamedTuple):
    """String i is ``data[offsets[i]:offsets[i + 1]]`` and hashes to ``hashes[i]``."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def grow(array: NDArray, size: int) -> NDArray:  # type: ignore[type-arg] # any element type, and the same comes back
    """Return the array, or a copy, longer by half at least, with room for ``size`` elements along the last axis."""
    if size <= array.shape[-1]:
        return array
    larger = np.zeros((*array.shape[:-1], max(size, array.shape[-1] * 3 // 2)), dtype=array.dtype)
    larger[..., : array.shape[-1]] = array
    return larger


@leaf
def _is_same(known: _Strings, number: int, strings: _Strings, i: int) -> bool:
    begin, size = strings.offsets[i], strings.offsets[i + 1] - strings.offsets[i]
    at = known.offsets[number]
    if known.hashes[number] != strings.hashes[i] or known.offsets[number + 1] - at != size:
        return False
    for byte in range(size):  # noqa: SIM110 # compiled: a generator is not
        if known.data[at + byte] != strings.data[begin + byte]:
            return False
    return True


@leaf
def _place_of(table: NDArray[np.int32], known: _Strings, strings: _Strings, i: int) -> int:
    """Place of the string in the table, or the free place where it belongs."""
    mask = len(table) - 1
    at = np.int64(strings.hashes[i] & np.uint64(mask))
    while table[at] != _FREE and not _is_same(known, table[at], strings, i):
        at = (at + 1) & mask
    return at  # type: ignore[return-value] # compiled: one integer type


@entry
def _number(
    table: NDArray[np.int32], known: _Strings, count: int, strings: _Strings, numbers: NDArray[np.int64], adding: bool
) -> int:
    """Write each string's number, ``_FREE`` for an unknown one that is not to be added; return how many are known."""
    for i in range(len(numbers)):
        at = _place_of(table, known, strings, i)
        if table[at] == _FREE and adding:
            begin, size = strings.offsets[i], strings.offsets[i + 1] - strings.offsets[i]
            to = known.offsets[count]
            known.data[to : to + size] = strings.data[begin : begin + size]
            known.offsets[count + 1] = to + size
            known.hashes[count] = strings.hashes[i]
            table[at] = count
            count += 1
        numbers[i] = table[at]
    return count


@entry
def _fill(table: NDArray[np.int32], hashes: NDArray[np.uint64], count: int) -> None:
    """Enter the known numbers into an empty table; they are all different."""
    mask = len(table) - 1
    for number in range(count):
        at = np.int64(hashes[number] & np.uint64(mask))
        while table[at] != _FREE:
            at = (at + 1) & mask
        table[at] = number


class Numbering:
    """The ids of one entity kind, numbered 0, 1, … as they appear."""

    def __init__(self) -> None:
        """Start with none."""
        self._table = np.full(_FIRST_SLOTS, _FREE, np.int32)
        self._known = _Strings(np.zeros(0, np.uint8), np.zeros(1, np.int64), np.zeros(0, np.uint64))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, ids: pa.Array) -> NDArray[np.int64]:
        """Return the number of each id, new ones added.

        >>> ids = Numbering()
        >>> ids.add(pa.array(["a", "b", "a"])).tolist(), ids.find(pa.array(["c", "b"])).tolist()
        ([0, 1, 0], [-1, 1])
        """
        data, offsets = string_slices(ids)
        self._make_room(len(ids), int(offsets[-1] - offsets[0]))
        return self._run(_Strings(data, offsets, hash_strings(ids)), adding=True)

    def find(self, ids: pa.Array) -> NDArray[np.int64]:
        """Return the number of each id, -1 for one that was never added."""
        return self._run(_Strings(*string_slices(ids), hash_strings(ids)), adding=False)

    def _run(self, strings: _Strings, *, adding: bool) -> NDArray[np.int64]:
        numbers = np.empty(len(strings.hashes), np.int64)
        strings = strings._replace(data=np.require(strings.data, requirements="W"))  # one kind to compile for
        self._count = _number(self._table, self._known, self._count, strings, numbers, adding)
        return numbers

    def _make_room(self, ids: int, size: int) -> None:
        data, offsets, hashes = self._known
        count = self._count + ids
        self._known = _Strings(
            grow(data, int(offsets[self._count]) + size), grow(offsets, count + 1), grow(hashes, count)
        )
        if 2 * count > len(self._table):
            self._table = np.full(1 << (4 * count).bit_length(), _FREE, np.int32)
            _fill(self._table, self._known.hashes, self._count)
