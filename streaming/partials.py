"""The processor's copy of the view: own partials in memory, the others' read once per batch.

What is not in memory (``streaming/memory.py``) is read from Redis together with the unit's position; such a read counts
only at a position this process expects, because at any other one somebody else has written, and the batch must not be
built on it.

Two rules keep memory right:

- *Pin*: what a batch changed stays in memory until Redis has confirmed it. Evicted and read again it would be the older
  value. What is dropped was put there before the last time that something was, so ``trim`` waits until Redis has
  confirmed all that was pinned by then.
- *Born empty*: a unit that this process claimed at the log's start, and of which nothing was dropped since, is known
  whole: a missing key is an entity never seen, and Redis need not be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from infra.redis_view import Loaded, Position, Unit
from monitoring import metrics
from schemas.errors import Transient
from schemas.features import Entity
from streaming.memory import Memory


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


def name_keys(entity: Entity, ids: Iterable[str]) -> list[str]:
    """Return the keys of ids within a unit; the kind is formatted once, as an enum's formatting is most of the cost.

    >>> name_keys(Entity.CARD, ["c1", "c2"])
    ['card:c1', 'card:c2']
    """
    kind = f"{entity}:"
    return [kind + entity_id for entity_id in ids]


@dataclass
class Answer:
    """``values[i][j]`` are the partials of ask ``i`` in its unit ``j``, aligned with its ids; ``b""`` is never seen.

    Attributes:
        positions: of the units that are not ours, as of the read; ``None`` where there is none that moves.
    """

    values: list[list[Sequence[bytes]]]
    positions: dict[Unit, Position | None]


class PartialStore:
    """Own partials in memory, other units' from Redis; one round trip per batch at most."""

    def __init__(self, view: View, *, entities_max: int, bytes_max: int) -> None:
        """Bind to a view; the bounds are those of ``streaming.memory.Memory``."""
        self._view = view
        self._memory = Memory(entities_max=entities_max, bytes_max=bytes_max)
        self._asked: dict[tuple[Unit, Entity], tuple[list[str], list[int]]] = {}
        self._expected: dict[Unit, set[int]] = {}
        self._pinned_at_trim: dict[Unit, int] = {}

    def own(self, unit: Unit, applied: int, *, born_empty: bool) -> None:
        """Start to own a unit whose position in Redis is ``applied``; ``born_empty`` when nothing was ever in it."""
        self._expected[unit] = {applied}
        self._pinned_at_trim.pop(unit, None)
        self._memory.own(unit, born_empty=born_empty)

    def forget(self, unit: Unit) -> None:
        """Drop everything known about a unit."""
        self._expected.pop(unit, None)
        self._pinned_at_trim.pop(unit, None)
        self._memory.forget(unit)

    def pin(self, unit: Unit, end: int, changed: list[Changed]) -> None:
        """Take over what a committed batch changed in an owned unit, whose write will move it to ``end``."""
        self._expected[unit].add(end)
        for part in changed:
            self._memory.put(unit, part.entity, self._number_again(unit, part), part.partials)

    def confirm(self, unit: Unit, end: int) -> None:
        """Redis confirmed the write up to ``end``; a unit forgotten meanwhile is left alone."""
        if unit in self._expected:
            self._expected[unit] = {position for position in self._expected[unit] if position >= end}

    def trim(self) -> None:
        """Drop what was not used lately when there is too much, unless some of it may be pinned (see *Pin*)."""
        if any(min(self._expected[unit]) < end for unit, end in self._pinned_at_trim.items()):
            return
        if self._memory.drop_unused():
            self._asked.clear()
            self._pinned_at_trim = {unit: max(ends) for unit, ends in self._expected.items()}
            metrics.CACHE_GENERATIONS.inc()

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
            slots = self._memory.number(ask.entity, ask.ids)
            self._asked[ask.units[0], ask.entity] = (ask.ids, slots)
            found = [self._look_up(unit, ask.entity, slots) for unit in ask.units]
            for number, part in enumerate(found):
                # a unit known whole has no gaps, so they are not looked for
                if part is None or (not self._memory.is_known_whole(ask.units[number]) and None in part):
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

    def _number_again(self, unit: Unit, part: Changed) -> list[int]:
        """Return the slots of changed ids; as a rule they are those just read, and to compare is less than to hash."""
        asked = self._asked.get((unit, part.entity))
        return asked[1] if asked and asked[0] == part.ids else self._memory.number(part.entity, part.ids)

    def _look_up(self, unit: Unit, entity: Entity, slots: list[int]) -> Sequence[bytes | None] | None:
        """Return what memory has of a unit, ``None`` inside for what it lacks; ``None`` for a unit not ours."""
        return self._memory.look_up(unit, entity, slots) if unit in self._memory else None

    def _load(self, missing: list[_Missing], values: list[list[Sequence[bytes]]]) -> dict[Unit, Position | None]:
        wanted: dict[Unit, list[str]] = {}
        for lack in missing:
            keys = wanted.setdefault(lack.unit, [])
            lack.start = len(keys)
            keys += name_keys(lack.entity, lack.ids)
        metrics.CACHE_MISSES.labels(entity="all").inc(sum(len(keys) for keys in wanted.values()))
        loaded = self._view.load_many(wanted.items())
        self._check({unit: loaded[unit].position for unit in wanted if unit in self._memory})
        for lack in missing:
            fresh = loaded[lack.unit].partials[lack.start : lack.start + len(lack.ids)]
            values[lack.ask][lack.number] = lack.fill(fresh)
            if lack.unit in self._memory:
                self._memory.put(lack.unit, lack.entity, lack.slots, fresh)
        # where another view follows the log this one only has what was before, which is as good as a unit half there
        return {
            unit: None if part.moved_on else part.position
            for unit, part in loaded.items()
            if unit not in self._expected
        }

    def observe(self) -> None:
        """Publish how much is held in memory."""
        metrics.CACHED_ENTITIES.labels(entity="all").set(len(self._memory))
        metrics.CACHED_BYTES.set(self._memory.bytes_held)

    def _check(self, positions: Mapping[Unit, Position | None]) -> None:
        moved = {
            unit: "none" if position is None else str(position.applied)
            for unit, position in positions.items()
            if position is None or position.applied not in self._expected[unit]
        }
        if not moved:
            return
        unit, found = next(iter(moved.items()))
        expected = "/".join(str(offset) for offset in sorted(self._expected[unit]))
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
