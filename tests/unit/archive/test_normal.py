"""A value against earlier ones, held against the standard library's own percentiles."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest

from weir.archive.around.normal import TOO_FEW, Compared, compare


def describe_naively(value: float, earlier: list[float]) -> tuple[float, float, float, float]:
    """Return low, median, high and the share below by counting one by one."""
    cuts = statistics.quantiles(earlier, n=20, method="inclusive")
    below = 0.0
    for each in earlier:
        below += 1.0 if each < value else 0.5 if each == value else 0.0
    return cuts[0], statistics.median(earlier), cuts[-1], below / len(earlier)


@pytest.mark.parametrize("seed", range(40))
def test_percentiles_and_the_share_below_are_those_of_counting(seed: int) -> None:
    dice = random.Random(seed)
    earlier = [dice.choice([dice.gauss(50, 9), float(dice.randrange(5))]) for _ in range(dice.randrange(TOO_FEW, 90))]
    value = dice.choice([*earlier, -3.0, 1_000.0])
    holes = [*earlier, *[math.nan] * dice.randrange(4)]
    dice.shuffle(holes)
    found = compare(value, np.array(holes))
    assert found.count == len(earlier)
    assert (found.low, found.median, found.high, found.share_below) == pytest.approx(describe_naively(value, earlier))


def test_of_too_few_values_nothing_is_said() -> None:
    values = np.arange(TOO_FEW - 1.0)
    assert compare(1.0, values) == Compared(TOO_FEW - 1)
    assert compare(1.0, np.append(values, math.nan)) == Compared(TOO_FEW - 1)
    assert compare(1.0, np.append(values, 5.0)).share_below is not None


def test_a_missing_value_has_a_normal_and_no_place_in_it() -> None:
    found = compare(None, np.arange(30.0))
    assert (found.median, found.share_below, found.unusual) == (14.5, None, (-1.0, 0.0))
    assert compare(math.nan, np.arange(30.0)) == found


def test_the_most_unusual_is_the_one_furthest_out_and_the_middle_is_last() -> None:
    earlier = np.arange(100.0)
    places = {value: compare(value, earlier).unusual for value in (50.0, 90.0, -1.0, 500.0, 5_000.0)}
    assert sorted(places, key=lambda value: places[value], reverse=True) == [5_000.0, 500.0, -1.0, 90.0, 50.0]


def test_a_value_that_never_changed_is_ordinary_and_any_other_is_not() -> None:
    never = np.full(30, 4.0)
    assert compare(4.0, never).unusual == (0.0, 0.0)
    assert compare(8.0, never).unusual == (1.0, 1.0)
    assert compare(3.0, np.zeros(30)).unusual == (1.0, 3.0)
