"""Quality per day of decision: what the intervals hold, and what is not told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.training.quality.coverage import AGES, FIGURES, measure_coverage, tally_of
from tests.unit.training.quality.worlds import DAY, Days, LetThrough, simulate
from weir.training.quality.estimate import Estimator, Quality, estimate_quality
from weir.training.quality.tally import Decisions, Tally

_DAYS = 100


@pytest.mark.verify  # `make verify ONLY=quality` has 2,000 weeks of it
def test_the_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """The small one of ``python -m tests.bench.quality``."""
    hits, _ = measure_coverage(3, 60, frauds_a_day=300)
    for name in FIGURES:
        of_name = [hit for age in AGES for hit in hits[age, name]]
        assert 0.91 <= np.mean(of_name) <= 0.985, name  # 240 of them: 95 % plus or minus 2.8


def _decisions(*, declined: bool = False, declined_are_labelled: bool = True) -> Decisions:
    events, _ = simulate(5, _DAYS, frauds_a_day=200)
    outcome = np.where((events.outcome == 1) & (events.card % 2 == 0) & declined, 2, events.outcome).astype(np.uint8)
    is_hidden = (outcome == 2) & (not declined_are_labelled)
    fraud_ms = np.where(is_hidden, -1, events.label_ms)
    labelled = (outcome == 2) & ~is_hidden
    return Decisions(events.decided_ms, outcome, events.card, fraud_ms, labelled, events.stake, events.propensity)


def _estimate(decisions: Decisions, *, days: int = 35, maturity_days: int = 60) -> Quality:
    tally = Tally(now_ms=_DAYS * DAY, maturity_ms=maturity_days * DAY)
    for part in range(7):  # in parts, in any order
        tally.add(decisions.take(decisions.decided_ms // DAY % 7 == part))
    return estimate_quality(tally, days=days)


def test_what_is_labelled_so_far_alone_would_flatter_recall_and_hide_the_loss() -> None:
    decisions, (_, truth) = _decisions(), simulate(5, _DAYS, frauds_a_day=200)
    found = _estimate(decisions, days=8).days[-1]
    day = _DAYS - 8
    known = (decisions.decided_ms // DAY == day) & (decisions.fraud_ms >= 0) & (decisions.fraud_ms <= _DAYS * DAY)
    naive = (known & (decisions.outcomes == 1)).sum() / known.sum()
    naive_lost = decisions.stakes[known & (decisions.outcomes == 0)].sum()
    assert naive > found.recall.high
    assert naive_lost < 0.6 * found.money_lost.value
    assert found.recall.low <= truth.recall[day] <= found.recall.high


def test_intervals_grow_narrower_as_labels_come() -> None:
    days = _estimate(_decisions()).days
    completes = [each.complete for each in days]
    assert completes == sorted(completes)
    assert days[1].recall.high - days[1].recall.low > 1.5 * (days[30].recall.high - days[30].recall.low)


def test_what_was_declined_counts_only_where_somebody_labels_it() -> None:
    with_labels, without = (_estimate(_decisions(declined=True, declined_are_labelled=each)) for each in (True, False))
    assert with_labels.counts_declined
    assert not without.counts_declined
    assert without.days[30].stopped < 0.7 * with_labels.days[30].stopped
    assert without.days[30].precision.value == pytest.approx(with_labels.days[30].precision.value, abs=0.15)


def test_a_young_archive_says_within_which_time_its_fraud_was_found() -> None:
    decisions = _decisions()
    young = _estimate(decisions.take(decisions.decided_ms >= (_DAYS - 20) * DAY))
    assert 18 * DAY < young.horizon_ms < 20 * DAY
    assert _estimate(decisions).horizon_ms == 60 * DAY


def test_with_few_labels_nothing_is_told() -> None:
    decisions = _decisions()
    kept = (decisions.fraud_ms < 0) | (np.cumsum(decisions.fraud_ms >= 0) < 20)
    day = _estimate(decisions.take(kept)).days[10]
    assert all(np.isnan(getattr(day, name).value) for name in FIGURES)


def test_a_day_of_which_hardly_a_label_can_be_there_is_too_early() -> None:
    day = _estimate(_decisions()).days[0]
    assert np.isnan(day.recall.value)
    assert np.isnan(day.money_lost.value)
    assert day.precision.high - day.precision.low > 0.1  # analysts are quick


def test_a_stream_without_money_has_shares_alone() -> None:
    decisions = _decisions()
    day = _estimate(Decisions(**{**vars(decisions), "stakes": np.full(len(decisions), np.nan)})).days[14]
    assert np.isnan(day.money_lost.value)
    assert 0 < day.recall.low < day.recall.high < 1


def test_an_estimate_of_one_day_is_the_same_alone() -> None:
    decisions = _decisions()
    tally = Tally(now_ms=_DAYS * DAY, maturity_ms=60 * DAY)
    tally.add(decisions)
    assert Estimator(tally).estimate(_DAYS - 8) == _estimate(decisions, days=8).days[-1]


def _let_through(share: float, *, outcome: int = 1, is_weighted: bool = True) -> tuple[Quality, Days]:
    """Estimate what is seen where most of the caught fraud is declined; without weights as an older archive has it."""
    events, truth = simulate(5, _DAYS, frauds_a_day=300, let_through=LetThrough(share, outcome))
    if not is_weighted:
        events = replace(events, propensity=np.full(len(events.card), np.nan))
    return estimate_quality(tally_of(events, _DAYS), days=35), truth


@pytest.mark.parametrize("outcome", [0, 1])
def test_a_share_that_is_let_through_tells_of_all_that_was_declined(outcome: int) -> None:
    found, truth = _let_through(0.2, outcome=outcome)
    assert found.counts_sampled
    days = [(_DAYS - 1 - at, found.days[at]) for at in range(10, 30)]
    for name, of_day in (("precision", truth.precision), ("recall", truth.recall)):
        errors = [getattr(day, name).value - of_day[number] for number, day in days]
        assert abs(np.mean(errors)) < 0.06, name
        held = [getattr(day, name).low <= of_day[number] <= getattr(day, name).high for number, day in days]
        assert np.mean(held) >= 0.8, name


def test_without_the_weights_recall_would_leave_out_what_was_declined() -> None:
    (weighted, truth), (plain, _) = _let_through(0.2), _let_through(0.2, is_weighted=False)
    days = range(10, 30)
    biased = np.mean([plain.days[at].recall.value - truth.recall[_DAYS - 1 - at] for at in days])
    fair = np.mean([weighted.days[at].recall.value - truth.recall[_DAYS - 1 - at] for at in days])
    assert biased < -0.1
    assert abs(fair) < 0.06
    assert not plain.counts_sampled
    assert weighted.days[20].stopped > 1.3 * plain.days[20].stopped


def test_a_let_through_of_a_few_days_counts_once_its_labels_had_the_time() -> None:
    events, _ = simulate(5, _DAYS, frauds_a_day=300, let_through=LetThrough(0.2, 1))
    begun = np.where(events.decided_ms >= (_DAYS - 10) * DAY, events.propensity, np.nan)
    assert not estimate_quality(tally_of(replace(events, propensity=begun), _DAYS), days=5).counts_sampled
