"""A game: an attacker spends a budget of cards and money, round by round, against a target. Pure.

A card costs ``CARD_USD``, each try ``TRY_USD``; a card that is stopped, by a review or a decline, is blocked. What a
card brings is the money of its payments that were approved, up to its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from weir.training.redteam.attackers import Attacker
from weir.training.redteam.tactics import TACTICS, Tactic

ROUND_CARDS: Final = 50
"""Cards between two times that the attacker learns."""
CARD_USD, TRY_USD = 10.0, 1.0
"""Round figures: a stolen card's price, and what goods, a courier or a proxy cost for each payment."""


@dataclass(frozen=True)
class Budget:
    """What an attacker has."""

    cards: int
    money_usd: float


@dataclass(frozen=True)
class Terms:
    """What two plays have in common that can be compared.

    Attributes:
        budget: of each game.
        seed: names the world.
        rules: version of the rules that decided.
        thresholds: version of the published thresholds that decided; empty for the model's own.
    """

    budget: Budget
    seed: int
    rules: str
    thresholds: str = ""


@dataclass(frozen=True)
class Tried:
    """What the cards of a round came to.

    Attributes:
        taken_usd: money per card.
        tries: payments per card.
    """

    taken_usd: npt.NDArray[np.float64]
    tries: npt.NDArray[np.int64]


class Target(Protocol):
    """What is attacked."""

    def attack(self, tactics: Sequence[Tactic]) -> Tried:
        """Use a new card for each tactic."""
        ...


@dataclass(frozen=True)
class Played:
    """What a game came to.

    Attributes:
        spent_usd: for cards and tries.
        tactic: that the attacker chose most in the last quarter of its cards.
    """

    cards: int
    tries: int
    spent_usd: float
    taken_usd: float
    tactic: Tactic

    @property
    def per_thousand_cards_usd(self) -> float:
        """Return the money taken per 1,000 cards."""
        return 1_000 * self.taken_usd / self.cards


def play(attacker: Attacker, target: Target, budget: Budget) -> Played:
    """Play until cards or money are used up."""
    chosen: list[int] = []
    tries, spent, taken = 0, 0.0, 0.0
    while (count := _afford(budget, len(chosen), spent)) > 0:
        tactics = attacker.choose(count)
        tried = target.attack([TACTICS[each] for each in tactics])
        costs = CARD_USD + TRY_USD * tried.tries
        attacker.learn(tactics, tried.taken_usd - costs)
        chosen += tactics
        tries, spent, taken = tries + int(tried.tries.sum()), spent + float(costs.sum()), taken + tried.taken_usd.sum()
    last = chosen[-max(1, len(chosen) // 4) :]
    return Played(len(chosen), tries, spent, float(taken), TACTICS[max(set(last), key=last.count)])


def _afford(budget: Budget, used: int, spent: float) -> int:
    """Return how many cards the next round has."""
    return min(ROUND_CARDS, budget.cards - used, int((budget.money_usd - spent) // (CARD_USD + TRY_USD)))
