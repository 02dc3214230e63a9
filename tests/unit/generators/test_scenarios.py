"""The shape of each sequence. ``x`` is refused, ``.`` a small payment, ``O`` a large one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.payments import DAY_MS, HOUR_MS, SECOND_MS
from tests.unit.generators.worlds import END_MS, population
from weir.generators.actors import Scenario, pick_cards, stranger
from weir.generators.events import SCENARIOS, Events
from weir.generators.habits import draw_payments
from weir.generators.hard_negatives import HARD_NEGATIVES, AnnualPurchase, FlashSale, Kiosk, SmallPayments
from weir.generators.population import (
    CITY_COUNTRY,
    carrier_ip_of,
    home_ip_of,
    phone_of,
    stray_device,
    stray_ip,
    tablet_of,
)
from weir.generators.scenarios import (
    FRAUD,
    AccountTakeover,
    BustOut,
    CardTesting,
    CompromisedMerchant,
    DeviceFarm,
    ImpossibleTravel,
    LowAndSlow,
)
from weir.generators.seeds import rng_for

ACTORS = range(1, 26)
ALL = [scenario for scenario, _, _ in (*FRAUD, *HARD_NEGATIVES)]


def draw(scenario: Scenario, actor: int = 1, *, rushed: bool = False) -> Events:
    return scenario.draw(population(), actor, END_MS, rushed=rushed).in_time_order()


def own_devices(events: Events) -> set[int]:
    phones = phone_of(population(), events.card, events.time_ms // DAY_MS)
    return {*phones.tolist(), *tablet_of(population(), events.card).tolist()}


def share_from_own_devices(scenario: Scenario) -> float:
    """Owners too browse privately now and then, from a device that nobody has seen before."""
    drawn = [draw(scenario, actor) for actor in ACTORS]
    own = [np.isin(events.device[events.device >= 0], list(own_devices(events))) for events in drawn]
    return float(np.concatenate(own).mean())


def span_ms(events: Events) -> int:
    return int(events.time_ms[-1] - events.time_ms[0])


@pytest.mark.parametrize("rushed", [False, True])
@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_an_actor_is_drawn_alike_every_time_and_not_before_its_start(scenario: Scenario, rushed: bool) -> None:
    first, second = draw(scenario, 5, rushed=rushed), draw(scenario, 5, rushed=rushed)
    np.testing.assert_array_equal(first.time_ms, second.time_ms)
    np.testing.assert_array_equal(first.amount_usd, second.amount_usd)
    assert first.time_ms[0] >= END_MS
    assert SCENARIOS[first.scenario[-1]] == scenario.name


@pytest.mark.parametrize(("scenario", "share"), [(s, share) for s, share, _ in (*FRAUD, *HARD_NEGATIVES) if share])
def test_the_declared_size_is_about_the_mean_size(scenario: Scenario, share: float) -> None:
    sizes = [len(draw(scenario, actor)) for actor in ACTORS]
    assert 0.6 * scenario.size < np.mean(sizes) < 1.6 * scenario.size, share


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_a_rushed_actor_is_done_within_two_minutes(scenario: Scenario) -> None:
    assert max(span_ms(draw(scenario, actor, rushed=True)) for actor in ACTORS) < 120 * SECOND_MS


def test_card_testing_is_a_run_of_small_payments_at_one_seller_then_large_ones_elsewhere() -> None:
    """
    x.xx.x.x.xx.x  O   O  O
    """
    refused = 0
    for actor in ACTORS:
        events = draw(CardTesting(), actor)
        small = events.amount_usd <= 7.5
        tests, large = events.take(small), events.take(~small)
        assert len(np.unique(events.card)) == len(np.unique(events.ip)) == len(np.unique(tests.merchant)) == 1
        assert len(tests) >= 7
        assert len(large) >= 1
        assert tests.time_ms[0] < large.time_ms[0]
        refused += bool(tests.declined.any())
    assert refused > 0.8 * len(ACTORS)


def test_card_testing_in_a_live_stream_tests_within_twenty_seconds() -> None:
    spans = [span_ms(e.take(e.amount_usd < 7.5)) for e in (draw(CardTesting(), a, rushed=True) for a in ACTORS)]
    assert np.median(spans) < 20 * SECOND_MS


def test_account_takeover_spends_growing_amounts_from_a_device_its_victim_never_used() -> None:
    """
    o   O   O    O     x
    """
    world = population()
    for actor in ACTORS:
        events = draw(AccountTakeover(), actor)
        assert len(np.unique(world.card_customer[events.card])) == 1
        own = own_devices(events)
        assert not own & set(events.device.tolist())
        usual = events.amount_usd / np.exp(world.card_scale[events.card])
        assert (np.diff(usual) >= -1e-9).all()


def test_impossible_travel_pays_far_away_soon_after_the_owner_paid_at_home() -> None:
    """
    home      o
    far away     x  x     x
    """
    world = population()
    for actor in ACTORS:
        events = draw(ImpossibleTravel(), actor)
        city = world.merchant_city[events.merchant]
        assert len(np.unique(events.card)) == 1
        assert not events.fraud[0]
        assert events.fraud[1:].all()
        assert city[0] == world.card_city[events.card[0]]
        assert (CITY_COUNTRY[city[1:]] != CITY_COUNTRY[city[0]]).all()
        assert not np.isnan(events.lat).any()


def test_a_compromised_merchant_sees_one_payment_each_of_many_cards_over_weeks() -> None:
    for actor in ACTORS:
        events = draw(CompromisedMerchant(), actor)
        assert len(np.unique(events.merchant)) == 1
        assert len(np.unique(events.card)) == len(events)
        assert span_ms(events) > 14 * DAY_MS


def test_a_device_farm_pays_with_many_cards_from_one_device_and_one_address() -> None:
    for actor in ACTORS:
        events = draw(DeviceFarm(), actor)
        assert len(np.unique(events.device)) == len(np.unique(events.ip)) == 1
        assert len(np.unique(events.card)) >= 8
        assert span_ms(events) < 4 * HOUR_MS


def test_a_bust_out_is_the_holders_own_device_spending_large_amounts_in_one_day() -> None:
    world = population()
    for actor in ACTORS:
        events = draw(BustOut(), actor)
        assert len(np.unique(events.card)) == 1
        assert world.card_newcomer[events.card[0]]
        assert span_ms(events) < DAY_MS * 3 // 2
    assert share_from_own_devices(BustOut()) > 0.75
    assert np.median(draw(BustOut()).amount_usd) > 100


def test_low_and_slow_pays_everyday_amounts_a_day_or_more_apart() -> None:
    for actor in ACTORS:
        events = draw(LowAndSlow(), actor)
        assert len(np.unique(events.card)) == 1
        assert np.diff(events.time_ms).min() > 19 * HOUR_MS
        assert events.amount_usd.max() < 150


@pytest.mark.parametrize("scenario", [CompromisedMerchant(), LowAndSlow()], ids=lambda scenario: scenario.name)
def test_whoever_joins_an_ongoing_actor_meets_the_same_victims(scenario: CompromisedMerchant | LowAndSlow) -> None:
    past = draw(scenario, 9)
    now = scenario.join(population(), rng_for(1), 9, np.array([END_MS + 7 * DAY_MS]))
    shared = "merchant" if scenario.name == "compromised_merchant" else "card"
    assert set(getattr(now, shared).tolist()) <= set(getattr(past, shared).tolist())


def test_a_flash_sale_is_a_crowd_at_one_seller_near_one_price() -> None:
    events = draw(FlashSale())
    assert len(np.unique(events.merchant)) == 1
    assert len(np.unique(events.card)) == len(events) >= 30
    assert events.amount_usd.std() < 0.3 * events.amount_usd.mean()
    assert not events.fraud.any()


def test_an_annual_purchase_comes_from_the_owners_own_device_and_address() -> None:
    for actor in ACTORS:
        events = draw(AnnualPurchase(), actor)
        assert not events.fraud.any()
    assert share_from_own_devices(AnnualPurchase()) > 0.75


def test_small_payments_are_a_run_by_the_owner_with_some_refused() -> None:
    runs = [draw(SmallPayments(), actor) for actor in ACTORS]
    assert any(run.declined.any() for run in runs)
    assert all((run.amount_usd[:4] <= 3.0).all() and not run.fraud.any() for run in runs)


def test_a_kiosk_is_one_device_of_many_honest_cards_that_it_has_seen_before() -> None:
    devices = [int(draw(Kiosk(), actor).device[0]) for actor in range(1, 200)]
    assert len(np.unique(draw(Kiosk()).card)) >= 8
    assert len(set(devices)) < len(devices)


def test_a_carrier_address_is_shared_by_cards_of_different_homes() -> None:
    world = population()
    cards = pick_cards(world, rng_for(3), END_MS, 200)
    carrier = carrier_ip_of(world, cards, np.zeros(len(cards), dtype=np.int64))
    assert len(np.unique(carrier)) < len(np.unique(home_ip_of(world, cards)))


def test_strangers_do_not_all_come_from_new_devices_at_new_addresses() -> None:
    identities = [stranger(population(), actor, 3) for actor in range(1, 200)]
    new_device = [identity.device[0] >= stray_device(np.zeros(1, dtype=np.int64))[0] for identity in identities]
    new_address = [identity.address[0] >= stray_ip(np.zeros(1, dtype=np.int64))[0] for identity in identities]
    assert 0.7 < np.mean(new_device) < 0.95
    assert 0.3 < np.mean(new_address) < 0.6


def test_owners_come_from_a_new_device_now_and_then() -> None:
    cards = np.arange(1_000)
    everyday = draw_payments(population(), rng_for(5), cards, np.full(1_000, END_MS))
    devices = everyday.device[everyday.device >= 0]
    assert 0.06 < (devices >= stray_device(np.zeros(1, dtype=np.int64))[0]).mean() < 0.2
