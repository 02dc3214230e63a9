"""What counts as a measurement, and how rounds become figures and verdicts."""

from __future__ import annotations

import pytest

from tests.bench.figures import (
    NothingMeasured,
    Sample,
    Target,
    judge,
    medians,
    percentile,
    rate,
    values_of,
    visible_rate,
)

ROUNDS = [
    {"ours": 100.0, "theirs": 50.0},
    {"ours": 90.0, "theirs": 10.0},
    {"ours": 120.0, "theirs": 40.0},
]


@pytest.mark.parametrize(("value", "events"), [(10.0, 0), (0.0, 10), (-1.0, 10), (float("nan"), 10)])
def test_a_figure_that_rests_on_nothing_is_a_failure(value: float, events: int) -> None:
    with pytest.raises(NothingMeasured, match="ours"):
        Sample("ours", value, events)


def test_a_rate_leaves_the_first_batch_out() -> None:
    # append times, ms:  0 0 0 0 | 100 100 | 200 200   the first four were worked on before time 0
    assert rate([0, 0, 0, 0, 100, 100, 200, 200]) == pytest.approx(20.0)


def test_a_rate_does_not_depend_on_the_order_in_which_partitions_were_read() -> None:
    assert rate([200, 0, 100, 0, 200, 100]) == rate([0, 0, 100, 100, 200, 200])


@pytest.mark.parametrize("times", [[], [5.0], [5.0, 5.0]])
def test_no_rate_comes_of_nothing_or_of_one_batch(times: list[float]) -> None:
    with pytest.raises(NothingMeasured):
        rate(times)


def test_what_becomes_visible_at_a_commit_is_measured_over_whole_commits() -> None:
    #    seconds   0    1    2 ..   5      6        10      11  12
    #    visible   0    0    0     500    500      1,000  1,000 ...
    seen = [(0.0, 0), (1.0, 0), (2.0, 0), (5.0, 500), (6.0, 500), (10.0, 1_000), (11.0, 1_000), (12.0, 1_000)]
    assert visible_rate(seen) == 100.0


@pytest.mark.parametrize("seen", [[], [(0.0, 0)], [(0.0, 0), (1.0, 5)], [(0.0, 0), (1.0, 5), (2.0, 5)]])
def test_no_rate_comes_of_one_commit(seen: list[tuple[float, int]]) -> None:
    with pytest.raises(NothingMeasured):
        visible_rate(seen)


def test_a_contender_that_lost_or_doubled_a_record_has_no_rate() -> None:
    with pytest.raises(NothingMeasured, match="expected 3 outputs, found 4"):
        rate([0, 1, 2, 3], expected=3)


@pytest.mark.parametrize(("percent", "found"), [(0, 1.0), (50, 5.0), (90, 9.0), (99, 10.0), (99.9, 10.0), (100, 10.0)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, found: float) -> None:
    assert percentile([float(value) for value in (7, 3, 10, 1, 9, 2, 8, 4, 6, 5)], percent) == found


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(NothingMeasured):
        percentile([], 99)


def test_a_ratio_is_taken_within_each_round_and_not_of_the_medians() -> None:
    target = Target("ratio", "ours", 3.0, over="theirs")
    assert values_of(ROUNDS, target) == [2.0, 9.0, 3.0]
    assert judge([target], ROUNDS)[0].median == 3.0  # the medians' ratio would be 2.5
    assert judge([target], ROUNDS)[0].met is True


def test_a_round_in_which_one_of_the_two_failed_is_left_out_of_the_ratio_alone() -> None:
    rounds = [*ROUNDS, {"ours": 500.0}]
    assert values_of(rounds, Target("ratio", "ours", None, over="theirs")) == [2.0, 9.0, 3.0]
    assert values_of(rounds, Target("rate", "ours", None)) == [100.0, 90.0, 120.0, 500.0]


def test_medians_are_taken_over_the_rounds_that_have_the_key() -> None:
    assert medians([{"a": 3.0}, {"a": 1.0, "b": 7.0}, {"a": 2.0}]) == {"a": 2.0, "b": 7.0}


@pytest.mark.parametrize(
    ("bound", "at_most", "met"), [(100, False, True), (101, False, False), (100, True, True), (99, True, False)]
)
def test_a_target_is_met_at_its_bound_and_on_its_side(bound: float, at_most: bool, met: bool) -> None:
    assert judge([Target("rate", "ours", bound, at_most=at_most)], ROUNDS)[0].met is met


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    verdict = judge([Target("rate", "nobody", 1.0)], ROUNDS)[0]
    assert (verdict.median, verdict.met) == (None, None)
