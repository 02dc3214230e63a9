from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.payments import DAY_MS
from tests.unit.generators.worlds import CARDS, DAYS, END_MS, SEED, events, history, population
from weir.generators.events import SCENARIOS, Events
from weir.generators.hard_negatives import WEEK_MS, travellers
from weir.generators.history import build_history, draw_history, write_history
from weir.generators.plan import plan
from weir.generators.population import CITY_COUNTRY, build_population
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.streams.payments import payments as shipped

FRAUD = SCENARIOS[1:8]
HONEST = SCENARIOS[8:]


def rows_of(name: str) -> Events:
    return events().take(events().scenario == SCENARIOS.index(name))


def assert_same(one: Events, other: Events) -> None:
    for field in dataclasses.fields(Events):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_the_same_seed_gives_the_same_history_byte_for_byte() -> None:
    again = draw_history(build_population(SEED, CARDS), END_MS - DAYS * DAY_MS, END_MS)
    assert_same(again, events())


def test_another_seed_gives_another_history() -> None:
    other = draw_history(population(SEED + 1), END_MS - 2 * DAY_MS, END_MS)
    assert not np.isin(other.id_high, events().id_high).any()


def test_a_longer_history_ends_with_the_shorter_one() -> None:
    """
    long   |---------------------|
    short              |---------|
    """
    shorter = draw_history(population(), END_MS - 5 * DAY_MS, END_MS)
    assert len(shorter) > 0
    assert_same(shorter, events().between(END_MS - 5 * DAY_MS, END_MS))


def test_payments_are_in_time_order_within_the_interval_and_have_unique_ids() -> None:
    times = history().transactions["event_time_ms"].to_numpy()
    assert (np.diff(times) >= 0).all()
    assert times[0] >= END_MS - DAYS * DAY_MS
    assert times[-1] < END_MS
    assert pc.count_distinct(history().transactions["transaction_id"]).as_py() == len(times)


def test_fraud_is_under_one_percent_of_the_payments_and_not_absent() -> None:
    assert 0.003 < events().fraud.mean() < 0.01


def test_every_scenario_has_its_turn_within_half_a_year() -> None:
    acted = {act.scenario.name for act in plan(population(), END_MS - 180 * DAY_MS, END_MS)}
    assert acted == {*FRAUD, *HONEST} - {"holiday_travel", "shared_device"}
    assert len(rows_of("holiday_travel")) > 0


def test_truth_agrees_with_the_payments_row_by_row() -> None:
    truth = history().truth
    assert truth["transaction_id"].equals(history().transactions["transaction_id"])
    fraud_by_scenario = np.isin(truth["scenario"].to_numpy(zero_copy_only=False), FRAUD)
    np.testing.assert_array_equal(truth["is_fraud"].to_numpy(zero_copy_only=False), fraud_by_scenario)


def test_no_field_of_a_payment_tells_the_truth() -> None:
    assert history().transactions.schema.names == BatchCodec("transactions").arrow_schema.names


def test_an_actor_of_fraud_belongs_to_one_scenario_and_numbers_its_steps_in_time_order() -> None:
    fraud = events().take(events().fraud)
    for actor in np.unique(fraud.actor):
        mine = fraud.take(fraud.actor == actor)
        assert len(np.unique(mine.scenario)) == 1
        assert (np.diff(mine.time_ms[np.argsort(mine.step, kind="stable")]) >= 0).all()


def test_every_payment_and_label_passes_the_rules_that_the_processor_holds_it_to() -> None:
    payments, labels = history().transactions, history().labels
    keys = [card.encode() for card in payments["card_id"].to_pylist()]
    times = payments["event_time_ms"].to_numpy()
    assert validate_events(shipped, payments, keys=keys, append_time_ms=times, placeholders=BUILT_IN) == []
    known = labels["label_time_ms"].to_numpy()
    keys = [card.encode() for card in labels["card_id"].to_pylist()]
    assert validate_labels(shipped, labels, keys=keys, append_time_ms=known, placeholders=BUILT_IN) == []


def test_no_threshold_on_the_amount_finds_fraud_with_useful_precision() -> None:
    fraud, usd = events().fraud, events().amount_usd
    for threshold in np.quantile(usd, np.linspace(0.01, 0.999, 60)):
        for rule in (usd >= threshold, usd <= threshold):
            if fraud[rule].sum() >= 0.05 * fraud.sum():
                assert fraud[rule].mean() < 0.15


def test_no_cell_of_amount_outcome_channel_and_country_is_fraud_alone() -> None:
    world, rows = population(), events()
    online = world.merchant_online[rows.merchant]
    foreign = CITY_COUNTRY[world.merchant_city[rows.merchant]] != CITY_COUNTRY[world.card_city[rows.card]]
    size = np.digitize(rows.amount_usd, [1, 2, 5, 20, 100, 300, 1000])
    cell = ((size * 2 + rows.declined) * 2 + online) * 2 + foreign
    for code in np.unique(cell[rows.fraud]):
        if (cell == code).sum() >= 50:
            assert rows.fraud[cell == code].mean() < 0.4


def test_fraud_and_hard_negatives_overlap_in_amount() -> None:
    tests, games = rows_of("card_testing").amount_usd, rows_of("small_payments").amount_usd
    assert np.quantile(games, 0.1) < np.median(tests) < np.quantile(games, 0.9)
    spree, treat = rows_of("bust_out").amount_usd, rows_of("annual_purchase").amount_usd
    assert np.quantile(treat, 0.1) < np.median(spree) < np.quantile(treat, 0.9)


def test_travellers_pay_abroad_and_not_at_home_in_their_week() -> None:
    world = population()
    week = END_MS // WEEK_MS - 2
    cards, city = travellers(world, week)
    mine = events().between(week * WEEK_MS, (week + 1) * WEEK_MS)
    mine = mine.take(np.isin(mine.card, cards) & ~world.merchant_online[mine.merchant] & (mine.scenario != 3))
    abroad = mine.take(mine.scenario == SCENARIOS.index("holiday_travel"))
    destination = dict(zip(cards.tolist(), city.tolist(), strict=True))
    assert len(abroad) > 0
    assert world.merchant_city[abroad.merchant].tolist() == [destination[card] for card in abroad.card.tolist()]
    assert len(mine.take(mine.scenario == 0)) == 0


def test_a_household_device_is_used_by_several_customers_and_is_no_fraud() -> None:
    world, rows = population(), rows_of("shared_device")
    pairs = np.unique(np.stack([rows.device, world.card_customer[rows.card]]), axis=1)
    assert (np.unique(pairs[0], return_counts=True)[1] > 1).any()
    assert not rows.fraud.any()


def test_write_history_gives_three_files_that_read_back_equal(tmp_path: Path) -> None:
    short = build_history(population(), END_MS - DAY_MS, END_MS)
    write_history(short, tmp_path / "out")
    for name in ("transactions", "labels", "truth"):
        assert pq.read_table(tmp_path / "out" / f"{name}.parquet").equals(pa.Table.from_batches([getattr(short, name)]))
