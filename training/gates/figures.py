"""How good a model is on labelled rows, and how far two models differ beyond the noise of those rows. Pure.

Noise is by the paired bootstrap: rows are drawn again with replacement, the same draw for both models, and the figure
of each draw is the difference. A draw is how often each row is in it, so it is one pass over sorted scores.

**Cost:** one sort per model, and two passes per draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weir.training.evaluate import compute_metrics
from weir.training.thresholds import Thresholds

DRAWS = 400
"""The ends of a 95 % interval are then the tenth smallest and largest of them."""
SEED = 20_260_101
BINS = 10
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Interval:
    """A figure or a difference, and where 95 % of its draws lie."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


def compute_figures(
    positive: Labels, scores: Floats, thresholds: Thresholds, probabilities: Floats | None = None
) -> dict[str, float]:
    """Return the figures of one model.

    Args:
        positive: 0 or 1, shape (n,).
        scores: P(fraud), shape (n,).
        thresholds: by which it decides.
        probabilities: what the scores are worth, shape (n,); by default the scores.

    Raises:
        WeirError: there is no fraud, or nothing else.
    """
    legitimate, said = scores[positive == 0], scores if probabilities is None else probabilities
    return compute_metrics(positive, scores) | {
        "brier": float(np.mean((said - positive) ** 2)),
        "ece": compute_ece(positive, said),
        "fpr_review": float(np.mean(legitimate >= thresholds.review)),
        "fpr_decline": float(np.mean(legitimate >= thresholds.decline)),
    }


def compute_ece(positive: Labels, scores: Floats, weights: Floats | None = None) -> float:
    """Return the expected calibration error over bins of equal count; weighted rows count as so many.

    >>> compute_ece(np.array([0, 1] * 50, np.int8), np.full(100, 0.5))
    0.0
    """
    order = np.argsort(scores, kind="stable")
    counts = np.ones(len(scores)) if weights is None else weights
    bins = [each for each in np.array_split(order, BINS) if len(each)]
    gaps = [abs(np.sum(counts[each] * scores[each]) - np.sum(counts[each] * positive[each])) for each in bins]
    return float(sum(gaps) / counts.sum())


def compare_pr_auc(positive: Labels, ours: Floats, theirs: Floats) -> Interval:
    """Return by how much the PR-AUC of one model is above that of another."""
    first, second = _build_pr_auc(positive, ours), _build_pr_auc(positive, theirs)
    return _draw(len(positive), lambda weights: first(weights) - second(weights))


def estimate_pr_auc(positive: Labels, scores: Floats) -> Interval:
    """Return the PR-AUC of one model."""
    return _draw(len(positive), _build_pr_auc(positive, scores))


def compare_means(ours: Floats, theirs: Floats) -> Interval:
    """Return by how much the mean of one value per row is above another's."""
    difference = ours - theirs
    # no product of BLAS: where the machine is busy it waits for its own threads
    return _draw(len(difference), lambda weights: float(np.sum(weights * difference) / len(difference)))


def _draw(rows: int, compute: Callable[[Floats], float]) -> Interval:
    random = np.random.default_rng(SEED)
    draws = [compute(_count(random.integers(0, rows, rows), rows)) for _ in range(DRAWS)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Interval(compute(np.ones(rows)), float(low), float(high))


def _count(drawn: npt.NDArray[np.int64], rows: int) -> Floats:
    return np.bincount(drawn, minlength=rows).astype(np.float64)


def _build_pr_auc(positive: Labels, scores: Floats) -> Callable[[Floats], float]:
    """Return what computes the average precision under weights; tied scores are one step."""
    order = np.argsort(-scores, kind="stable")
    ranked, fraud = scores[order], positive[order].astype(np.float64)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def compute(weights: Floats) -> float:
        given = weights[order]
        hits: Any = np.cumsum(given * fraud)[ends]
        taken: Any = np.cumsum(given)[ends]
        if not hits[-1]:
            return float("nan")
        precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])

    return compute
