"""A model that became worse is found by its mature days, and one that is as good as it was is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from tests.unit.training.quality.coverage import tally_of
from tests.unit.training.quality.worlds import simulate
from weir.training.quality.estimate import DayQuality, Estimate, estimate_quality
from weir.training.retraining.decay import find_decay

WEEKS = 52


def _days(precision: list[float], recall: list[float], *, complete: float = 0.95) -> list[DayQuality]:
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    begin = date(2026, 1, 1)
    return [
        DayQuality(begin + timedelta(number), 900, 300, 200, complete, Estimate(p, p, p), Estimate(r, r, r), nothing)
        for number, (p, r) in enumerate(zip(precision, recall, strict=True))
    ]


def _noisy(mean: float, count: int) -> list[float]:
    return [mean + 0.04 * (-1) ** number for number in range(count)]


def test_a_drop_of_either_figure_is_told_with_its_numbers() -> None:
    worse, told = find_decay(_days(_noisy(0.6, 30), _noisy(0.7, 20) + _noisy(0.5, 10)))
    (text,) = worse
    assert text.startswith("decay: recall 49.4% in the newest 7 mature days, 70.0% in the first 14 of the model (t ")
    assert len(told) == 1
    assert "precision" in told[0]


def test_a_rise_a_small_drop_and_noise_are_none() -> None:
    assert not find_decay(_days(_noisy(0.6, 20) + _noisy(0.8, 10), _noisy(0.6, 30)))[0]
    assert not find_decay(_days([0.6] * 20 + [0.56] * 10, [0.6] * 30))[0]


@pytest.mark.parametrize(("count", "complete"), [(20, 0.95), (40, 0.5), (40, float("nan"))])
def test_without_enough_mature_days_nothing_is_told(count: int, complete: float) -> None:
    worse, told = find_decay(
        _days([0.9] * count, [0.9] * (count // 2) + [0.1] * (count - count // 2), complete=complete)
    )
    assert not worse
    assert told[0].startswith("decay: precision cannot be told: expected 21 mature days of the model, found ")


@pytest.fixture(scope="module")
def year() -> list[DayQuality]:
    """A year of estimated days of a model that stays as it is; each is estimated with the labels that it has later."""
    events, _ = simulate(11, 7 * (WEEKS + 3) + 60, frauds_a_day=300)
    days = estimate_quality(tally_of(events, 7 * (WEEKS + 3) + 60), days=7 * (WEEKS + 3) + 60).days
    return [day for day in sorted(days, key=lambda each: each.day) if day.complete >= 0.8]


def test_a_steady_year_asks_for_at_most_two_retrainings(year: list[DayQuality]) -> None:
    asked = sum(bool(find_decay(year[: 7 * (week + 3)])[0]) for week in range(WEEKS))
    assert asked <= 2


def test_a_planted_decay_is_found_within_two_weeks_of_mature_days(year: list[DayQuality]) -> None:
    planted = [
        replace(day, recall=replace(day.recall, value=day.recall.value - 0.25 * (number >= 70)))
        for number, day in enumerate(year[:84])
    ]
    assert any("recall" in text for text in find_decay(planted)[0])
    assert not find_decay(planted[:70])[0]
    assert np.isfinite([day.recall.value for day in planted]).all()
