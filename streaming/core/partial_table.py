"""Partials of history in flat memory: where the stream has Redis and its cache, a backfill has shelves.

A shelf holds one entity kind: ids are numbered, and per number and unit (input partition) a partial lies in one byte
array, with some room to grow. What outgrows its room moves to the end; the array is packed when half of it is left
behind. Everything per entity is compiled, so a slice costs no Python per entity.

**Cost:** two copies of a partial per entity and slice; memory is at most about four times the partials' bytes, plus
16 bytes per number and unit, plus the ids.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.jit import entry, leaf
from weir.streaming.core.numbering import Numbering, grow
from weir.streaming.core.passes import Partials

OWN, OTHERS, ALL = 0, 1, 2
"""Which units' partials are taken: the position's own, all but that one, or every one."""


class _Places(NamedTuple):
    """Per unit and number: where the partial begins, its bytes, and the bytes it may take; shape (units, numbers)."""

    begin: NDArray[np.int64]
    size: NDArray[np.int32]
    room: NDArray[np.int32]


@leaf
def _is_taken(unit: int, own: int, which: int) -> bool:
    return which == ALL or (unit == own) == (which == OWN)


@entry
def _measure(
    places: _Places, numbers: NDArray[np.int64], units: NDArray[np.int32], which: int, first: NDArray[np.int64]
) -> int:
    """Write how many partials lie before each position's; return their bytes in all."""
    total = 0
    for i in range(len(numbers)):
        first[i + 1] = first[i]
        for unit in range(len(places.size)):
            size = places.size[unit, numbers[i]] if numbers[i] >= 0 and _is_taken(unit, units[i], which) else 0
            first[i + 1] += size > 0 or (which == OWN and unit == units[i])
            total += size
    return total


@entry
def _take(
    places: _Places,
    data: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    units: NDArray[np.int32],
    which: int,
    out: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> None:
    """Copy what ``_measure`` counted, by position, then unit."""
    k = 0
    for i in range(len(numbers)):
        for unit in range(len(places.size)):
            size = places.size[unit, numbers[i]] if numbers[i] >= 0 and _is_taken(unit, units[i], which) else 0
            if size > 0 or (which == OWN and unit == units[i]):
                begin = places.begin[unit, numbers[i]]
                out[offsets[k] : offsets[k] + size] = data[begin : begin + size]
                offsets[k + 1] = offsets[k] + size
                k += 1


@entry
def _put(
    places: _Places,
    data: NDArray[np.uint8],
    used: int,
    numbers: NDArray[np.int64],
    units: NDArray[np.int32],
    new: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> tuple[int, int]:
    """Store a partial per position; return the bytes used, and those left behind by what moved."""
    left = 0
    for i in range(len(numbers)):
        unit, number = units[i], numbers[i]
        size = offsets[i + 1] - offsets[i]
        if size > places.room[unit, number]:
            left += places.room[unit, number]
            places.begin[unit, number] = used
            places.room[unit, number] = size + size // 4
            used += places.room[unit, number]
        if size > 0:  # no bytes: nothing of the entity counted yet
            begin = places.begin[unit, number]
            data[begin : begin + size] = new[offsets[i] : offsets[i + 1]]
            places.size[unit, number] = size
    return used, left


@entry
def _pack(places: _Places, data: NDArray[np.uint8], count: int) -> tuple[NDArray[np.uint8], int]:
    """Return the bytes without those left behind, and how many; the room of each stays."""
    used = 0
    for unit in range(len(places.room)):
        for number in range(count):
            used += places.room[unit, number]
    out, at = np.empty(used, np.uint8), 0
    for unit in range(len(places.room)):
        for number in range(count):
            begin, size = places.begin[unit, number], places.size[unit, number]
            out[at : at + size] = data[begin : begin + size]
            places.begin[unit, number] = at
            at += places.room[unit, number]
    return out, used


class Shelf:
    """All partials of one entity kind."""

    def __init__(self, units: int) -> None:
        """Start empty, for this many input partitions."""
        self._ids = Numbering()
        self._places = _Places(np.zeros((units, 0), np.int64), *(np.zeros((units, 0), np.int32) for _ in range(2)))
        self._data = np.zeros(0, np.uint8)
        self._used = 0
        self._left = 0

    def number(self, index: EntityIndex) -> NDArray[np.int64]:
        """Return where the index's positions are on the shelf, room made for new ones."""
        numbers = self._ids.add(index.values)
        self._places = _Places(*(grow(array, len(self._ids)) for array in self._places))
        return numbers

    def find(self, index: EntityIndex) -> NDArray[np.int64]:
        """Return where the index's positions are on the shelf, -1 for those that are not."""
        return self._ids.find(index.values)

    def take(self, numbers: NDArray[np.int64], units: NDArray[np.int32], which: int) -> Partials:
        """Return copies of partials by position, in the order of units; ``OWN`` gives one each, maybe empty."""
        first = np.zeros(len(numbers) + 1, np.int64)
        out = np.empty(_measure(self._places, numbers, units, which, first), np.uint8)
        offsets = np.zeros(int(first[-1]) + 1, np.int64)
        _take(self._places, self._data, numbers, units, which, out, offsets)
        out.flags.writeable = False  # as packed strings are: the kernel is compiled for one kind
        return Partials(out, offsets, first)

    def put(
        self,
        numbers: NDArray[np.int64],
        units: NDArray[np.int32],
        new: tuple[NDArray[np.uint8], NDArray[np.int64]],
    ) -> None:
        """Store new partials, packed, one per position."""
        # each of them may move, with a quarter more for room
        self._data = grow(self._data, self._used + len(new[0]) + len(new[0]) // 4)
        self._used, left = _put(self._places, self._data, self._used, numbers, units, *new)
        self._left += left
        if 2 * self._left > self._used:
            self._data, self._used = _pack(self._places, self._data, len(self._ids))
            self._left = 0

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def reserved_bytes(self) -> int:
        """How long the byte array is."""
        return len(self._data)
