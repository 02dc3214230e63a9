"""Honest behaviour that looks like fraud, one class a pattern: what a rule that is too simple would decline."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from weir.generators.actors import (
    Identity,
    Scenario,
    act,
    actor_rng,
    pick_cards,
    pick_merchants,
    pick_neighbours,
    spaced_ms,
)
from weir.generators.events import SCENARIOS, Events
from weir.generators.geography import CITIES, category_codes
from weir.generators.habits import draw_amounts_usd, pay
from weir.generators.population import CITY_COUNTRY, Population, hotspot_ip, kiosk
from weir.generators.seeds import Ints, rng_for
from weir.schemas.durations import DAY_MS, HOUR_MS

WEEK_MS = 7 * DAY_MS
_TRIPS_A_YEAR = 1.0
_ONLINE_SALE = category_codes("marketplace", "electronics", "gifts", "games")
_DEAR = category_codes("electronics", "jewelry", "travel")
_CHEAP = category_codes("digital", "games", "transit")
_KIOSK_SELLERS = category_codes("travel", "marketplace")


@lru_cache(maxsize=64)
def travellers(population: Population, week: int) -> tuple[Ints, Ints]:
    """Return the cards that are abroad in a week counted from the epoch, and the city each is in."""
    rng = rng_for(population.seed, "holiday", week)
    count = max(1, round(population.cards * _TRIPS_A_YEAR / 52))
    cards = rng.permutation(population.cards)[:count]
    visitors = np.array([city.visitors for city in CITIES])
    offer = rng.choice(len(CITIES), (count, 12), p=visitors / visitors.sum())
    abroad = CITY_COUNTRY[offer] != CITY_COUNTRY[population.card_city[cards]][:, None]
    chosen = offer[np.arange(count), np.argmax(abroad, axis=1)]
    went = abroad.any(axis=1)
    return cards[went], chosen[went]


def draw_holidays(population: Population, week: int, payments_per_day: float) -> Events:
    """Draw the payments abroad of a week's travellers: four to five days, half a day of travel around them."""
    cards, city = travellers(population, week)
    rng = rng_for(population.seed, "holiday payments", week)
    rows = np.repeat(np.arange(len(cards)), rng.poisson(2 + 3 * payments_per_day, len(cards)))
    first_ms = week * WEEK_MS + rng.integers(12 * HOUR_MS, 48 * HOUR_MS, len(cards))
    stay_ms = rng.integers(3 * DAY_MS, 9 * DAY_MS // 2, len(cards))
    times = first_ms[rows] + (rng.random(len(rows)) * stay_ms[rows]).astype(np.int64)
    return _abroad(population, rng, cards[rows], city[rows], times)


def _abroad(population: Population, rng: np.random.Generator, cards: Ints, city: Ints, times_ms: Ints) -> Events:
    shops = population.shops_by_city.draw(rng, city)
    events = pay(population, rng, cards=cards, times_ms=times_ms, merchants=shops, city=city)
    code = np.full(len(cards), SCENARIOS.index("holiday_travel"), dtype=np.int8)
    return replace(events, scenario=code)


class HolidayTravel:
    """One of the week's travellers pays abroad a few times; its card does not pay at home meanwhile."""

    name = "holiday_travel"
    size = 2.5

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 1 to 4 payments at foreign terminals."""
        rng = actor_rng(population, actor)
        cards, city = travellers(population, start_ms // WEEK_MS)
        one = rng.integers(0, len(cards), 1)
        count = int(rng.integers(1, 5))
        times = spaced_ms(rng, start_ms, count, 8 if rushed else 9_000)
        events = _abroad(population, rng, np.repeat(cards[one], count), np.repeat(city[one], count), times)
        return events.as_part_of(self.name, actor, fraud=False)


class FlashSale:
    """A seller's sale: a crowd of cards within minutes, near one price, some refused by a crowded gateway."""

    name = "flash_sale"
    size = 70.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 40 to 100 cards over about an hour."""
        rng = actor_rng(population, actor)
        count = int(rng.integers(30, 60) if rushed else rng.integers(40, 101))
        seller = pick_merchants(population, rng, _ONLINE_SALE, 1)
        cards = pick_neighbours(population, rng, start_ms, count, int(seller[0]))
        count = len(cards)
        merchants = np.repeat(seller, count)
        events = act(
            population,
            rng,
            cards=cards,
            merchants=merchants,
            times_ms=spaced_ms(rng, start_ms, count, 0.5 if rushed else 40),
            amounts_usd=rng.lognormal(np.log(rng.uniform(3, 60)), 0.15, count),
            refused=rng.random(count) < rng.uniform(0.05, 0.25),
        )
        return events.as_part_of(self.name, actor, fraud=False)


class AnnualPurchase:
    """Furniture, a trip, a ring: one to three payments far above the owner's habit, from the owner's own device."""

    name = "annual_purchase"
    size = 2.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw the purchases of one afternoon."""
        rng = actor_rng(population, actor)
        count = int(rng.integers(1, 4))
        card = pick_cards(population, rng, start_ms, 1)
        events = act(
            population,
            rng,
            cards=np.repeat(card, count),
            merchants=pick_merchants(population, rng, _DEAR, count, int(card[0])),
            times_ms=spaced_ms(rng, start_ms, count, 6 if rushed else 2_000),
            amounts_usd=rng.lognormal(np.log(380), 0.7, count),
            refused=rng.random(count) < 0.08,
        )
        return events.as_part_of(self.name, actor, fraud=False)


class SmallPayments:
    """A game, a ride, a vending machine: a run of tiny payments by the owner, some refused, sometimes a large one.

    tiny      .  . x .   . .
    large                        o
    """

    name = "small_payments"
    size = 7.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 4 to 10 tiny payments at one seller, and every third time an ordinary purchase."""
        rng = actor_rng(population, actor)
        tiny, large = int(rng.integers(4, 11)), int(rng.random() < 0.33)
        card = pick_cards(population, rng, start_ms, 1)
        cards = np.repeat(card, tiny + large)
        merchants = np.repeat(pick_merchants(population, rng, _CHEAP, 1, int(card[0])), tiny + large)
        merchants[tiny:] = pick_merchants(population, rng, _ONLINE_SALE, large, int(card[0]))
        usual = draw_amounts_usd(population, rng, cards[tiny:], merchants[tiny:])
        events = act(
            population,
            rng,
            cards=cards,
            merchants=merchants,
            times_ms=spaced_ms(rng, start_ms, tiny + large, 2.5 if rushed else rng.choice([20.0, 90.0, 400.0])),
            amounts_usd=np.concatenate([rng.uniform(0.4, 3.0, tiny), usual]),
            refused=rng.random(tiny + large) < rng.uniform(0.0, 0.35),
        )
        return events.as_part_of(self.name, actor, fraud=False)


class Kiosk:
    """A public terminal or a travel agent's desk: one device, one address, many honest cards."""

    name = "kiosk"
    size = 18.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 8 to 30 cards over a day's opening hours."""
        rng = actor_rng(population, actor)
        # sixty desks in the world: most have been busy for weeks, as a farm's device has not
        number = int(rng.integers(0, 60))
        sellers = pick_merchants(population, rng_for(population.seed, "kiosk", number), _KIOSK_SELLERS, 2)
        people = int(rng.integers(8, 16) if rushed else rng.integers(8, 31))
        cards = pick_neighbours(population, rng, start_ms, people, int(sellers[0]))
        count = len(cards)
        desk = np.full(count, number)
        events = act(
            population,
            rng,
            cards=cards,
            merchants=rng.choice(sellers, count),
            times_ms=spaced_ms(rng, start_ms, count, 1.5 if rushed else 1_500),
            amounts_usd=rng.lognormal(np.log(70), 0.8, count),
            refused=rng.random(count) < 0.08,
            identity=Identity(np.full(count, kiosk(number)), hotspot_ip(desk % len(CITIES), desk)),
        )
        return events.as_part_of(self.name, actor, fraud=False)


HARD_NEGATIVES: tuple[tuple[Scenario, float, float], ...] = (
    (HolidayTravel(), 0.0, 0.22),  # in everyday time `draw_holidays` takes every traveller along
    (FlashSale(), 0.28, 0.18),
    (AnnualPurchase(), 0.22, 0.15),
    (SmallPayments(), 0.30, 0.30),
    (Kiosk(), 0.20, 0.15),
)
"""Scenario, its share of hard negatives in everyday time, and when rushed."""
