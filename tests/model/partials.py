"""``streaming/state/cache.py`` and ``memory.py`` of the model."""

from __future__ import annotations

from collections.abc import Generator

from tests.model.world import Guard, Partials, Record, Transient, World


class Store:
    """``streaming.partials.PartialStore``: memory in two generations, and where Redis may be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.young: Partials = {}
        self.old: Partials = {}
        self.is_owned = False
        self.known_whole = False
        self.expected: set[int] = set()
        self.pinned_at_trim = 0
        self.is_pinned = True

    def own(self, applied: int, *, born_empty: bool) -> None:
        self.forget()
        self.is_owned, self.known_whole = True, born_empty
        self.expected = {applied}

    def forget(self) -> None:
        self.is_owned = self.known_whole = False
        self.expected, self.pinned_at_trim, self.is_pinned = set(), 0, True
        if self.world.has(Guard.FORGET):
            self.young, self.old = {}, {}

    def keep(self, changed: Partials) -> None:
        self.young |= changed
        self.is_pinned = not changed

    def pin(self, end: int) -> None:
        if not self.is_owned:
            self.world.judge_wrong(f"what ends at {end} is pinned though the unit was forgotten")
        self.expected.add(end)
        self.is_pinned = True

    def confirm(self, end: int) -> None:
        self.expected = {position for position in self.expected if position >= end}

    def trim(self) -> None:
        has_more = not self.is_pinned or min(self.expected, default=0) < self.pinned_at_trim
        if self.world.has(Guard.PIN) and has_more:
            return
        if self.old:
            self.known_whole = False
            self.world.met["evictions while writes are on their way"] += len(self.expected) > 1
        self.old, self.young = self.young, {}
        self.pinned_at_trim = max(self.expected, default=0)

    def check(self) -> None:
        if self.world.redis.position not in self.expected:
            raise Transient

    def read(self, records: list[Record]) -> Generator[None, None, Partials]:
        """Return the partials of the records' entities, from Redis where memory lacks them."""
        entities = {entity for record in records for entity in record.entities}
        self.young |= {entity: self.old[entity] for entity in entities - self.young.keys() if entity in self.old}
        if (missing := entities - self.young.keys()) and not self.known_whole:
            yield
            if self.world.has(Guard.READ_WITH_POSITION):
                self.check()
                self.world.met["cold reads before the confirmation"] += self.world.redis.position != min(self.expected)
            self.young |= {entity: self.world.redis.partials.get(entity, ()) for entity in missing}
        return {entity: self.young.get(entity, ()) for entity in entities}
