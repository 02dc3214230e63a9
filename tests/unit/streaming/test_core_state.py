"""Partials: their bytes depend on the counted records alone, and a second reader agrees with the compiled one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import DAY_MS, FEATURE_NAMES, PANES_PER_WINDOW, Entity
from tests.unit.streaming.oracle import Oracle, amount_of, bit_of, is_refund
from tests.unit.streaming.streams import START_MS, Driver, Event, build, event, random_stream
from weir.schemas.streams.payments import payments
from weir.streaming.core.partial import Partial, Sums
from weir.streaming.kernels import shipped_kernel

SEEDS = st.integers(0, 2**32 - 1)
CUTS = st.lists(st.integers(0, 1_000), max_size=6)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, cuts=CUTS)
def test_bytes_and_features_are_the_same_however_the_log_is_cut(seed: int, cuts: list[int]) -> None:
    events = random_stream(seed, 120)
    whole, cut = Driver(), Driver()
    expected, found = whole.run(events), cut.run(events, cuts)
    assert whole.states == cut.states
    counted = expected.verdicts == 0
    np.testing.assert_array_equal(expected.features[counted], found.features[counted])
    np.testing.assert_array_equal(expected.verdicts, found.verdicts)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, cuts=CUTS)
def test_folding_the_counted_rows_gives_the_bytes_that_step_gave(seed: int, cuts: list[int]) -> None:
    events = random_stream(seed, 120)
    live, caught_up = Driver(), Driver()
    verdicts = live.run(events, cuts).verdicts
    caught_up.fold([e for e, verdict in zip(events, verdicts, strict=True) if verdict == 0])
    assert live.states == caught_up.states


def test_rows_that_do_not_count_leave_the_bytes_as_they_were() -> None:
    events = random_stream(5, 120)
    driver = Driver()
    driver.run(events)
    before = dict(driver.states)
    counted_once = [e | {"append_ms": events[-1]["append_ms"]} for e in events[-20:]]
    assert (driver.step(counted_once).verdicts != 0).all()
    assert driver.states == before


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_a_second_reader_finds_in_the_bytes_what_the_oracle_keeps(seed: int) -> None:
    events = random_stream(seed, 220, cards=1)
    driver, oracle = Driver(), Oracle()
    driver.run(events, [50, 90, 170])
    for one in events:
        oracle.take(one)
    assert set(driver.states) == {key for key, history in oracle.histories.items() if history.newest_ms is not None}
    for key, data in driver.states.items():
        partial = shipped_kernel().decode_partial(key[0], data)
        assert partial is not None
        history = oracle.histories[key]
        assert partial.newest_ms == history.newest_ms
        newest_first = [(e["event_time_ms"], amount_of(e), is_refund(e)) for e in reversed(history.exact)]
        assert [(e.time_ms, *e.values, e.is_reversal) for e in partial.ring] == newest_first
        assert_panes(key[0], partial, history.tiled)


def assert_panes(entity: str, partial: Partial, tiled: list[Event]) -> None:
    names = payments.entity(entity).tells_apart
    for window_ms, panes in partial.panes.items():
        pane_ms = window_ms // PANES_PER_WINDOW
        for pane in panes:
            inside = [e for e in tiled if e["event_time_ms"] // pane_ms == pane.index]
            refunds = [-amount_of(e) for e in inside if is_refund(e)]
            assert (pane.reversals, pane.reversed_total) == (len(refunds), sum(refunds)), window_ms
            inside = [e for e in inside if not is_refund(e)]
            amounts = [amount_of(e) for e in inside]
            least, most = min(amounts, default=0), max(amounts, default=0)
            assert pane.count == len(inside), window_ms
            assert pane.sums == (Sums(sum(amounts), sum(a * a for a in amounts), least, most),), window_ms
            for attribute, bits in pane.bitmaps.items():
                values = {e[names[attribute]] for e in inside} - {None}
                assert bits == {bit_of(value) for value in values}, window_ms


def test_the_ring_is_bounded_and_the_horizon_forgets() -> None:
    driver = Driver()
    driver.run([event(START_MS + i) for i in range(100)])
    partial = shipped_kernel().decode_partial(Entity.CARD, driver.states[Entity.CARD, 0, "c-1"])
    assert partial is not None
    kept = payments.key.recent
    assert len(partial.ring) == kept
    assert sum(pane.count for pane in partial.panes[30 * DAY_MS]) == 100 - kept
    driver.run([event(START_MS + 40 * DAY_MS)])
    partial = shipped_kernel().decode_partial(Entity.CARD, driver.states[Entity.CARD, 0, "c-1"])
    assert partial is not None
    assert len(partial.ring) == 1
    assert partial.panes == {}
    assert len(partial.ids) == 1


def test_of_events_of_one_millisecond_the_first_in_the_log_leaves_the_ring_first() -> None:
    driver = Driver()
    driver.run([event(transaction_id=f"t-{i}", amount_minor=1_000 + i) for i in range(65)])
    partial = shipped_kernel().decode_partial(Entity.CARD, driver.states[Entity.CARD, 0, "c-1"])
    assert partial is not None
    assert [pane.sums[0].total for pane in partial.panes[30 * DAY_MS]] == [1_000]
    assert [e.values[0] for e in partial.ring] == list(range(1_064, 1_000, -1))


def test_an_entity_with_one_event_is_small() -> None:
    driver = Driver()
    driver.run([event(lat=52.5, lon=13.4)])
    sizes = {str(entity): len(data) for (entity, _, _), data in driver.states.items()}
    assert sizes["card"] <= 64
    assert max(size for entity, size in sizes.items() if entity != "card") <= 32


def test_bytes_of_another_version_are_refused_and_not_guessed_at() -> None:
    batch = build([event()])
    states = Driver().gather(batch)
    states.own[Entity.CARD][0] = b"\xff\x00\x00"
    with pytest.raises(ValueError, match="rebuild the view"):
        shipped_kernel().step(batch, states)


def test_partials_that_do_not_match_the_batch_are_refused() -> None:
    batch = build([event()])
    states = Driver().gather(batch)
    states.own[Entity.IP].append(b"")
    with pytest.raises(ValueError, match="expected 1 partials of ip"):
        shipped_kernel().step(batch, states)


def test_a_live_look_up_sees_what_the_next_event_would_less_itself() -> None:
    driver = Driver()
    events = random_stream(11, 60, cards=1, disorder=False)
    driver.run(events)
    at_ms = events[-1]["event_time_ms"] + 1_000
    card = shipped_kernel().read(Entity.CARD, [driver.states[Entity.CARD, 0, "c-0"]], [], at_ms)
    following = driver.run([event(at_ms, card_id="c-0", transaction_id="next")])
    columns = {name: float(v) for name, v in zip(FEATURE_NAMES, following.features[0], strict=True)}
    assert card["card_event_count_1d"] == columns["card_event_count_1d"] - 1
    assert card["card_event_gap_30d"] == 1.0
    assert card["card_merchant_new_30d"] is None
    assert card["card_position_speed_30d"] is None


def test_a_live_look_up_forgets_an_idle_entity_by_the_time_asked_for() -> None:
    driver = Driver()
    driver.run([event(START_MS + i) for i in range(50)])
    partials = [driver.states[Entity.MERCHANT, 0, "m-1"]]
    assert shipped_kernel().read(Entity.MERCHANT, partials, [], START_MS + 100)["merchant_event_count_1h"] == 50.0
    assert shipped_kernel().read(Entity.MERCHANT, partials, [], START_MS + 2 * DAY_MS)["merchant_event_count_1d"] == 0.0
    assert (
        shipped_kernel().read(Entity.MERCHANT, partials, [], START_MS + 2 * DAY_MS)["merchant_event_count_30d"] == 50.0
    )
    assert (
        shipped_kernel().read(Entity.MERCHANT, partials, [], START_MS + 2 * DAY_MS)["merchant_amount_mean_1d"] is None
    )
