"""Every declared aggregate against the naive oracle, and single cases with their timelines drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import DAY_MS, FEATURE_NAMES, FEATURES, HOUR_MS, MINUTE_MS, SECOND_MS, Aggregate
from tests.unit.streaming.oracle import Oracle
from tests.unit.streaming.streams import START_MS, Driver, Event, event, random_stream
from weir.streaming.core.states import Step

COLUMN = {name: column for column, name in enumerate(FEATURE_NAMES)}
SEEDS = st.integers(0, 2**32 - 1)


def tolerance(aggregate: Aggregate) -> float:
    """Decayed counts are fixed point in the kernel and floats in the oracle; all else differs by float32 at most."""
    return 2e-4 if aggregate is Aggregate.DECAYED else 1e-5


def assert_as_oracle(events: list[Event], done: Step, *, partitions: int = 1, seed: int = 0) -> None:
    oracle = Oracle(partitions)
    for row, one in enumerate(events):
        verdict, late, values = oracle.take(one)
        assert done.verdicts[row] == verdict, (seed, row)
        if verdict:
            continue
        assert done.late[row] == late, (seed, row)
        for column, (feature, expected) in enumerate(zip(FEATURES, values, strict=True)):
            found = float(done.features[row, column])
            assert found == pytest.approx(expected, rel=tolerance(feature.aggregate), abs=1e-5, nan_ok=True), (
                f"seed {seed}, row {row}, {feature.name}: expected {expected}, found {found}"
            )


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, cuts=st.lists(st.integers(0, 1_000), max_size=4))
def test_every_feature_of_a_shuffled_late_and_repeated_stream_equals_the_oracle(seed: int, cuts: list[int]) -> None:
    events = random_stream(seed, 90)
    assert_as_oracle(events, Driver().run(events, cuts), seed=seed)


@settings(max_examples=4, deadline=None)
@given(seed=SEEDS)
def test_busy_entities_fall_back_to_panes_exactly_as_the_oracle_does(seed: int) -> None:
    events = random_stream(seed, 230, cards=1)
    assert_as_oracle(events, Driver().run(events), seed=seed)


@settings(max_examples=6, deadline=None)
@given(seed=SEEDS, partitions=st.integers(2, 4))
def test_shared_entities_read_as_the_sum_of_all_partitions(seed: int, partitions: int) -> None:
    events = [e | {"partition": int(e["card_id"][2:]) % partitions} for e in random_stream(seed, 80, cards=6)]
    one_by_one = range(len(events))
    assert_as_oracle(events, Driver(partitions).run(events, list(one_by_one)), partitions=partitions, seed=seed)


def value(done: Step, row: int, name: str) -> float:
    return float(done.features[row, COLUMN[name]])


def test_a_busy_shop_of_two_partitions_is_one_shop() -> None:
    """``[66 in partition 0, 65 of them recent][66 in partition 1][one more]``: rings and panes are added up."""
    events = [
        event(
            START_MS + i * HOUR_MS, transaction_id=f"t-{i}", card_id=f"c-{i % 2}", partition=i % 2, amount_minor=100 + i
        )
        for i in range(133)
    ]
    driver = Driver(2)
    driver.run(events[:132])
    done = driver.run(events[132:])
    assert value(done, 0, "merchant_event_count_30d") == 133.0
    assert value(done, 0, "merchant_event_count_1d") == 24.0
    assert value(done, 0, "merchant_amount_mean_1d") == np.mean([100 + i for i in range(109, 133)])


def test_a_window_is_open_at_its_start_and_includes_the_event_itself() -> None:
    #   |<------------- 1h ------------->|
    #   a (excluded: exactly 1h old)     t
    #    b (1 ms younger: included)
    events = [event(START_MS), event(START_MS + 1), event(START_MS + HOUR_MS)]
    assert value(Driver().run(events), 2, "card_event_count_1h") == 2.0


def test_a_window_is_open_at_its_start_for_other_partitions_events_too() -> None:
    #   partition 0:  a (exactly 1h old: excluded)   b (1 ms younger: included)
    #   partition 1:                                                            t
    rows = [event(START_MS), event(START_MS + 1), event(START_MS + HOUR_MS, card_id="c-2", partition=1)]
    assert value(Driver(2).run(rows, [2]), 2, "merchant_event_count_1h") == 2.0


def test_an_out_of_order_event_does_not_count_events_after_it() -> None:
    #   log order:   1     3     2
    #   event time:  0s   20s   10s   -> the third sees the first and itself
    events = [event(START_MS), event(START_MS + 20_000), event(START_MS + 10_000)]
    done = Driver().run(events)
    assert [value(done, row, "card_event_count_1m") for row in range(3)] == [1.0, 2.0, 2.0]


def test_two_events_of_the_same_millisecond_see_one_another_in_log_order() -> None:
    events = [event(START_MS, transaction_id="a"), event(START_MS, transaction_id="b")]
    done = Driver().run(events)
    assert value(done, 0, "card_event_count_1m") == 1.0
    assert value(done, 1, "card_event_count_1m") == 2.0
    assert value(done, 1, "card_event_gap_30d") == 0.0


def test_an_entity_is_exact_up_to_its_newest_64_events_and_the_one_at_hand() -> None:
    events = [event(START_MS + i * 50 * SECOND_MS, merchant_id=f"m-{i}") for i in range(65)]
    done = Driver().run(events)
    assert value(done, 64, "card_event_count_1h") == 65.0
    assert value(done, 64, "card_merchant_distinct_1h") == 65.0


def test_a_window_is_exact_with_64_events_since_its_start_less_one_pane_and_counts_a_panes_more_beyond() -> None:
    #   pane of 2 min that holds the window's start
    #   |    b2 b1  ( 63 events ............... 1 h ............... t ]
    start_ms = START_MS // (2 * MINUTE_MS) * 2 * MINUTE_MS + MINUTE_MS
    before = [event(start_ms - second * SECOND_MS, transaction_id=f"b-{second}") for second in (2, 1)]
    inside = [event(start_ms + i * SECOND_MS, transaction_id=f"i-{i}") for i in range(63)]
    last = event(start_ms + HOUR_MS - 1, transaction_id="t")
    assert value(Driver().run([before[1], *inside, last]), 64, "card_event_count_1h") == 64.0
    assert value(Driver().run([*before, *inside, last]), 65, "card_event_count_1h") == 65.0, "b2 is in a pane"


def test_a_busy_entity_is_coarse_by_at_most_one_pane_at_the_trailing_edge() -> None:
    # One event per minute for three hours: the 1h window holds 60, panes of 2 minutes may add 1 at the edge.
    events = [event(START_MS + i * MINUTE_MS) for i in range(180)]
    counts = Driver().run(events).features[60:, COLUMN["card_event_count_1h"]]
    assert set(counts.tolist()) <= {60.0, 61.0, 62.0}
    assert counts.min() >= 60.0


def test_a_small_payment_then_a_large_one_shows_as_a_ratio() -> None:
    #   100 .. 10 min .. 50,000
    events = [event(START_MS, amount_minor=100), event(START_MS + 10 * MINUTE_MS, amount_minor=50_000)]
    assert value(Driver().run(events), 1, "card_amount_over_min_1h") == 500.0


def test_speed_between_two_terminals_is_kilometres_per_hour() -> None:
    #   equator, 0 degrees .. 1 h .. 1 degree east: 111.19 km
    events = [event(START_MS, lat=0.0, lon=0.0), event(START_MS + HOUR_MS, lat=0.0, lon=1.0)]
    done = Driver().run(events)
    assert np.isnan(value(done, 0, "card_position_speed_30d"))
    assert value(done, 1, "card_position_speed_30d") == pytest.approx(111.195, abs=0.01)


@pytest.mark.parametrize("amount", [1_000, 3_000_000, 99_999_990])
def test_large_amounts_that_differ_little_have_the_deviation_of_their_differences(amount: int) -> None:
    #   a, a + 1, a + 2 .. a + 9 sixty times over: squared, they agree in all the digits that a float has
    events = [event(START_MS + i * SECOND_MS, amount_minor=amount + i % 10) for i in range(600)]
    done = Driver().run(events)
    assert value(done, 599, "card_amount_std_30d") == pytest.approx(8.25**0.5, rel=1e-6)
    spread = [i % 10 for i in range(599)]
    mean = sum(spread) / 599
    expected = (9 - mean) / (sum((i - mean) ** 2 for i in spread) / 599) ** 0.5
    assert value(done, 599, "card_amount_zscore_30d") == pytest.approx(expected, rel=1e-6)


def test_equal_amounts_have_no_deviation_and_so_no_zscore() -> None:
    events = [event(START_MS + i * SECOND_MS, amount_minor=3_333_333) for i in range(60)]
    done = Driver().run(events)
    assert value(done, 59, "card_amount_std_30d") == 0.0
    assert np.isnan(value(done, 59, "card_amount_zscore_30d"))


def test_a_refund_is_counted_among_refunds_and_in_no_window_of_payments() -> None:
    #   payment 10.00 .. refund -4.00 .. payment 30.00 an hour later
    rows = [
        event(START_MS, amount_minor=1_000, lat=0.0, lon=0.0),
        event(START_MS + MINUTE_MS, amount_minor=-400, transaction_id="back", merchant_id="m-2", lat=50.0, lon=50.0),
        event(START_MS + HOUR_MS, amount_minor=3_000, transaction_id="last", lat=0.0, lon=1.0),
    ]
    done = Driver().run(rows)
    assert [value(done, row, "transaction_is_refund") for row in range(3)] == [0.0, 1.0, 0.0]
    assert [value(done, row, "transaction_amount") for row in range(3)] == [1_000.0, -400.0, 3_000.0]
    for name, of_each in {
        "card_event_count_1d": [1.0, 1.0, 2.0],
        "card_amount_sum_1d": [1_000.0, 1_000.0, 4_000.0],
        "card_amount_min_1h": [1_000.0, 1_000.0, 3_000.0],
        "card_small_ratio_1d": [0.0, 0.0, 0.0],
        "card_merchant_distinct_1d": [1.0, 1.0, 1.0],
        "card_event_age_30d": [0.0, 60.0, 3_600.0],
        "card_refund_count_30d": [0.0, 1.0, 1.0],
        "card_refund_sum_30d": [0.0, 400.0, 400.0],
    }.items():
        assert [value(done, row, name) for row in range(3)] == of_each, name
    assert value(done, 2, "card_event_gap_30d") == 3_600.0
    assert value(done, 2, "card_position_speed_30d") == pytest.approx(111.195, abs=0.01)


def test_a_refund_asks_whether_anything_was_bought_there_and_weighs_no_amount_against_payments() -> None:
    rows = [event(START_MS + i * MINUTE_MS, amount_minor=1_000 + i, lat=0.0, lon=0.0) for i in range(5)]
    bought = event(START_MS + HOUR_MS // 2, transaction_id="r1", amount_minor=-400, lat=0.0, lon=0.0)
    done = Driver().run([*rows, bought, bought | {"transaction_id": "r2", "merchant_id": "m-2"}])
    assert [value(done, row, "card_merchant_new_30d") for row in (5, 6)] == [0.0, 1.0]
    for name in ("card_amount_zscore_30d", "card_amount_over_min_1h", "card_position_speed_30d"):
        assert not np.isnan(value(done, 4, name))
        assert np.isnan(value(done, 5, name)), name


def test_refunds_alone_are_no_payments_and_a_refund_that_rounds_to_nothing_is_still_one() -> None:
    rows = [event(START_MS + i * SECOND_MS, transaction_id=f"r{i}", amount_minor=-1, currency="KRW") for i in range(70)]
    done = Driver().run([*rows, event(START_MS + MINUTE_MS + 10 * SECOND_MS, amount_minor=0)])
    assert value(done, 69, "card_refund_count_1d") == 70.0
    assert value(done, 69, "card_refund_sum_30d") == 0.0
    assert value(done, 69, "card_event_count_1d") == 0.0
    assert np.isnan(value(done, 69, "card_amount_mean_1d"))
    assert np.isnan(value(done, 69, "card_event_age_30d"))
    assert value(done, 70, "card_event_count_1d") == 1.0, "nothing is a payment of nothing"
    assert value(done, 70, "card_refund_count_1d") == 70.0


def test_a_refund_sent_twice_is_decided_and_counted_once() -> None:
    back = event(START_MS, transaction_id="back", amount_minor=-400)
    done = Driver().run([back, back, event(START_MS + 1, amount_minor=100)])
    assert done.verdicts.tolist() == [0, 1, 0]
    assert value(done, 2, "card_refund_count_1d") == 1.0


def test_a_null_entity_has_missing_features_and_no_state() -> None:
    driver = Driver()
    done = driver.run([event(device_id=None, ip=None)])
    missing = [n for n in FEATURE_NAMES if n.startswith(("device_", "ip_"))]
    assert all(np.isnan(value(done, 0, name)) for name in missing)
    assert not any(str(entity) in {"device", "ip"} for entity, _, _ in driver.states)
    assert np.isnan(value(done, 0, "card_device_new_30d"))
    assert value(done, 0, "card_device_distinct_1d") == 0.0


def test_a_late_row_is_decided_with_itself_included_and_changes_no_window() -> None:
    #   late .. more than 30 d .. newest
    driver = Driver()
    driver.run([event(START_MS)])
    before = {key: bytes_ for key, bytes_ in driver.states.items() if str(key[0]) != "card"}
    done = driver.run([event(START_MS - 31 * DAY_MS)])
    assert done.late.tolist() == [True]
    assert value(done, 0, "card_event_count_30d") == 1.0
    assert {key: bytes_ for key, bytes_ in driver.states.items() if str(key[0]) != "card"} == before
    assert value(driver.run([event(START_MS + 1)]), 0, "card_event_count_30d") == 2.0


def test_an_empty_batch_changes_nothing() -> None:
    done = Driver().step([])
    assert done.features.shape == (0, len(FEATURES))
    assert all(states == [] for states in done.states.values())
