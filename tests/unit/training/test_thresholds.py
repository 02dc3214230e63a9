from __future__ import annotations

import itertools

import numpy as np
import pytest

from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers
from weir.training.thresholds import (
    IN_CASES,
    IN_MONEY,
    Thresholds,
    choose_thresholds,
    compute_outcomes,
    prices_of,
    read_stakes,
)


def _cheapest_by_trying_all(is_fraud: np.ndarray, scores: np.ndarray, amounts: np.ndarray) -> float:
    candidates = [*np.unique(scores), 2.0]
    pairs = [Thresholds(r, d) for r, d in itertools.product(candidates, candidates) if r <= d]
    return min(compute_outcomes(is_fraud, scores, amounts, pair)["cost_minor"] for pair in pairs)


@pytest.mark.parametrize("seed", range(12))
def test_chosen_thresholds_cost_as_little_as_the_best_pair_found_by_trying_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(40), 1)  # many ties
    is_fraud = (rng.random(40) < scores * 0.5).astype(np.int8)
    amounts = rng.integers(100, 20_000, 40).astype(np.float64)
    chosen = choose_thresholds(is_fraud, scores, amounts, flagged_share_max=1.0)
    cost = compute_outcomes(is_fraud, scores, amounts, chosen)["cost_minor"]
    assert cost == pytest.approx(_cheapest_by_trying_all(is_fraud, scores, amounts))
    assert 0 <= chosen.review <= chosen.decline < 1.001


def test_clear_fraud_is_declined_and_clear_legitimate_payments_are_approved() -> None:
    is_fraud = np.array([1, 1, 0, 0], np.int8)
    scores = np.array([0.9, 0.8, 0.1, 0.05])
    chosen = choose_thresholds(is_fraud, scores, np.full(4, 10_000.0), flagged_share_max=1.0)
    assert 0.1 < chosen.decline <= 0.8
    outcomes = compute_outcomes(is_fraud, scores, np.full(4, 10_000.0), chosen)
    assert (outcomes["decline_recall"], outcomes["decline_precision"], outcomes["cost_minor"]) == (1.0, 1.0, 0.0)


def test_a_doubtful_band_is_reviewed() -> None:
    # half of the band is fraud of a large amount: too costly to approve, too good to decline
    is_fraud = np.array([1] * 10 + [1, 0] * 20 + [0] * 200, np.int8)
    scores = np.array([0.9] * 10 + [0.5] * 40 + [0.01] * 200)
    chosen = choose_thresholds(is_fraud, scores, np.full(250, 5_000.0), flagged_share_max=1.0)
    assert 0.01 < chosen.review <= 0.5 < chosen.decline <= 0.9


def test_no_more_is_flagged_than_analysts_can_look_at() -> None:
    is_fraud = np.array([1] * 100 + [0] * 900, np.int8)
    scores = np.linspace(0.9, 0.1, 1_000)
    chosen = choose_thresholds(is_fraud, scores, np.full(1_000, 50_000.0), flagged_share_max=0.03)
    assert np.count_nonzero(scores >= min(chosen.review, chosen.decline)) == 30


def test_reviewing_everything_costs_the_review_of_every_legitimate_row() -> None:
    is_fraud, scores, amounts = np.zeros(5, np.int8), np.full(5, 0.5), np.full(5, 1_000.0)
    outcomes = compute_outcomes(is_fraud, scores, amounts, Thresholds(review=0.1, decline=0.9))
    assert outcomes["cost_minor"] == 5 * IN_MONEY.review


def test_what_is_at_stake_is_the_first_money_that_a_value_says() -> None:
    features = np.zeros((2, len(payments.feature_names)), np.float32)
    features[:, payments.feature_names.index("transaction_amount")] = [250, -40]
    assert read_stakes(payments, features).tolist() == [250, 40]
    assert prices_of(payments) is IN_MONEY
    assert prices_of(transfers) is IN_MONEY


def test_without_money_each_missed_case_costs_one() -> None:
    features = np.ones((3, len(clicks.feature_names)), np.float32)
    prices = prices_of(clicks)
    stakes = read_stakes(clicks, features)
    positive, scores = np.array([1, 1, 0], np.int8), np.array([0.9, 0.2, 0.1])
    outcomes = compute_outcomes(positive, scores, stakes, Thresholds(0.5, 0.5), prices=prices)
    assert (outcomes["cost_cases"], outcomes["cost_cases_approving_all"]) == (1, 2)


def test_cases_and_money_with_nothing_at_stake_choose_the_same_thresholds() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(2_000)
    positive = (rng.random(2_000) < scores * 0.1).astype(np.int8)
    found = [
        choose_thresholds(positive, scores, np.zeros(2_000), prices=prices, flagged_share_max=0.2)
        for prices in (IN_CASES, IN_MONEY)
    ]
    assert found[0] == found[1]
