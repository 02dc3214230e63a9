from __future__ import annotations

import numpy as np
import pytest

from tests.unit.generators.worlds import END_MS, population
from weir.generators.events import SCENARIOS, Events, concat
from weir.generators.hard_negatives import WEEK_MS, travellers
from weir.generators.rush import Rush
from weir.generators.seeds import Ints

PER_SECOND = 200
CARDS = 5_000


def moments(seconds: int, from_second: int = 0) -> Ints:
    first = END_MS + 1000 * from_second
    return first + np.arange(seconds * PER_SECOND) * 1000 // PER_SECOND


def fill(*blocks: Ints) -> Events:
    rush = Rush(population(cards=CARDS), END_MS)
    return concat([rush.fill(block) for block in blocks])


def minute() -> Events:
    return fill(*(moments(5, second) for second in range(0, 60, 5)))


def test_each_moment_gets_exactly_one_payment() -> None:
    np.testing.assert_array_equal(minute().time_ms, moments(60))


def test_the_same_start_gives_the_same_stream() -> None:
    one, other = minute(), minute()
    np.testing.assert_array_equal(one.card, other.card)
    np.testing.assert_array_equal(one.amount_usd, other.amount_usd)


def test_a_minute_shows_several_sequences_and_stays_under_one_percent_fraud() -> None:
    events = minute()
    testing = events.take(events.scenario == SCENARIOS.index("card_testing"))
    assert 0.003 < events.fraud.mean() < 0.01
    assert len(np.unique(testing.actor)) >= 2


def test_the_first_seconds_already_show_card_testing() -> None:
    events = fill(moments(5), moments(5, 5), moments(5, 10), moments(5, 15))
    assert (events.scenario == SCENARIOS.index("card_testing")).any()


def test_a_slow_stream_stays_under_one_percent_fraud() -> None:
    times = END_MS + np.arange(3_000) * 1_000
    events = fill(*np.split(times, 600))
    assert events.fraud.mean() < 0.01


def test_ids_are_unique_over_blocks() -> None:
    events = minute()
    assert len(np.unique(events.id_low)) == len(events)


def test_steps_of_an_actor_keep_their_order_over_blocks() -> None:
    events = minute()
    for actor in np.unique(events.actor[events.fraud]):
        mine = events.take((events.actor == actor) & events.fraud)
        assert (np.diff(mine.step) >= 0).all()


def test_an_honest_card_pays_again_only_after_all_others_have() -> None:
    events = minute()
    everyday = events.take(np.isin(events.scenario, [0, SCENARIOS.index("shared_device")]))
    # who is cloned pays once more, at home
    everyday = everyday.take(~np.isin(everyday.card, events.card[events.fraud]))
    times_of_card = np.bincount(everyday.card)
    assert times_of_card.max() - times_of_card[times_of_card > 0].min() <= 1


def test_travellers_do_not_pay_at_home() -> None:
    cards, _ = travellers(population(cards=CARDS), END_MS // WEEK_MS)
    events = minute()
    assert not np.isin(events.card[events.scenario == 0], cards).any()


def test_no_moments_give_no_payments() -> None:
    assert len(fill(moments(0))) == 0


@pytest.mark.parametrize("length", [1, 2, 7])
def test_blocks_of_a_few_moments_carry_sequences_over(length: int) -> None:
    times = moments(8)
    events = fill(*(times[start : start + length] for start in range(0, len(times), length)))
    np.testing.assert_array_equal(events.time_ms, times)
