"""What a processor has in memory of the units it owns: partials by number, in two generations.

Ids are numbered as they appear (a *slot*), and each owned unit holds a list of partials by slot, so that a batch's
look-ups are C-level ``map`` and ``itemgetter`` calls, not a Python loop. When the young generation is full it becomes
the old one, and the old one is dropped. An id that is asked for again is taken over from the old generation into the
young one; what is dropped was not asked for during a whole generation. That comes close to dropping the least recently
used, and a hit costs nothing for it: no list is kept in order.

A unit that was *born empty*, and of which nothing was dropped since, is known whole: what is not in memory was never
seen. Of any other unit it is not known.

Cost: about 20 ns per entity, unit and batch for a hit; an id that is taken over takes a step in Python per unit. Memory
is the partials' bytes, some 40 for each of them, and 8 per slot and unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from weir.infra.redis.unit import Unit

Column = list[bytes | None]
"""One unit's partials of one entity kind by slot: ``b""`` for never seen, ``None`` for not known."""


@dataclass
class _Generation:
    """Ids that were numbered together.

    Attributes:
        slots: the number of each id.
        columns: per owned unit; a list shorter than the numbers has nothing of the later ones.
        bytes_held: of the partials in ``columns``, and of units forgotten since.
    """

    slots: dict[str, dict[str, int]] = field(default_factory=dict)
    columns: dict[Unit, dict[str, Column]] = field(default_factory=dict)
    bytes_held: int = 0

    def __len__(self) -> int:
        return sum(len(slots) for slots in self.slots.values())


class Memory:
    """Partials of owned units, the least recently used dropped by the generation."""

    def __init__(self, *, entities_max: int, bytes_max: int) -> None:
        """Start with nothing; each generation has half of both bounds, and may exceed them by one batch."""
        self._entities_max = entities_max
        self._bytes_max = bytes_max
        self._young = _Generation()
        self._old = _Generation()
        self._born_empty: dict[Unit, bool] = {}

    def own(self, unit: Unit, *, born_empty: bool) -> None:
        """Start to hold a unit, of which nothing is known, or, ``born_empty``, that nothing is in it."""
        self.forget(unit)
        self._born_empty[unit] = born_empty

    def forget(self, unit: Unit) -> None:
        """Drop everything known about a unit."""
        self._born_empty.pop(unit, None)
        self._young.columns.pop(unit, None)
        self._old.columns.pop(unit, None)

    def __contains__(self, unit: Unit) -> bool:
        return unit in self._born_empty

    def is_known_whole(self, unit: Unit) -> bool:
        """Return whether ``look_up`` has no gaps for a unit."""
        return self._born_empty[unit]

    def number(self, entity: str, ids: Sequence[str]) -> list[int]:
        """Return the slots of ids, good until ``drop_unused`` returns True."""
        table = self._young.slots.setdefault(entity, {})
        slots = list(map(table.get, ids))
        if None in slots:
            new = [entity_id for entity_id, slot in zip(ids, slots, strict=True) if slot is None]
            slots = [table.setdefault(entity_id, len(table)) for entity_id in ids]
            self._take_over(entity, new)
        return slots  # type: ignore[return-value] # no None is left

    def look_up(self, unit: Unit, entity: str, slots: Sequence[int]) -> Sequence[bytes | None]:
        """Return what is known of an owned unit: ``b""`` for never seen, ``None`` for not known."""
        column = self._column(unit, entity)
        if len(slots) == 1:
            return [column[slots[0]]]
        return itemgetter(*slots)(column) if slots else []

    def put(self, unit: Unit, entity: str, slots: Iterable[int], partials: Iterable[bytes]) -> None:
        """Hold partials of an owned unit."""
        column, grown = self._column(unit, entity), 0
        for slot, partial in zip(slots, partials, strict=True):
            grown += len(partial) - len(column[slot] or b"")
            column[slot] = partial
        self._young.bytes_held += grown

    def drop_unused(self) -> bool:
        """Drop what was not asked for lately, if there is too much; True when numbers changed."""
        young = self._young
        if 2 * len(young) <= self._entities_max and 2 * young.bytes_held <= self._bytes_max:
            return False
        if len(self._old):
            self._born_empty = dict.fromkeys(self._born_empty, False)
        self._old, self._young = young, _Generation()
        return True

    def __len__(self) -> int:
        """How many ids are numbered; one that was taken over counts in both generations."""
        return len(self._young) + len(self._old)

    @property
    def bytes_held(self) -> int:
        """Bytes of partials; one that was taken over counts in both generations."""
        return self._young.bytes_held + self._old.bytes_held

    def _column(self, unit: Unit, entity: str) -> Column:
        column = self._young.columns.setdefault(unit, {}).setdefault(entity, [])
        lacking = len(self._young.slots[entity]) - len(column)
        if lacking > 0:
            column.extend([b"" if self._born_empty[unit] else None] * lacking)
        return column

    def _take_over(self, entity: str, ids: Iterable[str]) -> None:
        """Copy what the old generation has of ids that are new in the young one."""
        new, old = self._young.slots[entity], self._old.slots.get(entity, {})
        pairs = [(new[entity_id], old[entity_id]) for entity_id in ids if entity_id in old]
        if not pairs:
            return
        for unit, columns in self._old.columns.items():
            known = columns.get(entity, [])
            there = [(slot, known[was]) for slot, was in pairs if was < len(known)]
            column = self._column(unit, entity)
            for slot, partial in there:
                column[slot] = partial
                self._young.bytes_held += len(partial or b"")
