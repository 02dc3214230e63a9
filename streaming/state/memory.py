"""What a processor has in memory of the units it owns: partials by number, in two generations.

Ids are numbered as they appear, and each generation has a shelf for each entity kind (``core/partial_table.py``) with
the partials of all units by number, so that a batch's look-ups are compiled. When the young generation is full it
becomes the old one, and the old one is dropped. An id that is asked for again is taken over from the old generation
into the young one; what is dropped was not asked for during a whole generation. That comes close to dropping the least
recently used, and a hit costs nothing for it: no list is kept in order.

A unit that was *born empty*, and of which nothing was dropped since, is known whole: what is not in memory was never
seen. Of any other unit it is not known.

Cost: some 50 ns per entity for its number, and as much for each partial that it has; memory is the shelves'.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.infra.redis.unit import Unit
from weir.streaming.core.packing import pack, unpack
from weir.streaming.core.partial_table import NEVER_SEEN, NOT_KNOWN, OWN, Shelf
from weir.streaming.core.passes import Partials
from weir.streaming.core.states import Packed

Numbers = NDArray[np.int64]
"""Where ids of one entity kind are."""
Rows = NDArray[np.int32]
"""Where units are."""


class Memory:
    """Partials of owned units, the least recently used dropped by the generation."""

    def __init__(self, *, entities_max: int, bytes_max: int) -> None:
        """Start with nothing; each generation has half of both bounds, and may exceed them by one batch.

        Args:
            entities_max: ids.
            bytes_max: of partials and of the cells that say where they are.
        """
        self._entities_max = entities_max
        self._bytes_max = bytes_max
        self._young: dict[str, Shelf] = {}
        self._old: dict[str, Shelf] = {}
        self._born_empty: dict[Unit, bool] = {}
        self._rows: dict[Unit, int] = {}

    def own(self, unit: Unit, *, born_empty: bool) -> None:
        """Start to hold a unit, of which nothing is known, or, ``born_empty``, that nothing is in it."""
        self._born_empty[unit] = born_empty
        self._reset(unit)

    def forget(self, unit: Unit) -> None:
        """Drop everything known about a unit."""
        if self._born_empty.pop(unit, None) is not None:
            self._reset(unit)

    def __contains__(self, unit: Unit) -> bool:
        return unit in self._born_empty

    def is_known_whole(self, unit: Unit) -> bool:
        """Return whether a unit has no gaps."""
        return self._born_empty.get(unit, False)

    def number(self, entity: str, ids: pa.Array) -> Numbers:
        """Return the numbers of ids, good until ``drop_unused`` returns True."""
        shelf, old = self._shelf(entity), self._old.get(entity)
        before = len(shelf)
        numbers = shelf.number(ids)
        if old is not None and len(shelf) > before:
            theirs = old.find(ids)
            again = (numbers >= before) & (theirs >= 0)
            shelf.copy(old, theirs[again], numbers[again])
        return numbers

    def list_rows(self, units: Sequence[Unit]) -> Rows:
        """Return where units are; one that is not owned gets a place, too, for partials that are lent."""
        for unit in units:
            if unit not in self._rows:
                self._reset(unit)
        return np.array([self._rows[unit] for unit in units], np.int32)

    def find_gaps(self, unit: Unit, entity: str, numbers: Numbers) -> NDArray[np.int64]:
        """Return the positions of which it is not known whether the unit has a partial."""
        return self._shelf(entity).find_gaps(self._rows[unit], numbers)

    def look_up(self, unit: Unit, entity: str, numbers: Numbers) -> list[bytes | None]:
        """Return what is known of an owned unit: ``b""`` for never seen, ``None`` for not known."""
        own = np.full(len(numbers), self._rows[unit], np.int32)
        taken = self._shelf(entity).take(numbers, own, OWN)
        found: list[bytes | None] = [*unpack(taken.data, taken.offsets)]
        for place in self.find_gaps(unit, entity, numbers).tolist():
            found[place] = None
        return found

    def take(self, entity: str, numbers: Numbers, own: Rows, which: int, rows: Rows | None = None) -> Partials:
        """Return what ids have in some units, all of which is known or lent; see ``Shelf.take``."""
        return self._shelf(entity).take(numbers, own, which, rows)

    def put(self, entity: str, numbers: Numbers, rows: Rows, partials: Packed) -> None:
        """Hold partials, each of its unit."""
        self._shelf(entity).put(numbers, rows, partials)

    def put_one(self, unit: Unit, entity: str, numbers: Numbers, partials: Sequence[bytes]) -> None:
        """Hold partials of one unit, owned or lent."""
        self.put(entity, numbers, np.full(len(numbers), self._rows[unit], np.int32), pack(partials))

    def note_never_seen(self, unit: Unit, entity: str, numbers: Numbers) -> None:
        """Know that a unit never had a partial of some ids."""
        self._shelf(entity).reset(self._rows[unit], numbers, NEVER_SEEN)

    def drop(self, unit: Unit, entity: str, numbers: Numbers) -> None:
        """Know no longer what some ids have in a unit."""
        self._shelf(entity).reset(self._rows[unit], numbers, NOT_KNOWN)

    def drop_unused(self) -> bool:
        """Drop what was not asked for lately, if there is too much; True when numbers changed."""
        held = sum(shelf.bytes_held + shelf.cell_bytes for shelf in self._young.values())
        if 2 * sum(map(len, self._young.values())) <= self._entities_max and 2 * held <= self._bytes_max:
            return False
        if any(map(len, self._old.values())):
            self._born_empty = dict.fromkeys(self._born_empty, False)
        self._old, self._young = self._young, {}
        return True

    def __len__(self) -> int:
        """How many ids are numbered; one that was taken over counts in both generations."""
        return sum(len(shelf) for shelf in self._list_shelves())

    @property
    def bytes_held(self) -> int:
        """Bytes of partials; one that was taken over counts in both generations."""
        return sum(shelf.bytes_held for shelf in self._list_shelves())

    def _list_shelves(self) -> list[Shelf]:
        return [*self._young.values(), *self._old.values()]

    def _shelf(self, entity: str) -> Shelf:
        """Return the young generation's shelf of an entity kind."""
        if entity not in self._young:
            shelf = self._young[entity] = Shelf(len(self._rows))
            for unit, row in self._rows.items():
                shelf.reset_unit(row, self._unnamed(unit))
        return self._young[entity]

    def _reset(self, unit: Unit) -> None:
        """Know of a unit what is known as it starts to be held."""
        row = self._rows.setdefault(unit, len(self._rows))
        for shelf in self._list_shelves():
            shelf.reset_unit(row, self._unnamed(unit))

    def _unnamed(self, unit: Unit) -> int:
        """Return what is known of an id that is in neither generation."""
        return NEVER_SEEN if self.is_known_whole(unit) else NOT_KNOWN
