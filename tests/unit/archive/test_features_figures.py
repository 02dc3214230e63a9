"""What two versions of a feature differ by is what plain Python counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.archive.features.figures import QUANTILES, Column, compare, compute_psi

VALUES = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60)


def _column(values: list[float | None]) -> Column:
    return np.array([math.nan if value is None else value for value in values], np.float32)


@given(PAIRS)
def test_shares_and_differences_are_those_counted_row_by_row(pairs: list[tuple[float | None, float | None]]) -> None:
    found = compare(_column([old for old, _ in pairs]), _column([new for _, new in pairs]))
    assert found.equal == pytest.approx(sum(old == new for old, new in pairs) / len(pairs))
    assert found.missing[0] == pytest.approx(sum(old is None for old, _ in pairs) / len(pairs))
    assert found.missing[1] == pytest.approx(sum(new is None for _, new in pairs) / len(pairs))
    apart = sorted(abs(new - old) for old, new in pairs if old is not None and new is not None)
    assert (found.differences == ()) == (not apart)
    if apart:
        assert found.differences[QUANTILES.index(1.0)] == apart[-1]
    assert found.is_same == all(old == new for old, new in pairs)


def test_no_rows_say_nothing() -> None:
    found = compare(_column([]), _column([]))
    assert (found.differences, found.psi, found.is_same) == ((), None, True)


def test_psi_is_nothing_for_the_same_values_in_another_order_and_grows_with_the_shift() -> None:
    values = np.random.default_rng(3).normal(size=5_000).astype(np.float32)
    shuffled = values[::-1].copy()
    shifts = [compute_psi(values, values + np.float32(shift)) for shift in (0.1, 0.5, 2.0)]
    assert compute_psi(values, shuffled) == 0.0
    assert 0 < shifts[0] < 0.1 < shifts[1] < shifts[2]


def test_psi_sees_values_that_went_missing() -> None:
    values = np.arange(1_000, dtype=np.float32)
    fewer = np.where(values % 2 == 0, values, np.float32(np.nan)).astype(np.float32)
    assert compute_psi(values, fewer) > 0.25
    assert compute_psi(fewer, fewer) == 0.0
