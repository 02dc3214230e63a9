"""What the console's bench says of samples of the live page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.bench.console import SETTLE_SECONDS, Sample, judge_live, judge_pages

STEADY = [
    Sample(seconds, heap_mb=1.7, nodes=4_000, browser_mb=190.0, console_mb=138.0, shown=500, age_seconds=1.0, rows=200)
    for seconds in range(0, 1_800, 10)
]


def change(first: float, **changes: Any) -> list[Sample]:
    """Return the steady samples, with others from a time on."""
    return [replace(each, **changes) if each.seconds >= first else each for each in STEADY]


def test_a_page_that_stays_is_right() -> None:
    assert judge_live(STEADY, 500) == []
    assert judge_live(change(1_000, heap_mb=1.9, browser_mb=150.0), 500) == []


def test_garbage_that_waits_is_no_growth() -> None:
    wavering = [replace(each, nodes=4_000 + 700 * (number % 5)) for number, each in enumerate(STEADY)]
    assert judge_live(wavering, 500) == []


def test_what_comes_before_the_page_has_settled_is_not_judged() -> None:
    early = [replace(each, heap_mb=0.1, age_seconds=60.0) if each.seconds < SETTLE_SECONDS else each for each in STEADY]
    assert judge_live(early, 500) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heap_mb": 2.1}, "heap_mb grew from 1.7 to 2.1"),
        ({"nodes": 5_000}, "nodes grew"),
        ({"browser_mb": 240.0}, "browser_mb grew"),
        ({"console_mb": 170.0}, "console_mb grew"),
        ({"shown": 300}, "300 decisions a second were shown of 500"),
        ({"age_seconds": 9.0}, "the newest decision was 9 s old"),
        ({"rows": 201}, "201 rows were shown"),
    ],
)
def test_what_grows_comes_late_or_is_not_shown_is_said(changes: dict[str, Any], said: str) -> None:
    (wrong,) = judge_live(change(SETTLE_SECONDS + 100, **changes), 500)
    assert said in wrong


def test_a_page_that_can_be_used_late_is_named_and_that_of_thresholds_may_take_longer() -> None:
    assert judge_pages({"queue": 0.4, "thresholds": 5.9}) == []
    assert judge_pages({"queue": 1.2, "thresholds": 6.1}) == ["queue: 1.20 s", "thresholds: 6.10 s"]
