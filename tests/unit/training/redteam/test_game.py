"""The attackers against targets whose weakness is known, and the budget that they may not exceed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from weir.training.redteam.attackers import AdaptiveAttacker, RandomAttacker
from weir.training.redteam.game import CARD_USD, ROUND_CARDS, TRY_USD, Budget, Played, Tried, play
from weir.training.redteam.tactics import TACTICS, Tactic

_TRIES = 4


@dataclass
class _Target:
    """Approves each of a card's payments with a chance that falls with the amount, and never the ones of some goods."""

    forbidden: tuple[str, ...] = ()
    half_usd: float = 400.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    rounds: list[int] = field(default_factory=list)

    def attack(self, tactics: Sequence[Tactic]) -> Tried:
        self.rounds.append(len(tactics))
        taken, tries = np.zeros(len(tactics)), np.zeros(len(tactics), np.int64)
        for place, tactic in enumerate(tactics):
            chance = 0 if tactic.goods in self.forbidden else 1 / (1 + (tactic.amount_usd / self.half_usd) ** 3)
            for _ in range(_TRIES):
                tries[place] += 1
                if self.rng.random() >= chance:
                    break
                taken[place] += tactic.amount_usd
        return Tried(taken, tries)


def _play(*, adaptive: bool, seed: int, budget: Budget, forbidden: tuple[str, ...] = ()) -> Played:
    attacker = AdaptiveAttacker(seed) if adaptive else RandomAttacker(seed)
    return play(attacker, _Target(forbidden), budget)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_learns_takes_twice_as_much_as_who_tries_at_random(seed: int) -> None:
    budget = Budget(1_000, 20_000.0)
    forbidden = ("cash", "shops", "resold")
    by_chance, learnt = (_play(adaptive=each, seed=seed, budget=budget, forbidden=forbidden) for each in (False, True))
    assert learnt.taken_usd >= 2 * by_chance.taken_usd
    assert learnt.tactic.goods == "digital"
    assert learnt.tactic.amount_usd == 200


def test_where_everything_is_stopped_nobody_takes_anything() -> None:
    everything = tuple({tactic.goods for tactic in TACTICS})
    for adaptive in (False, True):
        game = _play(adaptive=adaptive, seed=1, budget=Budget(100, 5_000.0), forbidden=everything)
        assert game.taken_usd == 0
        assert game.tries == 100


@pytest.mark.parametrize(("cards", "money_usd"), [(130, 1e9), (10_000, 3_000.0), (1, 50.0)])
def test_no_more_is_spent_than_there_is(cards: int, money_usd: float) -> None:
    target = _Target()
    game = play(RandomAttacker(1), target, Budget(cards, money_usd))
    assert game.cards == sum(target.rounds) <= cards
    assert game.spent_usd == pytest.approx(CARD_USD * game.cards + TRY_USD * game.tries)
    assert game.spent_usd <= money_usd + ROUND_CARDS * TRY_USD * _TRIES
    assert max(target.rounds) <= ROUND_CARDS


def test_a_seed_gives_the_same_game() -> None:
    first, second = (_play(adaptive=True, seed=5, budget=Budget(200, 9_000.0)) for _ in range(2))
    assert first == second
    assert first.per_thousand_cards_usd == pytest.approx(5 * first.taken_usd)
