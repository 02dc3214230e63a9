"""The payments of an attack that is played: the shape of a scenario, with what the attacker chose for each card.

Unlike ``scenarios.py`` nothing is drawn in advance. Whether a card pays again hangs on what was decided of it, so
payments are made step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from weir.generators.actors import CHEAP_ONLINE, RESOLD, Identity, act, pick_far_city, pick_merchants, stranger
from weir.generators.events import Events, concat
from weir.generators.geography import CITIES, category_codes
from weir.generators.habits import pay
from weir.generators.population import Population
from weir.generators.seeds import Ints, key_of, rng_for
from weir.schemas.durations import HOUR_MS, SECOND_MS

LIMIT_USD: Final = 2_000.0
"""Of a card: what its issuer refuses above."""
_TEST_USD: Final = 1.5
_NIGHT_HOURS: Final = 12
_SHARED_BY: Final = 20
"""Cards on one device of a farm."""
_GOODS: Final = {
    "digital": CHEAP_ONLINE,
    "resold": RESOLD,
    "shops": category_codes("grocery", "clothing", "fuel", "pharmacy"),
    "cash": category_codes("cash"),
}
"""The words of ``training/redteam/tactics.py``."""


class Choice(Protocol):
    """What an attacker chose for a card."""

    @property
    def amount_usd(self) -> float: ...  # noqa: D102 - said by its name

    @property
    def gap_seconds(self) -> float: ...  # noqa: D102

    @property
    def goods(self) -> str: ...  # noqa: D102

    @property
    def hour(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Shape:
    """What a scenario fixes.

    Attributes:
        payments: of a card, its tests among them.
        tests: tiny payments at the beginning.
        identity: whose device and address: the ``owner``'s, a ``stranger``'s, or one that many cards ``share``.
        far: at terminals in another country.
        one_merchant: all cards pay at one merchant.
        grows: the last amount over the first.
    """

    payments: int
    tests: int = 0
    identity: str = "stranger"
    far: bool = False
    one_merchant: bool = False
    grows: float = 1.0


SHAPES: Final = {
    "card_testing": Shape(6, tests=3),
    "account_takeover": Shape(5, grows=3.0),
    "impossible_travel": Shape(4, far=True),
    "compromised_merchant": Shape(1, one_merchant=True),
    "device_farm": Shape(2, identity="shared"),
    "bust_out": Shape(6, identity="owner"),
    "low_and_slow": Shape(6),
}


class Cards:
    """Stolen cards in use, one a choice, and their payments step by step."""

    def __init__(self, population: Population, shape: Shape, cards: Ints, choices: Sequence[Choice], start_ms: int,
                 number: int) -> None:  # fmt: skip
        """Begin to use some cards.

        Args:
            population: whose cards they are.
            shape: of the scenario.
            cards: positions in the population.
            choices: one a card.
            start_ms: of the round.
            number: of the round; it names its draws.
        """
        self._population, self._shape, self.cards, self._choices = population, shape, cards, choices
        self._rng = rng_for(population.seed, "redteam", number)
        self._number = number
        self._starts = np.array([self._start_ms(*each, start_ms) for each in zip(cards, choices, strict=True)])
        self._left_usd = np.full(len(cards), LIMIT_USD)

    def _start_ms(self, card: int, choice: Choice, start_ms: int) -> int:
        """Return the first time from the round's start on that is the wanted hour of the card's owner."""
        offset = CITIES[self._population.card_city[card]].utc_offset_hours
        peak = self._population.card_peak_hour[card] + (_NIGHT_HOURS if choice.hour == "night" else 0)
        wait = (peak - offset - start_ms / HOUR_MS) % 24
        return int(start_ms + wait * HOUR_MS + self._rng.integers(0, HOUR_MS))

    def pay(self, step: int, using: Ints) -> Events:
        """Return the next payment of some cards, by their places, in that order."""
        parts = [self._pay_one(step, int(place)) for place in using]
        return concat(parts).with_ids(key_of(self._population.seed, "redteam", self._number), step * len(self.cards))

    def take(self, places: Ints, amounts_usd: np.ndarray) -> None:
        """Take what was approved off the limits."""
        self._left_usd[places] -= amounts_usd

    def _pay_one(self, step: int, place: int) -> Events:
        shape, choice, card = self._shape, self._choices[place], self.cards[place : place + 1]
        amount = _TEST_USD if step < shape.tests else choice.amount_usd * shape.grows ** (step / shape.payments)
        goods = CHEAP_ONLINE if step < shape.tests else _GOODS[choice.goods]
        time = self._starts[place] + np.array([int(step * choice.gap_seconds * SECOND_MS)])
        refused = np.array([amount > self._left_usd[place]])
        if shape.far:
            city = np.array([pick_far_city(self._population, self._rng, int(card[0]))])
            shops = self._population.shops_by_city.draw(self._rng, city)
            paid = pay(self._population, self._rng, cards=card, times_ms=time, merchants=shops, city=city)
            return replace(paid, amount_usd=np.array([amount]), declined=refused)
        seller = rng_for(self._population.seed, "redteam", "seller") if shape.one_merchant else self._rng
        home = None if shape.one_merchant else int(card[0])
        return act(
            self._population,
            self._rng,
            cards=card,
            merchants=pick_merchants(self._population, seller, goods, 1, home),
            times_ms=time,
            amounts_usd=np.array([amount]),
            refused=refused,
            identity=self._identity(place),
        )

    def _identity(self, place: int) -> Identity | None:
        if self._shape.identity == "owner":
            return None
        actor = int(self.cards[place]) if self._shape.identity == "stranger" else place // _SHARED_BY
        return stranger(self._population, (self._number << 32) + actor, 1)
