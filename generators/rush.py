"""A world in fast motion: given moments, one payment each, with a day's variety of behaviour in a minute.

A live stream publishes at whatever rate it is asked for, far above what its cards would do in nature. Each moment is
filled either by the next card of a shuffled round (so that an honest card pays again only after all others have) or
by a step of a scenario, whose sequences are compressed to seconds. History contains such minutes too, so a model has
met them. Cost: about 1 us a payment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from weir.generators.actors import Scenario
from weir.generators.events import Events, concat, no_events
from weir.generators.habits import draw_payments
from weir.generators.hard_negatives import HARD_NEGATIVES, WEEK_MS, travellers
from weir.generators.plan import ongoing
from weir.generators.population import Population
from weir.generators.scenarios import FRAUD, CompromisedMerchant, LowAndSlow
from weir.generators.seeds import Ints, key_of, rng_for
from weir.schemas.durations import DAY_MS

FRAUD_SHARE, HARD_SHARE = 0.008, 0.03
"""Of the payments of a rush: fraudulent, and honest but suspicious."""
_HEAD_START, _HEAD_START_SHARE = 16.0, 0.016
_ACTORS_PER_SECOND_MAX = 100_000


@dataclass
class _Troupe:
    """Scenarios waiting for their turn; each comes when the payments so far have earned its mean size."""

    table: tuple[tuple[Scenario, float, float], ...]
    share: float
    rng: np.random.Generator
    upcoming: Scenario
    credit: float = 0.0

    def __post_init__(self) -> None:
        frequency = np.array([rushed / scenario.size for scenario, _, rushed in self.table])
        self._up_to = np.cumsum(frequency / frequency.sum())

    def take_turns(self, payments: int) -> Iterator[Scenario]:
        self.credit += self.share * payments
        while self.credit >= self.upcoming.size:
            yield self.upcoming
            self.upcoming = self._choose()

    def _choose(self) -> Scenario:
        number = int(np.searchsorted(self._up_to, self.rng.random(), side="right"))
        return self.table[min(number, len(self.table) - 1)][0]


class Rush:
    """The filling of moments, block after block. The same population, start and blocks give the same payments."""

    def __init__(self, population: Population, start_ms: int) -> None:
        self._population = population
        self._start_ms = start_ms
        self._rng = rng_for(population.seed, "rush", start_ms)
        self._key = key_of(population.seed, "rush ids", start_ms)
        self._served = 0
        self._actors = 0
        self._pending = no_events()
        self._walkers = self._cards_at_home()
        self._round = self._walkers[:0]
        self._troupes = [
            _Troupe(FRAUD, FRAUD_SHARE, self._rng, FRAUD[0][0]),
            _Troupe(HARD_NEGATIVES, HARD_SHARE, self._rng, HARD_NEGATIVES[-2][0]),
        ]

    def _cards_at_home(self) -> Ints:
        everyone = np.arange(self._population.cards)
        away, _ = travellers(self._population, self._start_ms // WEEK_MS)
        staying = ~np.isin(everyone, away) & self._population.is_open(everyone, self._start_ms // DAY_MS)
        return everyone[staying]

    def fill(self, times_ms: Ints) -> Events:
        """Return one payment per moment, in time order. Moments ascend, within a block and between blocks."""
        if not len(times_ms):
            return no_events()
        acted = concat([self._pending, *self._act(times_ms)]).in_time_order()
        wanted = np.searchsorted(times_ms, acted.time_ms) - np.arange(len(acted))
        # each step takes the first free moment at or after its own; what does not fit waits for the next block
        slots = np.maximum.accumulate(wanted) + np.arange(len(acted)) if len(acted) else wanted
        now = slots < len(times_ms)
        self._pending = acted.take(~now)
        acted = replace(acted.take(now), time_ms=times_ms[slots[now]])
        free = np.ones(len(times_ms), dtype=np.bool_)
        free[slots[now]] = False
        everyday = draw_payments(self._population, self._rng, self._walk(int(free.sum())), times_ms[free])
        events = concat([everyday, acted]).take(_places(free, slots[now]))
        self._served += len(events)
        return events.with_ids(self._key, self._served - len(events))

    def _act(self, times_ms: Ints) -> list[Events]:
        parts = []
        if not self._served:
            # a short stream shows its first sequence at once instead of after 1,500 payments
            self._troupes[0].credit += min(_HEAD_START, _HEAD_START_SHARE * len(times_ms))
        for troupe in self._troupes:
            for scenario in troupe.take_turns(len(times_ms)):
                start_ms = int(self._rng.integers(times_ms[0], times_ms[-1] + 1))
                events = self._draw(scenario, start_ms)
                troupe.credit -= len(events)
                parts.append(events)
        return parts

    def _draw(self, scenario: Scenario, start_ms: int) -> Events:
        if isinstance(scenario, CompromisedMerchant | LowAndSlow):
            already = ongoing(self._population, scenario, start_ms)
            if len(already):
                one = int(self._rng.choice(already))
                return scenario.join(self._population, self._rng, one, np.array([start_ms]))
        self._actors += 1
        actor = self._start_ms // 1000 * _ACTORS_PER_SECOND_MAX + self._actors
        return scenario.draw(self._population, actor, start_ms, rushed=True)

    def _walk(self, count: int) -> Ints:
        parts = [self._round[:count]]
        self._round = self._round[count:]
        missing = count - len(parts[0])
        while missing > 0:
            shuffled = self._rng.permutation(self._walkers)
            parts.append(shuffled[:missing])
            self._round = shuffled[missing:]
            missing -= len(parts[-1])
        return np.concatenate(parts)


def _places(free: np.ndarray[tuple[int], np.dtype[np.bool_]], slots: Ints) -> Ints:
    """Return, moment by moment, the row in (everyday rows, then acted rows)."""
    rows = np.cumsum(free) - 1
    rows[slots] = int(free.sum()) + np.arange(len(slots))
    return rows


def fill_all(population: Population, start_ms: int, blocks: Iterable[Ints]) -> Events:
    """Return the payments of a whole rush."""
    rush = Rush(population, start_ms)
    return concat(rush.fill(block) for block in blocks)
