"""Fits what a score is worth on rows that did not teach the model.

The map is the beta calibration (Kull, Silva Filho and Flach, 2017): log-odds of the label are ``a ln s - b ln(1 - s) +
c`` with ``a`` and ``b`` at least 0. It never falls, it needs few frauds, and a score that is a probability already
stays as it is (1, 1, 0). It is stored at knots that are evenly spaced in log-odds, because ``Calibration`` is linear
between them.

The edges of the prediction set are conformal by class: of a class, one row in ten is beyond its edge, counted so that
the promise holds for a sample of any size. They are scores, so that ties in the map cost nothing.

That count takes rows for independent, and rows of one key are not: a stolen card is used several times in a row. What
is to come is another key, so each key is left out in turn and held against the edge of the others, as the jackknife+
does it with rows (Barber, Candès, Ramdas and Tibshirani, 2021), the key being what is exchangeable (Dunn, Wasserman and
Ramdas, 2022). The edge is the farthest at which at most one in ten of the rows so left out is beyond, and never farther
than the count of rows has it. Where each row has a key of its own, both are the same.

Of few keys nothing can be told: of ``n`` of them and one more, the edge is that of the ``ceil((n + 1) * 0.9)``-th, and
with fewer than nine there is none so far out. Such a class has no edge, and is in every set.

**Cost:** a regression of two columns; of each class a few sorts, and a comparison of its rows for each step of a
bisection.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from weir.inference.core.calibration import COVERAGE, Calibration
from weir.training.models import Labels, Scores

OF_A_CLASS_MIN: Final = 10
"""Fewer rows of a class have no edge that one in ten of them is beyond."""
KEYS_MIN: Final = math.ceil(1 / (1 - COVERAGE) - 1e-9) - 1
"""Fewer keys of a class have no edge: ``ceil((n + 1) * COVERAGE) > n``."""
_KNOTS: Final = 64
_LEAST: Final = 1e-7
"""Log-odds of 0 and 1 are infinite; float32 has steps of 6e-8 below 1."""
_PENALTY: Final = 1e6
"""So weak that nothing is drawn to 0; without any, frauds that are all above the rest have no fit."""


def fit_calibration(
    positive: Labels,
    scores: Scores,
    keys: npt.NDArray[np.int64] | None = None,
    weights: npt.NDArray[np.float64] | None = None,
) -> Calibration | None:
    """Return what scores are worth; None where a class has fewer than ``OF_A_CLASS_MIN`` rows.

    Args:
        positive: 0 or 1, shape (n,).
        scores: of those rows, in [0, 1], shape (n,).
        keys: a number for each key, shape (n,): rows of one are alike; by default each row has its own.
        weights: how many events each row stands for, shape (n,), for the map; the edges count rows.
    """
    served = scores.astype(np.float32).astype(np.float64)  # as the graph gives them
    numbers = np.arange(len(served)) if keys is None else keys
    is_true = positive == 1
    if min(int(is_true.sum()), int((~is_true).sum())) < OF_A_CLASS_MIN:
        return None
    knots = _place_knots(served)
    beta = _fit_beta(positive, served, weights)
    probabilities = np.maximum.accumulate(_apply(knots, beta))  # rounding must not make it fall
    return Calibration(
        version=1,
        scores=tuple(knots.tolist()),
        probabilities=tuple(probabilities.tolist()),
        positive_from=max(0.0, _find_edge(served[is_true], numbers[is_true])),
        negative_to=min(1.0, -_find_edge(-served[~is_true], numbers[~is_true])),
    )


def _find_edge(scores: Scores, keys: npt.NDArray[np.int64]) -> float:
    """Return the edge of a class that is wrong where its scores are small.

    Minus infinity where there is none: the keys are too few, or one row beyond is too many.

    >>> _find_edge(np.arange(99.0), np.arange(99))
    9.0
    """
    if len(np.unique(keys)) < KEYS_MIN:
        return -np.inf
    rows, missed_max = len(scores), len(scores) * (1 - COVERAGE) + 1e-9
    others, of_others = _count_others(scores, keys)

    def is_far(place: int) -> bool:
        """Say whether too many rows of keys that are left out are beyond the edge of the others."""
        places = np.floor(place * (of_others + 1) / (rows + 1) + 1e-9)
        return int(np.count_nonzero(others < places)) > missed_max

    near, far = 0, int((rows + 1) * (1 - COVERAGE) + 1e-9)
    while near < far:
        middle = (near + far + 1) // 2
        near, far = (near, middle - 1) if is_far(middle) else (middle, far)
    return float(np.sort(scores)[near - 1]) if near else -np.inf


def _count_others(scores: Scores, keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return per row how many rows of other keys score no more than it, and how many there are.

    >>> [each.tolist() for each in _count_others(np.array([0.1, 0.2, 0.2]), np.array([7, 7, 8]))]
    [[0, 1, 2], [1, 1, 2]]
    """
    _, rank = np.unique(scores, return_inverse=True)
    _, key, of_key = np.unique(keys, return_inverse=True, return_counts=True)
    within = key * len(scores) + rank
    first = np.cumsum(of_key) - of_key
    own = np.searchsorted(np.sort(within), within, side="right") - first[key]
    return np.searchsorted(np.sort(rank), rank, side="right") - own, len(scores) - of_key[key]


def _place_knots(served: Scores) -> Scores:
    inside = np.clip(served, _LEAST, 1 - _LEAST)
    low, high = (float(np.log(each / (1 - each))) for each in (inside.min(), inside.max()))
    between = 1 / (1 + np.exp(-np.linspace(low, high, _KNOTS)))
    knots: Scores = np.unique(np.concatenate([[0.0], between, [1.0]]))
    return knots


def _fit_beta(positive: Labels, served: Scores, of_rows: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    """Return ``a``, ``b`` and ``c``; what would be negative is 0, and the others are fitted without it."""
    columns, kept = _expand(served), [0, 1]
    while kept:
        regression = LogisticRegression(C=_PENALTY, solver="newton-cholesky", max_iter=200)
        regression.fit(columns[:, kept], positive, sample_weight=of_rows)
        found = regression.coef_[0]
        if (found >= 0).all():
            weights = np.zeros(3)
            weights[[*kept, 2]] = [*found, regression.intercept_[0]]
            return weights
        del kept[int(np.argmin(found))]
    share = np.average(positive, weights=of_rows)
    return np.array([0.0, 0.0, np.log(share / (1 - share))])


def _apply(scores: Scores, weights: npt.NDArray[np.float64]) -> Scores:
    odds = _expand(scores) @ weights[:2] + weights[2]
    found: Scores = 1 / (1 + np.exp(np.minimum(-odds, 700.0)))  # classes that are apart have odds that overflow
    return found


def _expand(scores: Scores) -> npt.NDArray[np.float64]:
    inside = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.stack([np.log(inside), -np.log1p(-inside)], axis=1)
