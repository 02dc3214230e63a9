"""A model is trained again when it drifted, is old, or there is none; and what cannot be told is said."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from weir.schemas.durations import DAY_MS
from weir.training.quality.estimate import DayQuality, Estimate
from weir.training.retraining.trigger import Reasons, find_reasons

CALM: dict[str, Any] = {"drifted": [], "columns": [{}] * 61}
NOW_MS = 1_700_000_000_000


def _find(
    drift: Any = None, decay: Any = "no labels", *, days: float | None = 3, is_asked: bool = False, ended_ms: int = 0
) -> Reasons:
    created = None if days is None else NOW_MS - int(days * DAY_MS)
    given = CALM if drift is None else drift
    return find_reasons(
        given, decay, created_ms=created, ended_ms=ended_ms, now_ms=NOW_MS, age_days_max=30, is_asked=is_asked
    )


def test_a_young_model_without_drift_stays() -> None:
    assert _find() == Reasons(
        (),
        (
            "drift: none of 61 columns has drifted",
            "decay: cannot be told: no labels",
            "age: the model that decides is 3.0 days old, at most 30",
        ),
    )


def test_a_model_that_became_worse_is_trained_again() -> None:
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    values = [0.7, 0.72] * 10 + [0.5, 0.52] * 5
    days = [
        DayQuality(date(2026, 1, 1) + timedelta(at), 9, 3, 2, 0.9, nothing, Estimate(value, value, value), nothing)
        for at, value in enumerate(values)
    ]
    (why,) = _find(decay=days).why
    assert why.startswith("decay: recall 51.1% in the newest 7 mature days, 71.0% in the first 14 of the model")


def test_drift_age_and_the_lack_of_a_model_are_reasons() -> None:
    drifted = _find({"drifted": ["a", "b"], "columns": [{}] * 61})
    assert drifted.why == ("drift: 2 of 61 columns drifted: a, b",)
    assert _find(days=30.5).why == ("age: the model that decides is 30.5 days old, at most 30",)
    assert _find(days=None).why == ("no model decides yet",)
    assert _find(is_asked=True).why == ("asked for",)


def test_drift_that_cannot_be_told_is_no_reason_and_is_said() -> None:
    found = _find("no archive")
    assert found.why == ()
    assert found.told[0] == "drift: cannot be told: no archive"


def test_a_scheduler_that_asks_every_hour_trains_once_a_day_and_a_person_at_once() -> None:
    drifted = {"drifted": ["a"], "columns": [{}] * 61}
    soon = _find(drifted, ended_ms=NOW_MS - 2 * 3_600_000)
    assert soon.why == ()
    assert soon.told[0] == "drift: 1 of 61 columns drifted: a"
    assert soon.told[-1] == "the last retraining ended 2.0 hours ago: wait for a day"
    assert _find(drifted, ended_ms=NOW_MS - DAY_MS).why == ("drift: 1 of 61 columns drifted: a",)
    assert "asked for" in _find(drifted, ended_ms=NOW_MS, is_asked=True).why
