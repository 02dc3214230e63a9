"""The Handbook's payments: first rows as published, frauds as its definitions say them in pandas."""

from __future__ import annotations

import random

import numpy as np
import pandas
import pytest

from weir.training.benchmarks.handbook.frauds import PUBLISHED, Counts, add_frauds
from weir.training.benchmarks.handbook.simulator import START_MS, Payments, World, draw_payments

SMALL = World(customers=150, terminals=50, days=25, radius=30.0)


@pytest.fixture(scope="module")
def drawn() -> Payments:
    return draw_payments(SMALL)


def test_the_first_payments_are_those_that_the_handbook_prints() -> None:
    first = draw_payments(World(customers=1, days=2))
    told = pandas.to_datetime(first.time_ms, unit="ms").strftime("%Y-%m-%d %H:%M:%S").tolist()
    assert told[:6] == [
        "2018-04-01 07:19:05",
        "2018-04-01 18:00:16",
        "2018-04-01 19:02:02",
        "2018-04-02 08:51:06",
        "2018-04-02 14:05:38",
        "2018-04-02 15:13:02",
    ]
    assert first.amount_cents[:6].tolist() == [12_359, 7_734, 4_651, 5_472, 6_330, 3_235]
    assert first.time_ms[0] == START_MS + 26_345_000


def test_payments_are_in_time_order_and_none_is_fraud_before_the_scenarios(drawn: Payments) -> None:
    assert (np.diff(drawn.seconds) >= 0).all()
    assert drawn.fraud.sum() == 0
    assert set(drawn.customer.tolist()) <= set(range(SMALL.customers))
    assert len(drawn) > 1_000


def test_somebody_pays_only_at_terminals_nearer_than_the_radius(drawn: Payments) -> None:
    places = np.random.RandomState(1).uniform(0, 100, (SMALL.terminals, 2))
    chance = np.random.RandomState(0)
    homes = {}
    for customer in range(SMALL.customers):
        homes[customer] = chance.uniform(0, 100, 2)
        chance.uniform(size=2)
    for customer, terminal in set(zip(drawn.customer.tolist(), drawn.terminal.tolist(), strict=True)):
        assert np.linalg.norm(homes[customer] - places[terminal]) < SMALL.radius


def _add_frauds_in_pandas(payments: Payments) -> tuple[list[int], list[int], Counts]:
    """The three scenarios as the Handbook's text has them, over a table."""
    table = pandas.DataFrame(
        {"customer": payments.customer, "terminal": payments.terminal, "day": payments.day, "scenario": 0}
    )
    table["amount"] = payments.amount_cents / 100
    customers, terminals = pandas.Series(range(SMALL.customers)), pandas.Series(range(SMALL.terminals))
    table.loc[table.amount > 220, "scenario"] = 1
    known = [int((table.scenario > 0).sum())]
    for day in range(table.day.max()):
        hit = terminals.sample(n=2, random_state=day)
        table.loc[table.day.between(day, day + 27) & table.terminal.isin(hit), "scenario"] = 2
    known.append(int((table.scenario > 0).sum()))
    for day in range(table.day.max()):
        hit = customers.sample(n=3, random_state=day)
        theirs = table.index[table.day.between(day, day + 13) & table.customer.isin(hit)]
        random.seed(day)
        taken = random.sample(list(theirs), k=len(theirs) // 3)
        table.loc[taken, "amount"] *= 5
        table.loc[taken, "scenario"] = 3
    known.append(int((table.scenario > 0).sum()))
    final = tuple(int((table.scenario == number).sum()) for number in (1, 2, 3))
    counts = Counts(len(table), known[2], (known[0], known[1] - known[0], known[2] - known[1]), final)
    return (table.amount * 100).round().astype(int).tolist(), table.scenario.tolist(), counts


def test_frauds_are_those_of_the_definitions(drawn: Payments) -> None:
    payments, counts = add_frauds(drawn, SMALL)
    amounts, scenario, expected = _add_frauds_in_pandas(drawn)
    assert counts == expected
    assert min(counts.added) > 0
    assert payments.amount_cents.tolist() == amounts
    assert payments.scenario.tolist() == scenario
    assert payments.fraud.tolist() == [int(each > 0) for each in scenario]


def test_published_counts_add_up() -> None:
    assert sum(PUBLISHED.added) == sum(PUBLISHED.final) == PUBLISHED.frauds
