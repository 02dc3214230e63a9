"""Fraud, one class a pattern, one actor a sequence. No single payment gives it away; the sequence does.

The shapes are published ones (card testing then extraction, take-over drain, compromised terminal, bust-out), drawn
so that amounts, hours, refusals and countries overlap with what honest owners do in ``hard_negatives``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weir.generators.actors import (
    CHEAP_ONLINE,
    RESOLD,
    Scenario,
    act,
    actor_rng,
    pick_cards,
    pick_far_city,
    pick_merchants,
    pick_neighbours,
    spaced_ms,
    stranger,
)
from weir.generators.events import Events, concat
from weir.generators.geography import category_codes
from weir.generators.habits import draw_amounts_usd, pay
from weir.generators.population import OPENING_CYCLE_DAYS, Population
from weir.generators.seeds import Floats, Ints
from weir.schemas.durations import DAY_MS, HOUR_MS, MINUTE_MS

_SHOPS = category_codes("grocery", "clothing", "fuel", "cash", "pharmacy")


class CardTesting:
    """Tiny payments at one careless seller until the card is known to work, then large ones elsewhere.

    tests     x.xx.x.x.xx.x          (x refused, . accepted)
    cash-out                 O   O  O
    """

    name = "card_testing"
    size = 12.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 7 to 12 tests, seconds or minutes apart, then 2 to 4 cash-outs."""
        rng = actor_rng(population, actor)
        card = pick_cards(population, rng, start_ms, 1)
        tests, large = int(rng.integers(7, 13)), int(rng.integers(2, 5))
        by_script = rushed or rng.random() < 0.6
        times = spaced_ms(rng, start_ms, tests, 1.3 if by_script else 150)
        later = spaced_ms(rng, int(times[-1]), large, 2.5 if rushed else 400)
        merchants = [np.repeat(pick_merchants(population, rng, CHEAP_ONLINE, 1, int(card[0])), tests)]
        merchants += [pick_merchants(population, rng, RESOLD, large, int(card[0]))]
        small_usd = rng.uniform(0.5, 2.4, tests) * (3.0 if rng.random() < 0.2 else 1.0)
        events = act(
            population,
            rng,
            cards=np.repeat(card, tests + large),
            merchants=np.concatenate(merchants),
            times_ms=np.concatenate([times, later]),
            amounts_usd=np.concatenate([small_usd, rng.lognormal(np.log(190), 0.7, large)]),
            refused=np.concatenate([rng.random(tests) < rng.uniform(0.2, 0.6), rng.random(large) < 0.15]),
            identity=stranger(population, actor, tests + large, rotates=0.4),
        )
        return events.as_part_of(self.name, actor, fraud=True)


class AccountTakeover:
    """A stranger's device spends from all of a customer's cards, more each time, until something is refused."""

    name = "account_takeover"
    size = 6.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 4 to 8 payments within the hour, amounts growing."""
        rng = actor_rng(population, actor)
        first = pick_cards(population, rng, start_ms, 1)
        cards = np.flatnonzero(population.card_customer == population.card_customer[first[0]])[:3]
        count = int(rng.integers(4, 9))
        card = rng.choice(cards, count)
        growing = np.sort(rng.lognormal(np.log(110), 0.8, count))
        events = act(
            population,
            rng,
            cards=card,
            merchants=pick_merchants(population, rng, RESOLD, count, int(first[0])),
            times_ms=spaced_ms(rng, start_ms, count, 4 if rushed else 420),
            amounts_usd=growing * np.exp(population.card_scale[card]),
            refused=rng.random(count) < np.linspace(0.03, 0.35, count),
            identity=stranger(population, actor, count),
        )
        return events.as_part_of(self.name, actor, fraud=True)


class ImpossibleTravel:
    """A cloned card pays far away while its owner pays at home.

    home      o
    far away     x  x     x
    """

    name = "impossible_travel"
    size = 3.5

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw the owner's payment at a terminal, then 2 to 5 far away within two hours."""
        rng = actor_rng(population, actor)
        card = pick_cards(population, rng, start_ms, 1)
        city = np.array([pick_far_city(population, rng, int(card[0]))])
        count = int(rng.integers(2, 6))
        owner = _at_terminals(population, rng, card, population.card_city[card], np.array([start_ms]))
        times = spaced_ms(rng, start_ms + (0 if rushed else 5 * MINUTE_MS), count, 4 if rushed else 1500)
        clone = _at_terminals(population, rng, np.repeat(card, count), np.repeat(city, count), times)
        taken_usd = np.maximum(clone.amount_usd, rng.lognormal(np.log(45), 0.8, count))
        return concat([owner, replace(clone, amount_usd=taken_usd).as_part_of(self.name, actor, fraud=True)])


def _at_terminals(population: Population, rng: np.random.Generator, cards: Ints, city: Ints, times_ms: Ints) -> Events:
    shops = population.shops_by_city.draw(rng, city)
    return pay(population, rng, cards=cards, times_ms=times_ms, merchants=shops, city=city)


class CompromisedMerchant:
    """A seller whose checkout is skimmed: for weeks, others pay there with its customers' cards, once each.

    Nothing but the labels of earlier payments shows it.
    """

    name = "compromised_merchant"
    size = 40.0
    weeks = 4

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw about ten payments a week, each with another card; one alone when rushed."""
        rng = actor_rng(population, actor)
        days = self.weeks * 7
        count = 1 if rushed else int(rng.integers(30, 51))
        times = np.sort(start_ms + rng.integers(0, days * DAY_MS, count))
        return self.join(population, rng, actor, times)

    def join(self, population: Population, rng: np.random.Generator, actor: int, times_ms: Ints) -> Events:
        """Draw one payment per time given, by an actor that is already at it."""
        merchant = pick_merchants(population, actor_rng(population, actor, "victims"), RESOLD + _SHOPS[:2], 1)
        count = len(times_ms)
        cards = pick_neighbours(population, rng, int(times_ms[0]), count, int(merchant[0]))
        merchants = np.repeat(merchant, len(cards))
        events = act(
            population,
            rng,
            cards=cards,
            merchants=merchants,
            times_ms=times_ms[: len(cards)],
            amounts_usd=draw_amounts_usd(population, rng, cards, merchants) * rng.uniform(0.9, 2.0, len(cards)),
            refused=rng.random(len(cards)) < 0.06,
            identity=stranger(population, actor, len(cards), rotates=0.7),
        )
        return events.as_part_of(self.name, actor, fraud=True)


class DeviceFarm:
    """One device and one address pay with many people's cards, once or twice each, at machine speed."""

    name = "device_farm"
    size = 22.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 10 to 24 cards within the hour."""
        rng = actor_rng(population, actor)
        sellers = pick_merchants(population, rng, RESOLD, 4)
        people = int(rng.integers(10, 18 if rushed else 25))
        cards = pick_neighbours(population, rng, start_ms, people, int(sellers[0]))
        cards = np.repeat(cards, rng.integers(1, 3, len(cards)))
        count = len(cards)
        events = act(
            population,
            rng,
            cards=cards,
            merchants=rng.choice(sellers, count),
            times_ms=spaced_ms(rng, start_ms, count, 1.2 if rushed else 120),
            amounts_usd=rng.lognormal(np.log(55), 0.8, count),
            refused=rng.random(count) < 0.18,
            identity=stranger(population, actor, count),
        )
        return events.as_part_of(self.name, actor, fraud=True)


class BustOut:
    """A card opened weeks ago behaves well, then its own holder spends all it has within hours and vanishes."""

    name = "bust_out"
    size = 9.0

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 6 to 12 large payments from the holder's own device, refused once the limit is reached."""
        rng = actor_rng(population, actor)
        age = (start_ms // DAY_MS + population.card_phase_days) % OPENING_CYCLE_DAYS
        recent = np.flatnonzero(population.card_newcomer & (age >= 57) & (age < 80))
        card = rng.choice(recent, 1) if len(recent) else pick_cards(population, rng, start_ms, 1)
        count = int(rng.integers(6, 13))
        events = act(
            population,
            rng,
            cards=np.repeat(card, count),
            merchants=pick_merchants(population, rng, RESOLD + category_codes("cash"), count, int(card[0])),
            times_ms=spaced_ms(rng, start_ms, count, 3 if rushed else 2400),
            amounts_usd=rng.lognormal(np.log(320), 0.6, count),
            refused=rng.random(count) < np.linspace(0.0, 0.5, count),
        )
        return events.as_part_of(self.name, actor, fraud=True)


class LowAndSlow:
    """A leaked card pays small everyday amounts on a stranger's device, every other day, for weeks."""

    name = "low_and_slow"
    size = 14.0
    weeks = 4

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw 10 to 18 payments, one to three days apart; one alone when rushed."""
        rng = actor_rng(population, actor)
        count = 1 if rushed else int(rng.integers(10, 19))
        gaps = rng.uniform(20 * HOUR_MS, 60 * HOUR_MS, count).astype(np.int64)
        return self.join(population, rng, actor, start_ms + np.cumsum(gaps) - gaps[0])

    def join(self, population: Population, rng: np.random.Generator, actor: int, times_ms: Ints) -> Events:
        """Draw one payment per time given, by an actor that is already at it."""
        own = actor_rng(population, actor, "victims")
        card = own.integers(0, population.cards, 1)
        sellers = pick_merchants(population, own, CHEAP_ONLINE, 3, int(card[0]))
        count = len(times_ms)
        events = act(
            population,
            rng,
            cards=np.repeat(card, count),
            merchants=rng.choice(sellers, count),
            times_ms=times_ms,
            amounts_usd=_everyday_usd(rng, count),
            refused=rng.random(count) < 0.05,
            identity=stranger(population, actor, count),
        )
        return events.as_part_of(self.name, actor, fraud=True)


def _everyday_usd(rng: np.random.Generator, count: int) -> Floats:
    return rng.lognormal(np.log(24), 0.5, count)


FRAUD: tuple[tuple[Scenario, float, float], ...] = (
    (CardTesting(), 0.28, 0.46),
    (AccountTakeover(), 0.15, 0.12),
    (ImpossibleTravel(), 0.12, 0.10),
    (CompromisedMerchant(), 0.14, 0.08),
    (DeviceFarm(), 0.13, 0.14),
    (BustOut(), 0.09, 0.05),
    (LowAndSlow(), 0.09, 0.05),
)
"""Scenario, its share of fraudulent payments in everyday time, and when rushed."""
