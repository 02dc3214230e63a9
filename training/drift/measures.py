"""How far two histograms differ, and how likely that is by chance. Pure.

- Effect: the population stability index, ``sum((p - q) * ln(p / q))`` (Siddiqi, *Credit Risk Scorecards*, 2006), over
  all bins, the missing one too, with half a row added to each. Of two samples of one population it is about
  ``(bins - 1) * (1/n + 1/m)`` (Yurdakul, *Statistical Properties of Population Stability Index*, 2018), which
  ``expect_by_chance`` returns.
- Chance: the test of Kolmogorov and Smirnov on the present values, on the edges of the bins alone, which makes its
  p-value larger and never smaller; and the test of two shares on how many are missing. The smaller p-value of the two
  counts, doubled.
- Many columns: the step-up procedure of Benjamini and Hochberg (1995).

Rows of one key are no independent draws: a card's windows move slowly. So ``n`` and ``m`` are numbers of keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogorov, ndtr

from weir.training.drift.histograms import Counts


def compute_psi(expected: Counts, found: Counts) -> float:
    """Return the population stability index of two histograms with the same bins.

    >>> round(compute_psi(np.array([500, 500]), np.array([740, 260])), 2)
    0.25
    """
    p, q = _smooth(expected), _smooth(found)
    return float(np.sum((q - p) * np.log(q / p)))


def compute_psi_variance(expected: Counts, found: Counts, keys: int) -> float:
    """Return the variance of the index of so many keys against a fixed histogram, by the delta method.

    >>> round(compute_psi_variance(np.array([500, 500]), np.array([740, 260]), 1_000) ** 0.5, 3)
    0.032
    """
    p, q = _smooth(expected), _smooth(found)
    slope = np.log(q / p) + 1 - p / q
    return float(np.sum(q * slope**2) - np.sum(q * slope) ** 2) / max(1, keys)


def _smooth(counts: Counts) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def expect_by_chance(expected: Counts, keys: tuple[int, int]) -> float:
    """Return about what the index is of two samples of one population, with so many keys each."""
    bins = int(np.count_nonzero(expected))
    return max(0, bins - 1) * (1 / max(1, keys[0]) + 1 / max(1, keys[1]))


def compute_ks(expected: Counts, found: Counts) -> float:
    """Return the largest difference of the cumulative shares of present values; 0 where one side has none."""
    present = [each[:-1] for each in (expected, found)]
    if not all(each.sum() for each in present):
        return 0.0
    p, q = (np.cumsum(each) / each.sum() for each in present)
    return float(np.abs(p - q).max())


def compute_p_value(expected: Counts, found: Counts, keys: tuple[int, int]) -> float:
    """Return how likely two samples of one population differ so much, in values or in missing ones."""
    missing = share_missing(expected), share_missing(found)
    n, m = (count * (1 - share) for count, share in zip(keys, missing, strict=True))
    distance = compute_ks(expected, found)
    of_values = float(kolmogorov(distance * math.sqrt(_harmonic(n, m)))) if n and m else 1.0
    return min(1.0, 2 * min(of_values, _compare_shares(missing, keys)))


def share_missing(counts: Counts) -> float:
    """Return the share of missing values; 0 of no rows."""
    return float(counts[-1] / max(1, counts.sum()))


def adjust(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the adjusted p-values of Benjamini and Hochberg, in the order that was given.

    >>> adjust([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(-values)
    ranks = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum.accumulate(values[order] * len(values) / ranks)
    return np.minimum(1.0, adjusted)


def _harmonic(n: float, m: float) -> float:
    return n * m / (n + m)


def _compare_shares(shares: tuple[float, float], keys: tuple[int, int]) -> float:
    """Return the p-value of the two-sided test of two shares."""
    (first, second), (n, m) = shares, keys
    pooled = (first * n + second * m) / max(1, n + m)
    if first == second or not 0 < pooled < 1:
        return 1.0
    z = abs(first - second) / math.sqrt(pooled * (1 - pooled) / _harmonic(n, m))
    return float(2 * ndtr(-z))
