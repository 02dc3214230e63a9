"""Partials in flat memory: for history, and for what a process holds of the units that it owns.

A shelf holds one entity kind: ids are numbered, and per unit and number a partial lies in one byte array, in a block
with some room to grow. Blocks come in classes, four for each doubling; what outgrows its block gets one of the next
class, and the one it leaves is the next that somebody of its class gets. When the array is full a larger one is packed.
Everything per entity is compiled, so a batch costs no Python per entity.

**Cost:** two copies of a partial per entity and batch; memory is about twice the partials' bytes, plus 8 bytes per unit
and number, plus the ids.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.streaming.core.jit import entry, leaf, long_entry
from weir.streaming.core.numbering import Numbering, grow
from weir.streaming.core.passes import Partials

OWN, OTHERS, ALL = 0, 1, 2
"""Which units' partials are taken: the position's own, all but that one, or every one."""
NEVER_SEEN, NOT_KNOWN = 0, -1
"""What a cell may have instead of a partial's size."""
_STEP_BYTES: Final = 16
"""Blocks begin at, and have, so many bytes or a multiple."""
_FINE_STEPS: Final = 8
"""Blocks of up to so many steps have each a class of their own."""
_CLASSES: Final = 128


class _Cells(NamedTuple):
    """Per unit and number: the step at which the partial's block begins, and its bytes; shape (units, numbers)."""

    begin: NDArray[np.uint32]
    size: NDArray[np.int32]


class _Blocks(NamedTuple):
    """The bytes, and of each class the step of a block that nobody has, 0 for none.

    The first four bytes of such a block are the step of the next one. ``words`` are ``data`` as numbers.
    """

    data: NDArray[np.uint8]
    words: NDArray[np.uint32]
    free: NDArray[np.uint32]


@leaf
def _find_class(size: int) -> tuple[int, int]:
    """Return the class of blocks that a partial gets, and the steps of one."""
    steps, doubled = (size + _STEP_BYTES - 1) // _STEP_BYTES, 0
    while steps > _FINE_STEPS:
        steps, doubled = (steps + 1) // 2, doubled + 1
    return steps + doubled * (_FINE_STEPS // 2), steps << doubled


@leaf
def _release(blocks: _Blocks, begin: int, size: int) -> None:
    """Give the block of a partial back."""
    kind = _find_class(size)[0]
    blocks.words[begin * (_STEP_BYTES // 4)] = blocks.free[kind]
    blocks.free[kind] = begin


@leaf
def _store(
    cells: _Cells, blocks: _Blocks, used: int, cell: tuple[int, int], new: NDArray[np.uint8], span: tuple[int, int]
) -> int:
    """Put some bytes, at least one, into a cell; return the steps used."""
    size, was = span[1] - span[0], cells.size[cell]
    kind, steps = _find_class(size)
    if was <= 0 or _find_class(was)[0] != kind:
        if was > 0:
            _release(blocks, cells.begin[cell], was)
        at = blocks.free[kind]
        if at != 0:
            blocks.free[kind] = blocks.words[at * (_STEP_BYTES // 4)]
            cells.begin[cell] = at
        else:
            cells.begin[cell] = used
            used += steps
    begin = np.int64(cells.begin[cell]) * _STEP_BYTES
    blocks.data[begin : begin + size] = new[span[0] : span[1]]
    cells.size[cell] = size
    return used


@leaf
def _is_taken(unit: int, own: int, which: int) -> bool:
    return which == ALL or (unit == own) == (which == OWN)


@leaf
def _count(
    cells: _Cells, numbers: NDArray[np.int64], own: NDArray[np.int32], units: NDArray[np.int32], which: int
) -> tuple[int, int]:
    """Return how many partials are taken, and their bytes."""
    count, total = 0, 0
    for i in range(len(numbers)):
        count += which == OWN
        if numbers[i] < 0:
            continue
        for unit in units:
            if _is_taken(unit, own[i], which) and cells.size[unit, numbers[i]] > 0:
                count += which != OWN
                total += cells.size[unit, numbers[i]]
    return count, total


@entry
def _take(
    cells: _Cells,
    data: NDArray[np.uint8],
    numbers: NDArray[np.int64],
    own: NDArray[np.int32],
    units: NDArray[np.int32],
    which: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Copy partials by position, then unit; of its own unit each position has one, maybe of no bytes."""
    count, total = _count(cells, numbers, own, units, which)
    out, offsets = np.empty(total, np.uint8), np.zeros(count + 1, np.int64)
    first, k = np.zeros(len(numbers) + 1, np.int64), 0
    for i in range(len(numbers)):
        for unit in units:
            size = cells.size[unit, numbers[i]] if numbers[i] >= 0 and _is_taken(unit, own[i], which) else 0
            if size > 0:
                begin = np.int64(cells.begin[unit, numbers[i]]) * _STEP_BYTES
                out[offsets[k] : offsets[k] + size] = data[begin : begin + size]
                offsets[k + 1] = offsets[k] + size
                k += 1
        if which == OWN and k == first[i]:
            offsets[k + 1] = offsets[k]
            k += 1
        first[i + 1] = k
    return out, offsets, first


@entry
def _put(
    cells: _Cells,
    blocks: _Blocks,
    used: int,
    numbers: NDArray[np.int64],
    units: NDArray[np.int32],
    new: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> tuple[int, int]:
    """Store a partial per position; return the steps used, and by how many bytes the partials grew."""
    grown = 0
    for i in range(len(numbers)):
        cell = (units[i], numbers[i])
        was = max(cells.size[cell], 0)
        if offsets[i + 1] > offsets[i]:
            used = _store(cells, blocks, used, cell, new, (offsets[i], offsets[i + 1]))
            grown += cells.size[cell] - was
        elif cells.size[cell] < 0:  # where something is, no bytes are nothing new
            cells.size[cell] = NEVER_SEEN
    return used, grown


@entry
def _copy(
    cells: _Cells,
    blocks: _Blocks,
    used: int,
    numbers: NDArray[np.int64],
    their_cells: _Cells,
    their_data: NDArray[np.uint8],
    theirs: NDArray[np.int64],
) -> tuple[int, int]:
    """Store what another shelf knows of some numbers, unit by unit; return as ``_put``."""
    grown = 0
    for unit in range(len(their_cells.size)):
        for i in range(len(numbers)):
            cell, size = (unit, numbers[i]), their_cells.size[unit, theirs[i]]
            if size > 0:
                begin = np.int64(their_cells.begin[unit, theirs[i]]) * _STEP_BYTES
                grown += size - max(cells.size[cell], 0)
                span = (begin, begin + size)
                used = _store(cells, blocks, used, cell, their_data, span)  # type: ignore[arg-type] # NumPy's integers
            elif size == NEVER_SEEN:
                cells.size[cell] = size
    return used, grown


@entry
def _reset(cells: _Cells, blocks: _Blocks, unit: int, numbers: NDArray[np.int64], size: int) -> int:
    """Drop partials of a unit and say what it is known of them; return their bytes."""
    dropped = 0
    for number in numbers:
        if cells.size[unit, number] > 0:
            dropped += cells.size[unit, number]
            _release(blocks, cells.begin[unit, number], cells.size[unit, number])
        cells.size[unit, number] = size
    return dropped


@long_entry
def _pack(cells: _Cells, data: NDArray[np.uint8], count: int, more: int) -> tuple[NDArray[np.uint8], int]:
    """Return a larger array with the blocks that somebody has, end to end, and the steps used; half as large again.

    Args:
        cells: whose blocks move.
        data: the array of before.
        count: of the numbers.
        more: steps that are needed besides.
    """
    steps = 1 + more  # no block begins at step 0
    for unit in range(len(cells.size)):
        for number in range(count):
            if cells.size[unit, number] > 0:
                steps += _find_class(cells.size[unit, number])[1]
    out, used = np.empty(steps * _STEP_BYTES * 3 // 2, np.uint8), 1
    for unit in range(len(cells.size)):
        for number in range(count):
            size = cells.size[unit, number]
            if size > 0:
                begin, to = np.int64(cells.begin[unit, number]) * _STEP_BYTES, used * _STEP_BYTES
                out[to : to + size] = data[begin : begin + size]
                cells.begin[unit, number] = used
                used += _find_class(size)[1]
    return out, used


class Shelf:
    """All partials of one entity kind.

    Attributes:
        bytes_held: of the partials.
    """

    def __init__(self, units: int) -> None:
        """Start empty, for this many units, of which it is known that nothing is in them."""
        self.bytes_held = 0
        self._ids = Numbering()
        self._cells = _Cells(np.zeros((units, 0), np.uint32), np.zeros((units, 0), np.int32))
        self._unnamed = np.zeros(units, np.int32)  # what is known of ids that have no number yet
        self._blocks = _Blocks(np.zeros(0, np.uint8), np.zeros(0, np.uint32), np.zeros(_CLASSES, np.uint32))
        self._used = 1  # no block begins at step 0

    def number(self, ids: pa.Array) -> NDArray[np.int64]:
        """Return where ids are on the shelf, room made for new ones."""
        before = len(self._ids)
        numbers = self._ids.add(ids)
        if len(self._ids) > before:
            begin, size = self._cells
            self._cells = _Cells(grow(begin, len(self._ids)), grow(size, len(self._ids)))
            if self._unnamed.any():
                self._cells.size[:, before : len(self._ids)] = self._unnamed[:, None]
        return numbers

    def find(self, ids: pa.Array) -> NDArray[np.int64]:
        """Return where ids are on the shelf, -1 for those that are not."""
        return self._ids.find(ids)

    def take(
        self,
        numbers: NDArray[np.int64],
        own: NDArray[np.int32],
        which: int,
        units: NDArray[np.int32] | None = None,
    ) -> Partials:
        """Return copies of partials by position, in the order of units; ``OWN`` gives one each, maybe empty.

        Args:
            numbers: by position, -1 for nobody.
            own: unit of each position.
            which: of the units.
            units: out of these; None for all.
        """
        if units is None:
            units = np.arange(len(self._unnamed), dtype=np.int32)
        out, offsets, first = _take(self._cells, self._blocks.data, numbers, own, units, which)
        out.flags.writeable = False  # as packed strings are: the kernel is compiled for one kind
        return Partials(out, offsets, first)

    def put(
        self,
        numbers: NDArray[np.int64],
        units: NDArray[np.int32],
        new: tuple[NDArray[np.uint8], NDArray[np.int64]],
    ) -> None:
        """Store new partials, packed, one per position; one of no bytes leaves what is there, and tells of nobody."""
        data, offsets = new[0].view(), new[1]
        data.flags.writeable = False  # as packed strings are: one kind to compile for
        self._make_room(len(data), len(numbers))
        self._used, grown = _put(self._cells, self._blocks, self._used, numbers, units, data, offsets)
        self.bytes_held += grown

    def find_gaps(self, unit: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of which it is not known whether the unit has a partial."""
        return np.flatnonzero(self._cells.size[unit, numbers] == NOT_KNOWN)

    def reset(self, unit: int, numbers: NDArray[np.int64], size: int) -> None:
        """Drop partials of a unit, and know of them that they were ``NEVER_SEEN``, or nothing: ``NOT_KNOWN``."""
        self.bytes_held -= _reset(self._cells, self._blocks, unit, numbers, size)

    def reset_unit(self, unit: int, size: int) -> None:
        """Drop all partials of a unit likewise; what is known then holds for ids that have no number yet, too."""
        if unit >= len(self._unnamed):
            more = unit + 1 - len(self._unnamed)
            self._unnamed = np.pad(self._unnamed, (0, more))
            begin, size_of = self._cells
            self._cells = _Cells(np.pad(begin, ((0, more), (0, 0))), np.pad(size_of, ((0, more), (0, 0))))
        self._unnamed[unit] = size
        self.reset(unit, np.arange(len(self._ids)), size)

    def copy(self, other: Shelf, theirs: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Store what another shelf knows of some of its numbers under some of ours, of its units, which we have too."""
        sizes = other._cells.size[:, theirs]
        self._make_room(int(sizes.sum(where=sizes > 0)), int(np.count_nonzero(sizes > 0)))
        shelf = other._cells, other._blocks.data
        self._used, grown = _copy(self._cells, self._blocks, self._used, numbers, *shelf, theirs)
        self.bytes_held += grown

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def cell_bytes(self) -> int:
        """What it takes to know where the partials are."""
        return self._cells.begin.nbytes + self._cells.size.nbytes

    @property
    def reserved_bytes(self) -> int:
        """How long the byte array is."""
        return len(self._blocks.data)

    def _make_room(self, size: int, count: int) -> None:
        """Have room for some partials of so many bytes together, should each get a new block."""
        steps = (size + size // 4) // _STEP_BYTES + 1 + count
        if (self._used + steps) * _STEP_BYTES > len(self._blocks.data):
            data, self._used = _pack(self._cells, self._blocks.data, len(self._ids), steps)
            self._blocks = _Blocks(data, data.view(np.uint32), np.zeros(_CLASSES, np.uint32))


def warm_up() -> None:
    """Compile what a stream uses."""
    shelf, other, nobody = Shelf(1), Shelf(1), np.zeros(0, np.int64)
    shelf.number(pa.array([str(number) for number in range(1_000)]))  # so many that the table of ids grows
    other.copy(shelf, nobody, nobody)
    other.reset_unit(0, NOT_KNOWN)
    other.put(nobody, nobody.astype(np.int32), (np.zeros(0, np.uint8), np.zeros(1, np.int64)))
    other.take(nobody, nobody.astype(np.int32), OWN)
