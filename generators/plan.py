"""Who acts when: the world's schedule of everyday scenarios, week by week, as a function of the seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from weir.generators.actors import Scenario
from weir.generators.hard_negatives import HARD_NEGATIVES, WEEK_MS
from weir.generators.population import Population
from weir.generators.scenarios import FRAUD, CompromisedMerchant, LowAndSlow
from weir.generators.seeds import Ints, rng_for

PAYMENTS_PER_DAY = 0.8
"""Mean everyday payments a card and day."""
FRAUD_SHARE, HARD_SHARE = 0.007, 0.03
"""Of everyday payments: fraudulent, and honest but suspicious (travellers not counted)."""
LONGEST_WEEKS = 6
"""No actor is active for longer; for a moment's actors it is enough to look this many weeks back."""
_ACTORS_PER_WEEK_MAX = 100_000


@dataclass(frozen=True)
class Act:
    """One actor's appointment."""

    scenario: Scenario
    actor: int
    start_ms: int


@lru_cache(maxsize=64)
def plan_week(population: Population, week: int) -> tuple[Act, ...]:
    """Return the actors that begin in a week counted from the epoch, fraud and hard negatives."""
    rng = rng_for(population.seed, "plan", week)
    payments = population.cards * PAYMENTS_PER_DAY * 7
    chosen = [
        scenario
        for table, share in ((FRAUD, FRAUD_SHARE), (HARD_NEGATIVES, HARD_SHARE))
        for scenario, everyday, _ in table
        for _ in range(int(payments * share * everyday / scenario.size + rng.random()))
    ]
    starts_ms = week * WEEK_MS + rng.integers(0, WEEK_MS, len(chosen))
    first = week * _ACTORS_PER_WEEK_MAX + 1
    acts = enumerate(zip(chosen, starts_ms.tolist(), strict=True))
    return tuple(Act(scenario, first + number, start_ms) for number, (scenario, start_ms) in acts)


def plan(population: Population, from_ms: int, to_ms: int) -> Iterator[Act]:
    """Yield every actor that may act within [from, to)."""
    for week in range(from_ms // WEEK_MS - LONGEST_WEEKS, (to_ms - 1) // WEEK_MS + 1):
        yield from plan_week(population, week)


def ongoing(population: Population, scenario: CompromisedMerchant | LowAndSlow, at_ms: int) -> Ints:
    """Return the actors of a long scenario that are at it at a moment."""
    since_ms = at_ms - scenario.weeks * WEEK_MS
    acts = plan(population, at_ms, at_ms + 1)
    return np.array(
        [act.actor for act in acts if act.scenario is scenario and since_ms <= act.start_ms <= at_ms], dtype=np.int64
    )
