"""The Handbook's folds and metrics against cases that are made by hand."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from weir.training.benchmarks.handbook.metrics import Figures, average, compute_card_precision, measure
from weir.training.benchmarks.handbook.protocol import (
    DELAY_DAYS,
    FIRST_DAY,
    TEST_DAYS,
    TEST_FOLDS,
    TRAIN_DAYS,
    VALIDATION_FOLDS,
    build_fold,
)
from weir.training.benchmarks.handbook.simulator import DAY_S, Payments

FRAUD_OF = {1: 45, 2: 52, 3: 53}
"""Customer -> the day of its fraud; 0 has none. The week that teaches is days 45 to 51, the test days 59 to 65."""


@pytest.fixture(scope="module")
def payments() -> Payments:
    """Four customers who pay once on each of 66 days."""
    day, customer = (each.ravel() for each in np.meshgrid(np.arange(66), np.arange(4), indexing="ij"))
    fraud = np.array([FRAUD_OF.get(int(who)) == when for who, when in zip(customer, day, strict=True)], np.int8)
    return Payments(customer, customer, day * DAY_S + customer, np.full(len(day), 100), fraud, fraud)


def test_a_week_teaches_and_a_later_one_judges_without_customers_who_are_known_by_then(payments: Payments) -> None:
    fold = build_fold(payments, 45)
    assert sorted(set(payments.day[fold.train].tolist())) == list(range(45, 52))
    judged = set(zip(payments.day[fold.test].tolist(), payments.customer[fold.test].tolist(), strict=True))
    kept = {0: range(59, 66), 1: range(0), 2: range(59, 60), 3: range(59, 61)}
    # a fraud of day 52 is known on day 59 + 1: eight days before it is the first that counts
    assert judged == {(day, customer) for customer, days in kept.items() for day in days}


def test_with_all_history_more_teaches_and_the_same_judges(payments: Payments) -> None:
    week, history = build_fold(payments, 45), build_fold(payments, 45, history=True)
    assert history.test.tolist() == week.test.tolist()
    assert sorted(set(payments.day[history.train].tolist())) == list(range(37, 52))


def test_no_label_that_chooses_is_known_only_when_the_first_test_has_begun() -> None:
    first_test = FIRST_DAY + TRAIN_DAYS + DELAY_DAYS
    last_chosen = max(VALIDATION_FOLDS) + TRAIN_DAYS + DELAY_DAYS + TEST_DAYS - 1
    assert last_chosen + DELAY_DAYS < first_test
    assert TEST_FOLDS == (115, 122, 129, 136)
    assert VALIDATION_FOLDS == (80, 87, 94, 101)


def test_card_precision_is_by_card_and_day_and_blocks_what_was_found() -> None:
    # day 0: the best two cards are 7 (fraud) and 8; day 1: 7 is blocked, so 8 and 9 are looked at, and both are honest
    day = np.array([0, 0, 0, 0, 1, 1, 1])
    customer = np.array([7, 7, 8, 9, 7, 8, 9])
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.99, 0.7, 0.1])
    fraud = np.array([0, 1, 0, 1, 1, 0, 0], np.int8)
    assert compute_card_precision(fraud, scores, customer, day, top=2) == pytest.approx((0.5 + 0) / 2)
    # a card counts as found where the fraud is not its largest score
    assert compute_card_precision(fraud[:4], scores[:4], customer[:4], day[:4], top=1) == 1.0


def test_fewer_cards_than_are_looked_at_are_a_lower_precision() -> None:
    one = np.array([1], np.int8)
    assert compute_card_precision(one, np.array([0.3]), np.array([5]), np.array([0]), top=100) == 0.01


def test_auc_and_average_precision_by_hand() -> None:
    fraud = np.array([0, 1, 0, 1], np.int8)
    found = measure(fraud, np.array([0.1, 0.9, 0.8, 0.4]), np.arange(4), np.zeros(4, np.int64))
    assert found.auc == pytest.approx(3 / 4)
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.card_precision == 0.02


def test_folds_are_averaged_figure_by_figure() -> None:
    mean, deviation = average([Figures(0.8, 0.6, 0.3), Figures(0.9, 0.6, 0.2)])
    assert astuple(mean) == pytest.approx((0.85, 0.6, 0.25))
    assert astuple(deviation) == pytest.approx((0.05, 0, 0.05))
