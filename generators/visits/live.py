"""Visits in fast motion: moments are given, and each is filled by the next click of the visits that are under way.

New visits begin when those under way have too few clicks for the moments to fill; a customer comes again only after all
others have. The same seed, start and blocks give the same clicks.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from weir.generators.population import Population
from weir.generators.seeds import Ints, rng_for
from weir.generators.visits.journeys import draw_journeys
from weir.generators.visits.steps import Steps, join, lay_out

_CLICKS_OF_A_VISIT: Final = 4
_VISITS_PER_SECOND_MAX: Final = 100_000


class Visits:
    """The filling of moments, block after block.

    Args:
        population: who comes.
        start_ms: of the first moment; it names the visits.
    """

    def __init__(self, population: Population, start_ms: int) -> None:
        self._population = population
        self._rng = rng_for(population.seed, "visits live", start_ms)
        self._next = start_ms // 1_000 * _VISITS_PER_SECOND_MAX
        self._round: Ints = np.empty(0, np.int64)
        self._under_way: Steps | None = None

    def fill(self, times_ms: Ints) -> Steps:
        """Return a click for each moment, in time order; moments ascend, within a call and between calls."""
        count, last_ms = len(times_ms), int(times_ms[-1])
        while (due := self._count_due(last_ms)) < count:
            self._begin(1 + (count - due) // _CLICKS_OF_A_VISIT, int(times_ms[0]), last_ms)
        assert self._under_way is not None
        steps = self._under_way.in_time_order()
        self._under_way = steps.take(slice(count, None))
        return steps.take(slice(0, count)).at(times_ms)

    def _count_due(self, last_ms: int) -> int:
        return 0 if self._under_way is None else int((self._under_way.time_ms <= last_ms).sum())

    def _begin(self, visits: int, from_ms: int, to_ms: int) -> None:
        customers, starts = self._choose(visits), self._rng.integers(from_ms, to_ms + 1, visits)
        journeys = draw_journeys(self._population, self._rng, customers)
        begun = lay_out(self._population, self._rng, journeys, customers, starts, self._next)
        self._next += visits
        self._under_way = begun if self._under_way is None else join([self._under_way, begun])

    def _choose(self, count: int) -> Ints:
        while len(self._round) < count:
            everyone = self._rng.permutation(len(self._population.customer_names))
            self._round = np.concatenate([self._round, everyone])
        chosen, self._round = self._round[:count], self._round[count:]
        return chosen
