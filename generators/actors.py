"""What every scenario is made of: one actor, with cards, devices and addresses of its own, paying at chosen moments.

A scenario is a class with a ``name``, its mean ``size`` in payments, and ``draw``. An actor is a number; all that it
does follows from the world's seed and that number. ``rushed`` compresses hours into seconds, for live streams that
show a whole day's life within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from weir.generators.events import Events
from weir.generators.geography import COUNTRIES, category_codes
from weir.generators.habits import pay
from weir.generators.population import (
    CARRIERS_PER_COUNTRY,
    CITY_COUNTRY,
    Population,
    carrier_ip_of,
    home_ip_of,
    kind_of,
    phone_of,
    stray_device,
    stray_ip,
)
from weir.generators.seeds import Bools, Floats, Ints, rng_for
from weir.schemas.durations import DAY_MS, SECOND_MS

_ADDRESS_SHARES = (0.45, 0.35, 0.20)
"""Of strangers: an address nobody else has, a household's, a carrier's."""
_IMITATES = 0.15
RESOLD = category_codes("electronics", "jewelry", "gifts", "marketplace", "travel")
"""What stolen cards buy: goods that can be sold again."""
_HOME_SHARE = 0.75
"""Of merchants in one country with the card: being abroad alone must not give anybody away."""
CHEAP_ONLINE = category_codes("digital", "games", "marketplace")
"""Where stolen cards are tested: sellers that take small amounts without asking much."""


class Scenario(Protocol):
    """One pattern of behaviour, acted out by one actor."""

    name: str
    size: float

    def draw(self, population: Population, actor: int, start_ms: int, *, rushed: bool) -> Events:
        """Draw everything that this actor does, from ``start_ms`` on."""
        ...


def actor_rng(population: Population, actor: int, what: str = "acts") -> np.random.Generator:
    """Return the draws of one actor; those of its ``"identity"`` outlast what it does at one time."""
    return rng_for(population.seed, "actor", what, actor)


@dataclass(frozen=True)
class Identity:
    """What an actor shows of itself online, payment by payment: device and address."""

    device: Ints
    address: Ints


def stranger(population: Population, actor: int, count: int, *, rotates: float = 0.0) -> Identity:
    """Return the identity of somebody who is not the owner, the same whenever the actor is met.

    Few are so careless as to come from a new device at a new address: some hide behind a household's connection or
    among a carrier's phones, some imitate a device that is known. ``rotates`` is how likely the actor shows another
    device with each payment.
    """
    rng = actor_rng(population, actor, "identity")
    cards = rng.integers(0, population.cards, 2)
    carrier = carrier_ip_of(population, cards[:1], rng.integers(0, CARRIERS_PER_COUNTRY, 1))
    addresses = [stray_ip(rng.integers(0, 1 << 30, 1)), home_ip_of(population, cards[:1]), carrier]
    address = addresses[int(rng.choice(3, p=_ADDRESS_SHARES))]
    own = stray_device(rng.integers(0, 1 << 40, 1))
    imitated = phone_of(population, cards[1:], np.zeros(1, dtype=np.int64))
    device = np.repeat(imitated if rng.random() < _IMITATES else own, count)
    if rng.random() < rotates:
        device = stray_device(rng.integers(0, 1 << 40, count))
    return Identity(device, np.repeat(address, count))


def pick_cards(population: Population, rng: np.random.Generator, at_ms: int, count: int) -> Ints:
    """Draw distinct cards that are in use."""
    sample = rng.permutation(np.unique(rng.integers(0, population.cards, 4 * count + 16)))
    return sample[population.is_open(sample, at_ms // DAY_MS)][:count]


def pick_neighbours(population: Population, rng: np.random.Generator, at_ms: int, count: int, merchant: int) -> Ints:
    """Draw distinct cards in use, those from the merchant's country first."""
    cards = pick_cards(population, rng, at_ms, 3 * count)
    country = CITY_COUNTRY[population.merchant_city[merchant]]
    foreign = CITY_COUNTRY[population.card_city[cards]] != country
    return cards[np.argsort(foreign, kind="stable")][:count]


def pick_merchants(
    population: Population, rng: np.random.Generator, categories: list[int], count: int, card: int | None = None
) -> Ints:
    """Draw merchants of some categories, repeats allowed; with a card, most of them from its country."""
    countries = rng.integers(0, len(COUNTRIES), count)
    if card is not None:
        at_home = rng.random(count) < _HOME_SHARE
        countries = np.where(at_home, CITY_COUNTRY[population.card_city[card]], countries)
    return population.merchants_by_kind.draw(rng, kind_of(rng.choice(np.array(categories), count), countries))


def pick_far_city(population: Population, rng: np.random.Generator, card: int) -> int:
    """Draw a city in another country than the card's."""
    abroad = np.flatnonzero(CITY_COUNTRY[population.card_city[card]] != CITY_COUNTRY)
    return int(rng.choice(abroad))


def spaced_ms(rng: np.random.Generator, start_ms: int, count: int, mean_gap_seconds: float) -> Ints:
    """Return ascending times, the first after ``start_ms``, with exponential gaps."""
    gaps_ms = rng.exponential(mean_gap_seconds * SECOND_MS, count)
    return start_ms + np.cumsum(gaps_ms + 1).astype(np.int64)


def act(
    population: Population,
    rng: np.random.Generator,
    *,
    cards: Ints,
    merchants: Ints,
    times_ms: Ints,
    amounts_usd: Floats,
    refused: Bools,
    identity: Identity | None = None,
) -> Events:
    """Let an actor pay: as owners do, except for what is given.

    ``identity`` is the actor's device and address for online payments; the owner's own when ``None``.
    """
    city = population.card_city[cards]
    events = pay(population, rng, cards=cards, times_ms=times_ms, merchants=merchants, city=city)
    events = replace(events, amount_usd=np.maximum(amounts_usd, 0.01), declined=refused)
    if identity is None:
        return events
    has_device = events.device >= 0
    # someone who is not the owner has no position worth giving, except a terminal's
    unknown = population.merchant_online[merchants]
    return replace(
        events,
        device=np.where(has_device, identity.device, -1),
        ip=np.where(has_device, identity.address, -1),
        lat=np.where(unknown, np.nan, events.lat),
        lon=np.where(unknown, np.nan, events.lon),
    )
