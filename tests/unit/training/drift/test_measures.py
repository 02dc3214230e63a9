"""The measures of drift, against plain recomputations and the library's own tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from weir.training.drift.histograms import Histograms, compute_edges, count_values
from weir.training.drift.measures import adjust, compute_ks, compute_p_value, compute_psi, expect_by_chance

RNG = np.random.default_rng(20_261_126)


def _columns() -> list[np.ndarray]:
    normal = RNG.normal(size=5_000).astype(np.float32)
    with_missing = np.where(RNG.random(5_000) < 0.3, np.nan, normal).astype(np.float32)
    few_values = RNG.integers(0, 3, 5_000).astype(np.float32)
    return [normal, with_missing, few_values, np.zeros(5_000, np.float32), np.full(5_000, np.nan, np.float32)]


def test_rows_that_are_counted_in_parts_are_counted_as_all_at_once() -> None:
    columns = _columns()
    edges = [compute_edges(column) for column in columns]
    whole, parts = Histograms(edges), Histograms(edges)
    keys = [f"card-{n % 70}" for n in range(5_000)]
    whole.add(columns, keys)
    for begin in range(0, 5_000, 777):
        rows = slice(begin, begin + 777)
        parts.add([column[rows] for column in columns], keys[rows])
    assert (parts.rows, parts.keys) == (whole.rows, whole.keys) == (5_000, 70)
    for ours, theirs in zip(parts.counts, whole.counts, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.sum() == 5_000


def test_each_value_is_in_the_bin_of_the_first_edge_that_is_not_below_it() -> None:
    for column in _columns():
        edges = compute_edges(column)
        expected = [0] * (len(edges) + 2)
        for value in column.tolist():
            if math.isnan(value):
                expected[-1] += 1
            else:
                expected[sum(edge < value for edge in edges.tolist())] += 1
        assert count_values(edges, column).tolist() == expected
        assert expected[0] == expected[-2] == 0  # nothing of the reference lies outside of it


def test_what_was_never_seen_has_bins_of_its_own() -> None:
    edges = compute_edges(np.array([1, 2, 3], np.float32))
    assert count_values(edges, np.array([0.5, 3.5, np.inf, -np.inf], np.float32))[[0, -2]].tolist() == [2, 2]


def test_the_index_is_its_sum_over_bins() -> None:
    for _ in range(50):
        p, q = RNG.integers(0, 500, (2, 12))
        bins = list(zip(p.tolist(), q.tolist(), strict=True))
        total_p, total_q = (sum(side) + 6 for side in zip(*bins, strict=True))
        shares = [((a + 0.5) / total_p, (b + 0.5) / total_q) for a, b in bins]
        assert compute_psi(p, q) == pytest.approx(sum((b - a) * math.log(b / a) for a, b in shares))


def test_the_distance_is_that_of_kolmogorov_and_smirnov_on_binned_values() -> None:
    first, second = RNG.normal(size=3_000), RNG.normal(0.2, size=2_000)
    edges = compute_edges(first)
    binned = [np.searchsorted(edges, values.astype(np.float32)) for values in (first, second)]
    counts = [count_values(edges, values) for values in (first, second)]
    assert compute_ks(*counts) == pytest.approx(stats.ks_2samp(*binned).statistic)


def test_p_values_are_adjusted_as_benjamini_and_hochberg_do() -> None:
    values = RNG.random(84) ** 3
    np.testing.assert_allclose(adjust(values.tolist()), stats.false_discovery_control(values))


def test_two_samples_of_one_population_differ_about_as_chance_says_and_their_p_values_are_not_too_small() -> None:
    edges = compute_edges(RNG.normal(size=20_000))
    found, p_values = [], []
    for _ in range(400):
        counts = [count_values(edges, RNG.normal(size=size)) for size in (4_000, 500)]
        found.append(compute_psi(*counts) / expect_by_chance(counts[0], (4_000, 500)))
        p_values.append(compute_p_value(counts[0], counts[1], (4_000, 500)))
    assert 0.8 < np.mean(found) < 1.3  # values beyond the reference's ends come on top
    assert np.mean(np.array(p_values) < 0.05) <= 0.05


def test_values_that_go_missing_are_seen_though_the_others_stay_as_they_are() -> None:
    before = RNG.normal(size=5_000)
    after = np.where(RNG.random(5_000) < 0.2, np.nan, before)
    edges = compute_edges(before)
    counts = [count_values(edges, values) for values in (before, after)]
    assert compute_ks(*counts) < 0.02
    assert compute_p_value(counts[0], counts[1], (1_000, 1_000)) < 1e-6
