"""Who lives in the simulated world: households, customers, cards, devices, addresses and merchants, with habits.

A population is a function of a seed and a number of cards; it holds no time. Card ``c`` belongs to one customer, a
customer to one household in one city. Habits are arrays: how much, how often, when, online or not, and a dozen usual
merchants a card. Devices and addresses are numbers (see ``device_of``); only what is drawn gets a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from weir.generators.geography import CATEGORIES, CITIES, COUNTRIES
from weir.generators.seeds import Bools, Floats, Ints, rng_for

USUAL_SHOPS, USUAL_SITES = 8, 4
"""Usual merchants a card: at a terminal, and online."""
OPENING_CYCLE_DAYS, OPEN_DAYS = 90, 45
"""A newcomer's card is used for the last 45 of every 90 days, so that its windows begin empty each time."""
_TABLETS, _KIOSKS, _CARRIERS, _HOTSPOTS = 1 << 32, 1 << 33, 1 << 22, 3 << 21
_PHONE_GENERATION = 1 << 34
_STRAY_DEVICES, _STRAY_ADDRESSES = 1 << 48, 1 << 23
CARRIERS_PER_COUNTRY = 24
"""Addresses behind which a country's mobile phones appear: many honest cards on one address."""


@dataclass(frozen=True)
class Places:
    """Merchants grouped by where they sell: row ranges of ``order``, with running weights to draw from."""

    order: Ints
    cumulative: Floats
    first: Ints
    last: Ints

    def draw(self, rng: np.random.Generator, groups: Ints) -> Ints:
        """Draw one merchant per group number, by weight."""
        low = np.where(self.first[groups] > 0, self.cumulative[self.first[groups] - 1], 0.0)
        high = self.cumulative[self.last[groups] - 1]
        target = low + rng.random(groups.shape) * (high - low)
        found = np.searchsorted(self.cumulative, target, side="right")
        return self.order[np.clip(found, self.first[groups], self.last[groups] - 1)]


@dataclass(frozen=True, eq=False)  # equal by identity, so that what follows from it can be cached
class Population:
    """The world's inhabitants. All arrays are indexed by the number of what they describe."""

    seed: int
    card_customer: Ints
    card_city: Ints
    card_scale: Floats  # logarithm of how far above the shop's usual amount this card spends
    card_activity: Floats  # payments a day over the mean of all cards
    card_online: Floats  # share of payments online
    card_peak_hour: Floats  # local time
    card_newcomer: Bools
    card_phase_days: Ints  # shifts newcomers' openings and owners' new phones
    usual_shops: Ints
    usual_sites: Ints
    customer_household: Ints
    household_has_tablet: Bools
    merchant_city: Ints
    merchant_category: Ints
    merchant_log_usd: Floats
    merchant_spread: Floats
    merchant_online: Bools
    shops_by_city: Places
    sites_by_country: Places
    merchants_by_kind: Places
    card_names: pa.Array
    customer_names: pa.Array
    merchant_names: pa.Array

    @property
    def cards(self) -> int:
        """How many cards there are."""
        return len(self.card_customer)

    @property
    def merchants(self) -> int:
        """How many merchants there are."""
        return len(self.merchant_city)

    def is_open(self, cards: Ints, day: int) -> Bools:
        """Return which cards are in use on a day counted from the epoch."""
        age = (day + self.card_phase_days[cards]) % OPENING_CYCLE_DAYS
        return ~self.card_newcomer[cards] | (age >= OPENING_CYCLE_DAYS - OPEN_DAYS)


CITY_COUNTRY = np.array([COUNTRIES.index(city.country) for city in CITIES], dtype=np.int64)


_KINDS = len(CATEGORIES) * len(COUNTRIES)


def kind_of(categories: Ints, countries: Ints) -> Ints:
    """Return the group number of merchants of a category in a country."""
    return categories * len(COUNTRIES) + countries


def build_population(seed: int, cards: int) -> Population:
    """Return the world of a seed.

    Args:
        seed: the world's seed, not negative.
        cards: how many cards, at least 50.
    """
    rng = rng_for(seed, "population")
    customers = max(1, int(cards / 1.25))
    households = max(1, int(customers / 1.6))
    household_city = rng.choice(len(CITIES), size=households, p=_share([city.residents for city in CITIES]))
    customer_household = rng.integers(0, households, customers)
    card_customer = np.concatenate([np.arange(customers), rng.integers(0, customers, cards - customers)])
    card_city = household_city[customer_household[card_customer]]
    merchants = _draw_merchants(rng, cards)
    shops, sites = merchants["shops_by_city"], merchants["sites_by_country"]
    scale = rng.normal(0, 0.45, customers)[card_customer] + rng.normal(0, 0.2, cards)
    return Population(
        seed=seed,
        card_customer=card_customer,
        card_city=card_city,
        card_scale=scale,
        card_activity=rng.gamma(2.0, 0.5, cards),
        card_online=rng.beta(2.0, 3.0, cards),
        card_peak_hour=rng.normal(14.0, 3.0, cards),
        card_newcomer=rng.random(cards) < 0.08,
        card_phase_days=rng.integers(0, 365, cards),
        usual_shops=shops.draw(rng, np.repeat(card_city[:, None], USUAL_SHOPS, axis=1)),
        usual_sites=sites.draw(rng, _site_countries(rng, card_city)),
        customer_household=customer_household,
        household_has_tablet=rng.random(households) < 0.3,
        card_names=pa.array([f"card_{n:06d}" for n in range(cards)]),
        customer_names=pa.array([f"cust_{n:06d}" for n in range(customers)]),
        **merchants,
    )


def _site_countries(rng: np.random.Generator, card_city: Ints) -> Ints:
    """Most usual sites sell from the card's own country; the last one, like many an app store, from anywhere."""
    countries = np.repeat(CITY_COUNTRY[card_city][:, None], USUAL_SITES, axis=1)
    countries[:, -1] = rng.integers(0, len(COUNTRIES), len(card_city))
    return countries


def _draw_merchants(rng: np.random.Generator, cards: int) -> dict[str, Any]:
    """Every city gets one merchant of every category, the rest fall by weight."""
    grid = np.arange(len(CITIES) * len(CATEGORIES))
    extra = max(0, cards // 8 - len(grid))
    weights = _share([category.weight for category in CATEGORIES])
    city = np.concatenate([grid % len(CITIES), rng.choice(len(CITIES), extra, p=_share([c.residents for c in CITIES]))])
    category = np.concatenate([grid // len(CITIES), rng.choice(len(CATEGORIES), extra, p=weights)])
    count = len(city)
    online = np.array([c.channel in {"ECOM", "MOTO"} for c in CATEGORIES])[category]
    typical = np.log([c.typical_usd for c in CATEGORIES])[category] + rng.normal(0, 0.3, count)
    popularity = weights[category] / np.bincount(category)[category] * rng.lognormal(0, 1.0, count)
    return {
        "merchant_city": city,
        "merchant_category": category,
        "merchant_log_usd": typical,
        "merchant_spread": np.array([c.spread for c in CATEGORIES])[category],
        "merchant_online": online,
        "merchant_names": pa.array([f"mer_{n:05d}" for n in range(count)]),
        "shops_by_city": _group(np.flatnonzero(~online), city, popularity, len(CITIES)),
        "merchants_by_kind": _group(np.arange(count), kind_of(category, CITY_COUNTRY[city]), np.ones(count), _KINDS),
        "sites_by_country": _group(np.flatnonzero(online), CITY_COUNTRY[city], popularity, len(COUNTRIES)),
    }


def _group(merchants: Ints, group_of: Ints, weight: Floats, groups: int) -> Places:
    order = merchants[np.argsort(group_of[merchants], kind="stable")]
    numbers = np.arange(groups)
    return Places(
        order=order,
        cumulative=np.cumsum(weight[order]),
        first=np.searchsorted(group_of[order], numbers, side="left"),
        last=np.searchsorted(group_of[order], numbers, side="right"),
    )


def _share(weights: list[float]) -> Floats:
    array = np.array(weights, dtype=np.float64)
    share: Floats = array / array.sum()
    return share


def phone_of(population: Population, cards: Ints, days: Ints) -> Ints:
    """Return each card owner's phone on a day; everyone buys a new one once a year, at a time of their own."""
    customer = population.card_customer[cards]
    generation = (days + population.card_phase_days[customer]) // 365
    phone: Ints = customer + _PHONE_GENERATION * generation
    return phone


def tablet_of(population: Population, cards: Ints) -> Ints:
    """Return the device that a household shares."""
    household: Ints = population.customer_household[population.card_customer[cards]]
    return household + _TABLETS


def is_tablet(devices: Ints) -> Bools:
    """Return which devices are a household's."""
    tablet: Bools = (devices >= _TABLETS) & (devices < _KIOSKS)
    return tablet


def stray_device(draws: Ints) -> Ints:
    """Return devices that nobody keeps: private browsing, a cleared phone, a rented machine."""
    return _STRAY_DEVICES + draws


def stray_ip(draws: Ints) -> Ints:
    """Return addresses that nobody keeps, from a space so wide that few are met twice."""
    return _STRAY_ADDRESSES + draws % _STRAY_ADDRESSES


def kiosk(number: int) -> int:
    """Return a public device that many honest cards use."""
    return _KIOSKS + number


def home_ip_of(population: Population, cards: Ints) -> Ints:
    """Return the address of each card owner's home."""
    household: Ints = population.customer_household[population.card_customer[cards]]
    return household


def carrier_ip_of(population: Population, cards: Ints, draws: Ints) -> Ints:
    """Return the address behind which a mobile phone appears; ``draws`` picks one of the country's."""
    country = CITY_COUNTRY[population.card_city[cards]]
    address: Ints = _CARRIERS + country * CARRIERS_PER_COUNTRY + draws % CARRIERS_PER_COUNTRY
    return address


def hotspot_ip(cities: Ints, draws: Ints) -> Ints:
    """Return the address of a cafe's network in a city."""
    return _HOTSPOTS + cities * 200 + draws % 200
