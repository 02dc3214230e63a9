"""The processor's copy of the view: own partials in memory, the others' read once per batch.

Ids are numbered once per process (a *slot*), and each owned unit holds a list of partials by slot, so that a batch's
look-ups are C-level ``map`` and ``itemgetter`` calls, not a Python loop. What is not in memory is read from Redis
together with the unit's position; such a read counts only at a position this process expects, because at any other one
somebody else has written, and the batch must not be built on it.

Two rules keep memory right:

- *Pin*: what a batch changed stays in memory until Redis has confirmed it. Evicted and read again it would be the older
  value. ``trim`` is therefore called only while no write is in flight.
- *Born empty*: a unit that this process claimed at the log's start, and has not trimmed since, is known whole: a
  missing key is an entity never seen, and Redis need not be asked.

Cost: about 20 ns per entity, unit and batch for a hit; memory is the partials' bytes plus 8 bytes per slot and unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple, Protocol

from infra.redis_view import Loaded, Position, Unit
from monitoring import metrics
from schemas.errors import Transient
from schemas.features import Entity


class Moved(Transient):
    """Owned units are not where this process left them, so nothing may be built on what it has of them.

    Attributes:
        units: those.
    """

    def __init__(self, units: Sequence[Unit], message: str) -> None:
        super().__init__(message)
        self.units = units


class View(Protocol):
    """The part of ``infra.redis_view.StateView`` that reads."""

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        """Read partials of several units, each together with its position."""
        ...


class Ask(NamedTuple):
    """Some ids of one entity kind, wanted from several units."""

    entity: Entity
    ids: list[str]
    units: list[Unit]


class Changed(NamedTuple):
    """New partials of one entity kind in one unit; ``ids`` and ``partials`` are aligned, none is empty."""

    entity: Entity
    ids: Sequence[str]
    partials: Sequence[bytes]


@dataclass
class Answer:
    """``values[i][j]`` are the partials of ask ``i`` in its unit ``j``, aligned with its ids; ``b""`` is never seen.

    Attributes:
        positions: of the units that are not ours, as of the read; ``None`` where there is none that moves.
    """

    values: list[list[Sequence[bytes]]]
    positions: dict[Unit, Position | None]


@dataclass
class _OwnUnit:
    """One owned unit in memory; ``expected`` are the positions at which a read from Redis is right."""

    expected: set[int]
    born_empty: bool
    values: dict[Entity, list[bytes | None]] = field(default_factory=dict)

    def column(self, entity: Entity, size: int) -> list[bytes | None]:
        """Return the list of an entity kind, long enough for ``size`` slots."""
        column = self.values.setdefault(entity, [])
        if len(column) < size:
            column.extend([b"" if self.born_empty else None] * (size - len(column)))
        return column


class PartialStore:
    """Own partials by slot, other units' from Redis; one round trip per batch at most."""

    def __init__(self, view: View, *, entities_max: int) -> None:
        """Bind to a view; ``entities_max`` bounds the slots kept."""
        self._view = view
        self._entities_max = entities_max
        self._slots: dict[Entity, dict[str, int]] = {}
        self._asked: dict[tuple[Unit, Entity], tuple[list[str], list[int]]] = {}
        self._units: dict[Unit, _OwnUnit] = {}

    def own(self, unit: Unit, applied: int, *, born_empty: bool) -> None:
        """Start to own a unit whose position in Redis is ``applied``; ``born_empty`` when nothing was ever in it."""
        self._units[unit] = _OwnUnit({applied}, born_empty)

    def forget(self, unit: Unit) -> None:
        """Drop everything known about a unit."""
        self._units.pop(unit, None)

    def pin(self, unit: Unit, end: int, changed: list[Changed]) -> None:
        """Take over what a committed batch changed in an owned unit, whose write will move it to ``end``."""
        own = self._units[unit]
        own.expected.add(end)
        for part in changed:
            slots = self._number_again(unit, part)
            column = own.column(part.entity, len(self._slots[part.entity]))
            for slot, value in zip(slots, part.partials, strict=True):
                column[slot] = value

    def confirm(self, unit: Unit, end: int) -> None:
        """Redis confirmed the write up to ``end``; a unit forgotten meanwhile is left alone."""
        if unit in self._units:
            own = self._units[unit]
            own.expected = {position for position in own.expected if position >= end}

    def trim(self) -> None:
        """Forget all partials when there are too many; only while no write is in flight (see *Pin*)."""
        if self.entities <= self._entities_max:
            return
        self._slots.clear()
        self._asked.clear()
        for own in self._units.values():
            own.values.clear()
            own.born_empty = False

    @property
    def entities(self) -> int:
        """How many ids are numbered."""
        return sum(len(slots) for slots in self._slots.values())

    def read(self, asks: Sequence[Ask]) -> Answer:
        """Return the partials asked for, of owned and foreign units.

        Raises:
            Moved: owned units are not where this process left them.
            Transient: Redis is away.
        """
        metrics.CACHE_LOOKUPS.labels(entity="all").inc(sum(len(ask.ids) * len(ask.units) for ask in asks))
        values: list[list[Sequence[bytes]]] = []
        missing: list[_Missing] = []
        for at, ask in enumerate(asks):
            slots = self._number(ask.entity, ask.ids)
            self._asked[ask.units[0], ask.entity] = (ask.ids, slots)
            found = [self._look_up(unit, ask.entity, slots) for unit in ask.units]
            for number, part in enumerate(found):
                # a unit born empty has no gaps, so they are not looked for
                if part is None or (not self._units[ask.units[number]].born_empty and None in part):
                    missing.append(_find_missing(at, number, ask, slots, part))
            values.append(found)  # type: ignore[arg-type] # what is missing is filled in below
        return Answer(values, self._load(missing, values) if missing else {})

    def check(self, units: Sequence[Unit]) -> None:
        """Ask Redis whether owned units are where this process left them.

        Raises:
            Moved: some are not.
            Transient: Redis is away.
        """
        if units:
            loaded = self._view.load_many([(unit, []) for unit in units])
            self._check({unit: part.position for unit, part in loaded.items()})

    def _number(self, entity: Entity, ids: Sequence[str]) -> list[int]:
        table = self._slots.setdefault(entity, {})
        slots = list(map(table.get, ids))
        if None in slots:
            slots = [table.setdefault(entity_id, len(table)) for entity_id in ids]
        return slots  # type: ignore[return-value] # no None is left

    def _number_again(self, unit: Unit, part: Changed) -> list[int]:
        """Return the slots of changed ids; as a rule they are those just read, and to compare is less than to hash."""
        asked = self._asked.get((unit, part.entity))
        return asked[1] if asked and asked[0] == part.ids else self._number(part.entity, part.ids)

    def _look_up(self, unit: Unit, entity: Entity, slots: list[int]) -> Sequence[bytes | None] | None:
        """Return what memory has of a unit, ``None`` inside for what it lacks; ``None`` for a unit not ours."""
        own = self._units.get(unit)
        if own is None:
            return None
        column = own.column(entity, len(self._slots[entity]))
        if len(slots) == 1:
            return [column[slots[0]]]
        return itemgetter(*slots)(column) if slots else []

    def _load(self, missing: list[_Missing], values: list[list[Sequence[bytes]]]) -> dict[Unit, Position | None]:
        wanted: dict[Unit, list[str]] = {}
        for lack in missing:
            keys = wanted.setdefault(lack.unit, [])
            lack.start = len(keys)
            keys.extend(f"{lack.entity}:{entity_id}" for entity_id in lack.ids)
        metrics.CACHE_MISSES.labels(entity="all").inc(sum(len(keys) for keys in wanted.values()))
        loaded = self._view.load_many(wanted.items())
        self._check({unit: loaded[unit].position for unit in wanted if unit in self._units})
        for lack in missing:
            fresh = loaded[lack.unit].partials[lack.start : lack.start + len(lack.ids)]
            values[lack.ask][lack.number] = lack.fill(fresh)
            if lack.unit in self._units:
                column = self._units[lack.unit].column(lack.entity, len(self._slots[lack.entity]))
                for slot, value in zip(lack.slots, fresh, strict=True):
                    column[slot] = value
        # where another view follows the log this one only has what was before, which is as good as a unit half there
        return {
            unit: None if part.moved_on else part.position for unit, part in loaded.items() if unit not in self._units
        }

    def observe(self) -> None:
        """Publish how much is held in memory."""
        metrics.CACHED_ENTITIES.labels(entity="all").set(self.entities)

    def _check(self, positions: Mapping[Unit, Position | None]) -> None:
        moved = {
            unit: "none" if position is None else str(position.applied)
            for unit, position in positions.items()
            if position is None or position.applied not in self._units[unit].expected
        }
        if not moved:
            return
        unit, found = next(iter(moved.items()))
        expected = "/".join(str(offset) for offset in sorted(self._units[unit].expected))
        message = f"redis: expected unit {unit.tag} at {expected}, found {found}; catching up from the log"
        raise Moved(list(moved), message)


@dataclass
class _Missing:
    """What one unit lacks of one ask."""

    ask: int
    number: int
    unit: Unit
    entity: Entity
    ids: list[str]
    slots: list[int]
    known: Sequence[bytes | None] | None
    start: int = 0

    def fill(self, fresh: list[bytes]) -> Sequence[bytes]:
        """Return the ask's values with the fresh ones in the gaps."""
        if self.known is None:
            return fresh
        gaps = iter(fresh)
        return [next(gaps) if value is None else value for value in self.known]


def _find_missing(at: int, number: int, ask: Ask, slots: list[int], part: Sequence[bytes | None] | None) -> _Missing:
    unit = ask.units[number]
    if part is None:
        return _Missing(at, number, unit, ask.entity, ask.ids, slots, None)
    gaps = [place for place, value in enumerate(part) if value is None]
    ids = [ask.ids[place] for place in gaps]
    return _Missing(at, number, unit, ask.entity, ids, [slots[place] for place in gaps], part)
