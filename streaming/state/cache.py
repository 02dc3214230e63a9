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
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import pyarrow as pa

from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.id_set import Hashes, IdSet
from weir.streaming.core.partial_table import ALL, OTHERS, OWN
from weir.streaming.core.passes import Partials
from weir.streaming.core.seal import compute_base, find_broken
from weir.streaming.core.states import Packed, PackedStates
from weir.streaming.state.memory import Memory, Numbers, Rows
from weir.streaming.state.queries import (
    BatchPartials,
    BatchQuery,
    Changed,
    Missing,
    Named,
    PartialQuery,
    Places,
    Positions,
    list_units,
    name_keys,
    pick,
)

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


class PartialStore:
    """Own partials in memory, other units' from Redis; one round trip per batch at most."""

    def __init__(self, view: View, *, declarations_hash: str, entities_max: int, bytes_max: int) -> None:
        """Bind to a view; the hash is in the seals, the bounds are those of ``Memory``."""
        self._view = view
        self._declarations_hash = declarations_hash
        self._memory = Memory(entities_max=entities_max, bytes_max=bytes_max)
        self._expected: dict[Unit, set[int]] = {}
        self._not_pinned: set[Unit] = set()
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
        self._not_pinned.discard(unit)
        self._memory.own(unit, born_empty=born_empty)

    def forget(self, unit: Unit) -> None:
        """Drop everything known about a unit."""
        self._expected.pop(unit, None)
        self._erasures.pop(unit, None)
        self._pinned_at_trim.pop(unit, None)
        self._not_pinned.discard(unit)
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

    def keep(self, kind: str, entities: Mapping[str, EntityIndex], partials: Mapping[str, Packed]) -> None:
        """Take over what a batch changes in owned units, before it is committed; ``pin`` follows, or ``forget``.

        Args:
            kind: of the units.
            entities: whom the batch is about.
            partials: new ones, aligned with them; an empty one is of an entity of which nothing counted.
        """
        for entity, new in partials.items():
            index = entities[entity]
            numbers = self._memory.number(entity, index.values)
            self._memory.put(entity, numbers, self._list_rows(kind, index), new)
            self._not_pinned.update(list_units(kind, index))

    def pin(self, unit: Unit, end: int, changed: list[Changed], *, is_mixed: bool = False) -> None:
        """Hold what a batch changed in an owned unit, and was kept, until its write has moved the unit to ``end``."""
        self._not_pinned.discard(unit)
        self._expected[unit].add(end)
        if is_mixed:
            self._home_partitions[unit] = 0
        if unit in self._ids:
            for part in changed:
                self._ids[unit].add(part.entity, part.new)

    def confirm(self, unit: Unit, end: int) -> None:
        """Redis confirmed the write up to ``end``; a unit forgotten meanwhile is left alone."""
        if unit in self._expected:
            self._expected[unit] = {position for position in self._expected[unit] if position >= end}

    def trim(self) -> None:
        """Drop what was not used lately when there is too much, unless some of it may be pinned (see *Pin*)."""
        if self._not_pinned or any(min(self._expected[unit]) < end for unit, end in self._pinned_at_trim.items()):
            return
        if self._memory.drop_unused():
            self._pinned_at_trim = {unit: max(ends) for unit, ends in self._expected.items()}
            for ids in self._ids.values():
                ids.settle()
            metrics.CACHE_GENERATIONS.inc()

    def read(self, asks: Sequence[PartialQuery]) -> list[list[list[bytes]]]:
        """Return the partials asked for, of owned and foreign units.

        Returns:
            Of ask ``i`` in its unit ``j`` the partials ``[i][j]``, aligned with its ids; ``b""`` is never seen.

        Raises:
            StaleState: owned units are not where this process left them.
            Transient: Redis is unreachable.
        """
        _meter(sum(len(ask.ids) * len(ask.units) for ask in asks))
        numbers = [self._memory.number(ask.entity, pa.array(ask.ids, pa.string())) for ask in asks]
        missing = [
            lack
            for ask, of in zip(asks, numbers, strict=True)
            for lack in self._find_missing(ask.entity, ask, of, [(unit, None) for unit in ask.units])
        ]
        self._load(missing)
        with self._lent(missing):
            return [
                [self._memory.look_up(unit, ask.entity, of) for unit in ask.units]  # type: ignore[misc] # nothing lacks
                for ask, of in zip(asks, numbers, strict=True)
            ]

    def read_batch(self, asks: Sequence[BatchQuery]) -> BatchPartials:
        """Return the partials of a batch's entities, packed, of owned and foreign units.

        Raises:
            StaleState: owned units are not where this process left them.
            Transient: Redis is unreachable.
        """
        wanted = {ask.entity: [*ask.list_wanted()] for ask in asks}
        numbers = {ask.entity: self._memory.number(ask.entity, ask.index.values) for ask in asks}
        missing = [
            lack
            for ask in asks
            for lack in self._find_missing(ask.entity, ask.index, numbers[ask.entity], wanted[ask.entity])
        ]
        _meter(
            sum(len(ask.index) if places is None else len(places) for ask in asks for _, places in wanted[ask.entity])
        )
        positions = self._load(missing)
        own, others, labels = dict[str, Partials](), dict[str, Partials](), dict[str, Partials]()
        with self._lent(missing):
            for ask in asks:
                asked = ask.entity, numbers[ask.entity], self._list_rows("t", ask.index)
                own[ask.entity] = self._memory.take(*asked, OWN)
                if ask.all_others:
                    others[ask.entity] = self._memory.take(*asked, OTHERS, self._memory.list_rows(ask.all_others))
                if ask.labels:
                    labels[ask.entity] = self._memory.take(*asked, ALL, self._memory.list_rows(ask.labels))
        return BatchPartials(PackedStates(own, others, labels), positions)

    def check(self, units: Sequence[Unit]) -> None:
        """Ask Redis whether owned units are where this process left them.

        Raises:
            StaleState: some are not.
            Transient: Redis is unreachable.
        """
        if units:
            self._check(self._view.load_many([(unit, []) for unit in units]))

    def _list_rows(self, kind: str, index: EntityIndex) -> Rows:
        """Return where the own unit of each position is in memory."""
        units = [Unit(kind, partition) for partition in range(int(index.units.max(initial=-1)) + 1)]
        return self._memory.list_rows(units)[index.units]

    def _find_missing(
        self, entity: str, named: Named, numbers: Numbers, wanted: Iterable[tuple[Unit, Places | None]]
    ) -> Iterator[Missing]:
        """Yield what units lack of some ids, all or those at some places; memory is told of what a unit never had."""
        hashes: Hashes | None = None
        for unit, places in wanted:
            if unit not in self._memory:
                yield Missing(unit, entity, pick(named.ids, places), numbers if places is None else numbers[places])
                continue
            if self._memory.is_known_whole(unit):
                continue
            gaps = self._memory.find_gaps(unit, entity, numbers if places is None else numbers[places])
            gaps = gaps if places is None else places[gaps]
            if len(gaps) and (known := self._ids.get(unit)) is not None:
                hashes = known.hash_ids(entity, named.ids) if hashes is None else hashes
                absent = known.are_absent(hashes[gaps])
                self._memory.note_never_seen(unit, entity, numbers[gaps[absent]])
                gaps = gaps[~absent]
            if len(gaps):
                yield Missing(unit, entity, pick(named.ids, gaps), numbers[gaps])

    def _load(self, missing: Sequence[Missing]) -> Positions:
        """Read what is missing: into memory where it is of owned units; return where the others stand."""
        if not missing:
            return {}
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
            lack.fresh = fresh if lack.unit not in broken else [b""] * len(fresh)
            if lack.unit in self._memory:
                self._memory.put_one(lack.unit, lack.entity, lack.numbers, lack.fresh)
        # where another view follows the log this one only has what was before, which is as good as a unit half there
        positions = {
            unit: None if part.moved_on or unit in broken else part.position
            for unit, part in loaded.items()
            if unit not in self._expected
        }
        self._home_partitions |= {unit: at.partitions if at else 0 for unit, at in positions.items()}
        return positions

    @contextmanager
    def _lent(self, missing: Sequence[Missing]) -> Iterator[None]:
        """Have what was read of units that are not ours in memory, for as long as it is taken from there."""
        lent = [lack for lack in missing if lack.unit not in self._memory]
        self._memory.list_rows([lack.unit for lack in lent])
        for lack in lent:
            self._memory.put_one(lack.unit, lack.entity, lack.numbers, lack.fresh)
        try:
            yield
        finally:
            for lack in lent:
                self._memory.drop(lack.unit, lack.entity, lack.numbers)

    def _find_broken(
        self, missing: Sequence[Missing], loaded: Mapping[Unit, Loaded], wanted: Mapping[Unit, list[str]]
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
        self, missing: Sequence[Missing], loaded: Mapping[Unit, Loaded], wanted: Mapping[Unit, list[str]]
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


def _meter(partials: int) -> None:
    metrics.CACHE_LOOKUPS.labels(entity="all").inc(partials)
