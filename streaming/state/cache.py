"""The processor's copy of the view: own partials in memory, the others' read once per batch.

What is not in memory (``streaming/state/memory.py``) is read from Redis together with the unit's position; such a read
counts only at a position this process expects, because at any other one somebody else has written, and the batch must
not be built on it.

Two rules keep memory right:

- *Pin*: what a batch changed stays in memory until Redis has confirmed it. Evicted and read again it would be the older
  value. What is dropped was put there before the last time that something was, so ``trim`` waits until Redis has
  confirmed all that was pinned by then.
- *Born empty*: a unit that this process claimed at the log's start, and of which nothing was dropped since, is known
  whole: a missing key is an entity never seen, and Redis need not be asked. Of another unit the list of known ids says
  which were never seen (``streaming/core/id_set.py``); where it cannot be believed, Redis is asked for all.

What Redis answers is checked (``streaming/core/seal.py``): a value that is not what belongs under its key makes its
unit suspect. An owned one is built again from the log; another process's is read as unknown until its owner has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient
from weir.streaming.core.id_set import Hashes, IdSet
from weir.streaming.core.seal import compute_base, find_broken
from weir.streaming.state.memory import Memory

log = get_logger(__name__)


class StaleState(Transient):
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

    def load_checked(
        self, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        """Read likewise, and find values of another Redis type under absent keys of some units."""
        ...

    def suspect(self, unit: Unit, reason: str) -> None:
        """Mark a unit as one to be built again from the log."""
        ...


class PartialQuery(NamedTuple):
    """Some ids of one entity kind, wanted from several units."""

    entity: str
    ids: list[str]
    units: list[Unit]


class Changed(NamedTuple):
    """New partials of one entity kind in one unit; ``ids`` and ``partials`` are aligned, none is empty.

    Attributes:
        new: those of the ids that had no partial before.
    """

    entity: str
    ids: Sequence[str]
    partials: Sequence[bytes]
    new: Sequence[str] = ()


def name_keys(entity: str, ids: Iterable[str]) -> list[str]:
    """Return the keys of ids within a unit; the kind is formatted once, as an enum's formatting is most of the cost.

    >>> name_keys("card", ["c1", "c2"])
    ['card:c1', 'card:c2']
    """
    kind = f"{entity}:"
    return [kind + entity_id for entity_id in ids]


def encode_known(entities: Sequence[str], entity: str, ids: Iterable[str]) -> bytes:
    r"""Return the entries of ids in their unit's list of known ones: place of the kind, two bytes of length, id.

    The list lets a later reader know what exists in a unit without asking for it. An id whose partial expired and came
    back is in it twice.

    >>> encode_known(["card", "device"], "card", ["c1"])
    b'\x00\x02\x00c1'
    """
    kind = bytes([entities.index(entity)])
    named = [entity_id.encode() for entity_id in ids]
    return b"".join([kind + len(name).to_bytes(2, "little") + name for name in named])


@dataclass
class PartialResult:
    """``values[i][j]`` are the partials of ask ``i`` in its unit ``j``, aligned with its ids; ``b""`` is never seen.

    Attributes:
        positions: of the units that are not ours, as of the read; ``None`` where there is none that moves.
    """

    values: list[list[Sequence[bytes]]]
    positions: dict[Unit, Position | None]


class PartialStore:
    """Own partials in memory, other units' from Redis; one round trip per batch at most."""

    def __init__(self, view: View, *, declarations_hash: str, entities_max: int, bytes_max: int) -> None:
        """Bind to a view; the hash is in the seals, the bounds are those of ``Memory``."""
        self._view = view
        self._declarations_hash = declarations_hash
        self._memory = Memory(entities_max=entities_max, bytes_max=bytes_max)
        self._expected: dict[Unit, set[int]] = {}
        self._pinned_at_trim: dict[Unit, int] = {}
        self._home_partitions: dict[Unit, int] = {}
        self._erasures: dict[Unit, int] = {}
        self._ids: dict[Unit, IdSet] = {}

    def own(self, unit: Unit, position: Position, *, born_empty: bool, ids: IdSet | None = None) -> None:
        """Start to own a unit that is in Redis at a position.

        Args:
            unit: that is owned from now on.
            position: where it stands.
            born_empty: nothing was ever in it.
            ids: of which there ever was a partial; None where that is not known.
        """
        self._ids.pop(unit, None)
        if ids is not None:
            self._ids[unit] = ids
        self._expected[unit] = {position.applied}
        self._home_partitions[unit] = position.partitions
        self._erasures[unit] = position.erasures
        self._pinned_at_trim.pop(unit, None)
        self._memory.own(unit, born_empty=born_empty)

    def forget(self, unit: Unit) -> None:
        """Drop everything known about a unit."""
        self._expected.pop(unit, None)
        self._erasures.pop(unit, None)
        self._pinned_at_trim.pop(unit, None)
        self._ids.pop(unit, None)
        self._memory.forget(unit)

    def home_partitions(self, unit: Unit) -> int:
        """Return the number of partitions under which every key counted in a unit belongs in it.

        0 when some key does not, or when nothing is known of the unit yet.
        """
        return self._home_partitions.get(unit, 0)

    def erasures(self, unit: Unit) -> int:
        """Return how many erasures there had been in an owned unit when what is in memory of it was read."""
        return self._erasures.get(unit, 0)

    def pin(self, unit: Unit, end: int, changed: list[Changed], *, is_mixed: bool = False) -> None:
        """Take over what a committed batch changed in an owned unit, whose write will move it to ``end``."""
        self._expected[unit].add(end)
        if is_mixed:
            self._home_partitions[unit] = 0
        for part in changed:
            self._memory.put(unit, part.entity, self._memory.number(part.entity, part.ids), part.partials)
            if unit in self._ids:
                self._ids[unit].add(part.entity, part.new)

    def confirm(self, unit: Unit, end: int) -> None:
        """Redis confirmed the write up to ``end``; a unit forgotten meanwhile is left alone."""
        if unit in self._expected:
            self._expected[unit] = {position for position in self._expected[unit] if position >= end}

    def trim(self) -> None:
        """Drop what was not used lately when there is too much, unless some of it may be pinned (see *Pin*)."""
        if any(min(self._expected[unit]) < end for unit, end in self._pinned_at_trim.items()):
            return
        if self._memory.drop_unused():
            self._pinned_at_trim = {unit: max(ends) for unit, ends in self._expected.items()}
            for ids in self._ids.values():
                ids.settle()
            metrics.CACHE_GENERATIONS.inc()

    def read(self, asks: Sequence[PartialQuery]) -> PartialResult:
        """Return the partials asked for, of owned and foreign units.

        Raises:
            StaleState: owned units are not where this process left them.
            Transient: Redis is unreachable.
        """
        metrics.CACHE_LOOKUPS.labels(entity="all").inc(sum(len(ask.ids) * len(ask.units) for ask in asks))
        values: list[list[Sequence[bytes]]] = []
        missing: list[_Missing] = []
        for at, ask in enumerate(asks):
            slots = self._memory.number(ask.entity, ask.ids)
            found = [self._look_up(unit, ask.entity, slots) for unit in ask.units]
            missing += self._find_missing(at, ask, slots, found)
            values.append(found)  # type: ignore[arg-type] # what is missing is filled in below
        return PartialResult(values, self._load(missing, values) if missing else {})

    def check(self, units: Sequence[Unit]) -> None:
        """Ask Redis whether owned units are where this process left them.

        Raises:
            StaleState: some are not.
            Transient: Redis is unreachable.
        """
        if units:
            self._check(self._view.load_many([(unit, []) for unit in units]))

    def _look_up(self, unit: Unit, entity: str, slots: list[int]) -> Sequence[bytes | None] | None:
        """Return what memory has of a unit, ``None`` inside for what it lacks; ``None`` for a unit not ours."""
        return self._memory.look_up(unit, entity, slots) if unit in self._memory else None

    def _find_missing(
        self, at: int, ask: PartialQuery, slots: list[int], found: list[Sequence[bytes | None] | None]
    ) -> Iterator[_Missing]:
        """Yield what units lack of an ask; ids that a unit never had a partial of are put into memory and ``found``."""
        hashes: Hashes | None = None
        for number, unit in enumerate(ask.units):
            part, ids = found[number], self._ids.get(unit)
            if part is None:
                yield _Missing(at, number, unit, ask.entity, ask.ids, slots, None)
                continue
            if self._memory.is_known_whole(unit) or None not in part:  # one known whole has no gaps
                continue
            gaps = [place for place, value in enumerate(part) if value is None]
            if ids is not None:
                hashes = ids.hash_ids(ask.entity, ask.ids) if hashes is None else hashes
                absent = ids.are_absent(hashes[gaps]).tolist()
                never = [place for place, is_absent in zip(gaps, absent, strict=True) if is_absent]
                self._memory.put(unit, ask.entity, [slots[place] for place in never], [b""] * len(never))
                filled = list(part)
                for place in never:
                    filled[place] = b""
                found[number] = part = filled
                gaps = [place for place, is_absent in zip(gaps, absent, strict=True) if not is_absent]
            if gaps:
                lacking = [ask.ids[place] for place in gaps]
                yield _Missing(at, number, unit, ask.entity, lacking, [slots[place] for place in gaps], part)

    def _load(self, missing: list[_Missing], values: list[list[Sequence[bytes]]]) -> dict[Unit, Position | None]:
        wanted: dict[Unit, list[str]] = {}
        for lack in missing:
            keys = wanted.setdefault(lack.unit, [])
            lack.start = len(keys)
            keys += name_keys(lack.entity, lack.ids)
        metrics.CACHE_MISSES.labels(entity="all").inc(sum(len(keys) for keys in wanted.values()))
        loaded = self._view.load_checked(wanted.items(), {unit for unit in wanted if unit in self._memory})
        self._check({unit: part for unit, part in loaded.items() if unit in self._memory})
        broken = self._find_broken(missing, loaded, wanted)
        for lack in missing:
            fresh = loaded[lack.unit].partials[lack.start : lack.start + len(lack.ids)]
            values[lack.ask][lack.number] = lack.fill(fresh if lack.unit not in broken else [b""] * len(fresh))
            if lack.unit in self._memory:
                self._memory.put(lack.unit, lack.entity, lack.slots, fresh)
        # where another view follows the log this one only has what was before, which is as good as a unit half there
        positions = {
            unit: None if part.moved_on or unit in broken else part.position
            for unit, part in loaded.items()
            if unit not in self._expected
        }
        self._home_partitions |= {unit: at.partitions if at else 0 for unit, at in positions.items()}
        return positions

    def _find_broken(
        self, missing: Sequence[_Missing], loaded: Mapping[Unit, Loaded], wanted: Mapping[Unit, list[str]]
    ) -> set[Unit]:
        """Return units of other processes that hold what is no partial of ours; say so of each.

        Raises:
            StaleState: owned units do.
        """
        broken = self._find_unsealed(missing, loaded, wanted)
        # of a unit that is not ours most keys are absent, and its owner looks at them
        broken |= {unit: part.other_types[0] for unit, part in loaded.items() if part.other_types}
        for unit, key in broken.items():
            log.error("view_broken", unit=unit.tag, key=key)
            metrics.VIEW_BROKEN.inc()
            self._view.suspect(unit, f"the value of a {key.partition(':')[0]} is not what was written there")
        own = [unit for unit in broken if unit in self._memory]
        if own:
            raise StaleState(
                own, f"redis: unit {own[0].tag} holds a value that is no partial of ours; building it again"
            )
        return set(broken)

    def _find_unsealed(
        self, missing: Sequence[_Missing], loaded: Mapping[Unit, Loaded], wanted: Mapping[Unit, list[str]]
    ) -> dict[Unit, str]:
        """Return units with a value that does not carry the seal of its key, and the first such key of each.

        All of them are asked at once: a small batch lacks a few ids in each of a hundred places.
        """
        found = [
            (lack, at, value, base)
            for lack in missing
            for base in [compute_base(self._declarations_hash, lack.unit.kind, lack.entity, lack.unit.partition)]
            for at, value in enumerate(loaded[lack.unit].partials[lack.start : lack.start + len(lack.ids)])
            if value  # most of what is not in memory is nowhere
        ]
        if not found:
            return {}
        ids, values = [lack.ids[at] for lack, at, _, _ in found], [value for _, _, value, _ in found]
        wrong = find_broken(np.array([base for *_, base in found]), ids, values).tolist()
        if not wrong:
            return {}
        keys = [(lack.unit, wanted[lack.unit][lack.start + at]) for lack, at, *_ in found]
        return dict(keys[at] for at in reversed(wrong))

    def observe(self) -> None:
        """Publish how much is held in memory."""
        metrics.CACHED_ENTITIES.labels(entity="all").set(len(self._memory))
        metrics.CACHED_BYTES.set(self._memory.bytes_held)

    def _check(self, loaded: Mapping[Unit, Loaded]) -> None:
        moved = {
            unit: found.suspect or _describe(found.position)
            for unit, found in loaded.items()
            if found.position is None
            or found.position.applied not in self._expected[unit]
            or found.position.erasures != self._erasures[unit]
        }
        if not moved:
            return
        unit, found = next(iter(moved.items()))
        expected = "/".join(str(offset) for offset in sorted(self._expected[unit]))
        message = f"redis: expected unit {unit.tag} at {expected}, found {found}; catching up from the log"
        raise StaleState(list(moved), message)


def _describe(position: Position | None) -> str:
    """Return where a unit stands, for a message."""
    if position is None:
        return "none"
    return f"{position.applied}, {position.erasures} erasures" if position.erasures else str(position.applied)


@dataclass
class _Missing:
    """What one unit lacks of one ask."""

    ask: int
    number: int
    unit: Unit
    entity: str
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
