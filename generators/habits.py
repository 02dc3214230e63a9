"""Everyday life: what cards do when nobody attacks and nothing special happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weir.generators.events import SCENARIOS, Codes, Events
from weir.generators.geography import CATEGORIES, CITIES, ENTRY_MODES
from weir.generators.population import CITY_COUNTRY as _COUNTRY
from weir.generators.population import (
    USUAL_SHOPS,
    USUAL_SITES,
    Population,
    carrier_ip_of,
    home_ip_of,
    hotspot_ip,
    is_tablet,
    phone_of,
    stray_device,
    stray_ip,
    tablet_of,
)
from weir.generators.seeds import Bools, Floats, Ints, key_of, rng_for
from weir.schemas.durations import DAY_MS, HOUR_MS

_STRAY_SHARE = 0.12
"""Of owners' online payments, from a device never seen before: being new must not give a fraudster away."""
_SHARED_DEVICE = SCENARIOS.index("shared_device")
_WEEKDAY = np.array([1.0, 0.95, 0.9, 0.95, 1.15, 1.25, 0.8])  # from Thursday on: the epoch was one
_OFFSET_HOURS = np.array([city.utc_offset_hours for city in CITIES])
_CITY_LAT = np.array([city.lat for city in CITIES])
_CITY_LON = np.array([city.lon for city in CITIES])
_HAS_DEVICE = np.array([category.channel == "ECOM" for category in CATEGORIES])
_CHIP, _CONTACTLESS, _MAGSTRIPE, _KEYED, _STORED = range(len(ENTRY_MODES))


def draw_day(population: Population, day: int, payments_per_day: float) -> Events:
    """Draw one day, counted from the epoch, of everybody's everyday payments; their mean is per card."""
    rng = rng_for(population.seed, "day", day)
    expected = population.card_activity * payments_per_day * _WEEKDAY[day % 7]
    everyone = np.arange(population.cards)
    cards = np.repeat(everyone, rng.poisson(expected * population.is_open(everyone, day)))
    events = draw_payments(population, rng, cards, day * DAY_MS + _time_of_day_ms(population, rng, cards))
    return events.with_ids(key_of(population.seed, "day", day))


def _time_of_day_ms(population: Population, rng: np.random.Generator, cards: Ints) -> Ints:
    """Most payments fall around the owner's own hour; one in twelve at any, so that night alone proves nothing."""
    local = rng.normal(population.card_peak_hour[cards], 3.5)
    local = np.where(rng.random(len(cards)) < 1 / 12, rng.uniform(0, 24, len(cards)), local)
    utc = (local - _OFFSET_HOURS[population.card_city[cards]]) % 24
    time_ms: Ints = np.minimum((utc * HOUR_MS).astype(np.int64), DAY_MS - 1)
    return time_ms


def draw_payments(population: Population, rng: np.random.Generator, cards: Ints, times_ms: Ints) -> Events:
    """Draw one habitual payment per card and time given."""
    count = len(cards)
    online = rng.random(count) < population.card_online[cards]
    events = pay(
        population,
        rng,
        cards=cards,
        times_ms=times_ms,
        merchants=_draw_merchants(population, rng, cards, online),
        city=population.card_city[cards],
    )
    # several people's cards on one device: a hard negative that nobody has to act out
    return replace(events, scenario=np.where(is_tablet(events.device), _SHARED_DEVICE, 0).astype(np.int8))


def _draw_merchants(population: Population, rng: np.random.Generator, cards: Ints, online: Bools) -> Ints:
    """Return a usual merchant 17 times in 20, else any that sells in the card's city or country."""
    count = len(cards)
    # squaring favours the first of the usual merchants
    shop = population.usual_shops[cards, (rng.random(count) ** 2 * USUAL_SHOPS).astype(np.int64)]
    site = population.usual_sites[cards, (rng.random(count) ** 2 * USUAL_SITES).astype(np.int64)]
    usual = np.where(online, site, shop)
    explores = np.flatnonzero(rng.random(count) < 0.15)
    city = population.card_city[cards[explores]]
    country = _COUNTRY[city]
    abroad = rng.random(len(explores)) < 0.25
    country = np.where(abroad, rng.integers(0, _COUNTRY.max() + 1, len(explores)), country)
    usual[explores] = np.where(
        online[explores],
        population.sites_by_country.draw(rng, country),
        population.shops_by_city.draw(rng, city),
    )
    return usual


def pay(
    population: Population,
    rng: np.random.Generator,
    *,
    cards: Ints,
    times_ms: Ints,
    merchants: Ints,
    city: Ints,
) -> Events:
    """Let owners pay given merchants the way owners do: usual amounts, own devices, rare refusals.

    ``city`` is where each owner is, for positions and addresses.
    """
    count = len(cards)
    has_device = _HAS_DEVICE[population.merchant_category[merchants]]
    in_person = ~population.merchant_online[merchants]
    lat, lon = _positions(population, rng, merchants, in_person, city)
    days = times_ms // DAY_MS
    strays = rng.random(count) < _STRAY_SHARE
    return Events(
        time_ms=times_ms,
        card=cards,
        merchant=merchants,
        device=np.where(has_device, _devices(population, rng, cards, days, strays), -1),
        ip=np.where(has_device, _addresses(population, rng, cards, city, strays), -1),
        amount_usd=draw_amounts_usd(population, rng, cards, merchants),
        lat=lat,
        lon=lon,
        entry=_entries(rng, in_person, count),
        declined=_refusals(population, rng, merchants),
        scenario=np.zeros(count, dtype=np.int8),
        actor=np.zeros(count, dtype=np.int64),
        step=np.zeros(count, dtype=np.int64),
        fraud=np.zeros(count, dtype=np.bool_),
        id_high=np.zeros(count, dtype=np.uint64),
        id_low=np.zeros(count, dtype=np.uint64),
    )


def draw_amounts_usd(population: Population, rng: np.random.Generator, cards: Ints, merchants: Ints) -> Floats:
    """Return log-normal amounts around the merchant's and the owner's usual; one in fifty is several times that."""
    centre = population.merchant_log_usd[merchants] + population.card_scale[cards]
    amounts = np.exp(rng.normal(centre, population.merchant_spread[merchants]))
    treats = rng.random(len(cards)) < 0.02
    return np.where(treats, amounts * rng.uniform(2, 8, len(cards)), amounts)


def _refusals(population: Population, rng: np.random.Generator, merchants: Ints) -> Bools:
    """Three in a hundred; one in eight for small online amounts, whose sellers probe stored cards on their own."""
    small = population.merchant_online[merchants] & (population.merchant_log_usd[merchants] < np.log(8.0))
    refused: Bools = rng.random(len(merchants)) < np.where(small, 0.12, 0.03)
    return refused


def _devices(population: Population, rng: np.random.Generator, cards: Ints, days: Ints, strays: Bools) -> Ints:
    has_tablet = population.household_has_tablet[home_ip_of(population, cards)]
    on_tablet = has_tablet & (rng.random(len(cards)) < 0.35)
    own = np.where(on_tablet, tablet_of(population, cards), phone_of(population, cards, days))
    return np.where(strays, stray_device(rng.integers(0, 1 << 40, len(cards))), own)


def _addresses(population: Population, rng: np.random.Generator, cards: Ints, city: Ints, strays: Bools) -> Ints:
    """A fraudster who hides the device often hides the address as well."""
    kind = rng.random(len(cards))
    draws = rng.integers(0, 1 << 30, len(cards))
    known = np.where(kind < 0.9, carrier_ip_of(population, cards, draws), hotspot_ip(city, draws))
    known = np.where(kind < 0.6, home_ip_of(population, cards), known)
    return np.where(kind < np.where(strays, 0.4, 0.93), known, stray_ip(draws))


def _positions(
    population: Population, rng: np.random.Generator, merchants: Ints, in_person: Bools, city: Ints
) -> tuple[Floats, Floats]:
    """Terminals know where they are; three in ten online payments carry a rough position of the owner."""
    count = len(merchants)
    known = in_person | (rng.random(count) < 0.3)
    place = np.where(in_person, population.merchant_city[merchants], city)
    lat = _CITY_LAT[place] + rng.normal(0, 0.08, count)
    lon = _CITY_LON[place] + rng.normal(0, 0.08, count)
    return np.where(known, lat, np.nan), np.where(known, lon, np.nan)


def _entries(rng: np.random.Generator, in_person: Bools, count: int) -> Codes:
    draws = rng.random(count)
    terminal = np.where(draws < 0.65, _CONTACTLESS, np.where(draws < 0.97, _CHIP, _MAGSTRIPE))
    online = np.where(draws < 0.6, _STORED, _KEYED)
    return np.where(in_person, terminal, online).astype(np.int8)
