"""How far scores and probabilities are from what came true, and how often prediction sets hold the label. Pure.

The expected calibration error is over ten bins of equal count, as the gates have it. The Brier score is taken apart in
the same bins (Murphy, 1973): reliability minus resolution plus uncertainty, and what differs within a bin.

A coverage's interval is Wilson's, of the rows that judge, divided by how many of them say as much as one: rows of one
key are alike, and a hundred frauds may be of twenty stolen cards. That the edges come from a sample too is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.calibration import SETS, Calibration
from weir.training.gates.figures import BINS, compute_ece
from weir.training.models import Labels, Scores

_Z: Final = 1.959964
"""95 % of a normal distribution are within."""
CLASSES: Final = ("negative", "positive")


@dataclass(frozen=True)
class Share:
    """A share of rows, and its 95 % interval."""

    value: float
    low: float
    high: float


def measure_calibration(
    positive: Labels,
    scores: Scores,
    calibration: Calibration | None,
    keys: npt.NDArray[np.int64] | None = None,
    weights: Scores | None = None,
) -> dict[str, float]:
    """Return the figures of one interval: of the scores, and next to them of the probabilities where there is a map.

    Args:
        positive: 0 or 1, shape (n,).
        scores: of the model, shape (n,).
        calibration: fitted on other rows.
        keys: a number for each key, shape (n,); by default each row has its own.
        weights: how many events each row stands for, shape (n,); coverage and shares of sets count rows.
    """
    counts = np.ones(len(scores)) if weights is None else weights
    figures = {"score_mean": _mean(scores, counts), "fraud_share": _mean(positive, counts)}
    figures |= _measure(positive, scores, counts)
    if calibration is None:
        return figures
    served = scores.astype(np.float32)
    probabilities = calibration.compute_probabilities(served)
    figures["probability_mean"] = _mean(probabilities, counts)
    figures |= {f"calibrated_{name}": value for name, value in _measure(positive, probabilities, counts).items()}
    sets = calibration.compute_sets(served)
    for name, share in measure_coverage(positive, sets, keys).items():
        figures |= {
            f"coverage_{name}": share.value,
            f"coverage_{name}_low": share.low,
            f"coverage_{name}_high": share.high,
        }
    return figures | {f"set_{name.lower()}_share": float((sets == place).mean()) for place, name in enumerate(SETS)}


def measure_coverage(
    positive: Labels, sets: npt.NDArray[np.int8], keys: npt.NDArray[np.int64] | None = None
) -> dict[str, Share]:
    """Return of each class how many rows have it in their prediction set; rows of one key are alike."""
    found, numbers = {}, np.arange(len(positive)) if keys is None else keys
    for truth, name in enumerate(CLASSES):
        of_class = sets[positive == truth]
        held = of_class & SETS.index(name.upper()) > 0
        alike = count_alike(held, numbers[positive == truth])
        found[name] = compute_share(int(held.sum()), len(of_class), alike)
    return found


def count_alike(held: npt.NDArray[np.bool_], keys: npt.NDArray[np.int64]) -> float:
    """Return how many rows say as much of a share as one of rows that are independent: its design effect, at least 1.

    >>> round(count_alike(np.array([True, True, False, False] * 50), np.repeat(np.arange(100), 2)), 2)
    2.02
    """
    _, key, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    rows, of_keys = len(held), len(sizes)
    share = float(held.mean()) if rows else 0.0
    if of_keys < 2 or share in {0.0, 1.0}:  # nothing is seen of how alike they are
        return float((sizes**2).sum() / rows) if rows else 1.0
    off = np.bincount(key, held - share)
    return max(1.0, of_keys / (of_keys - 1) * float(off @ off) / (rows * share * (1 - share)))


def compute_share(held: int, rows: int, alike: float = 1.0) -> Share:
    """Return a share with Wilson's interval; ``alike`` rows say as much as one.

    >>> compute_share(9, 10).value, round(compute_share(9, 10).low, 3), round(compute_share(9, 10).high, 3)
    (0.9, 0.596, 0.982)
    """
    if not rows:
        return Share(0.0, 0.0, 1.0)
    counted = rows / alike
    share, more = held / rows, _Z * _Z / counted
    middle = (share + more / 2) / (1 + more)
    half = _Z * float(np.sqrt(share * (1 - share) / counted + more / (4 * counted))) / (1 + more)
    # of none and of all the end is the share itself, which rounding may miss
    return Share(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def take_brier_apart(positive: Labels, probabilities: Scores, weights: Scores | None = None) -> dict[str, float]:
    """Return reliability, resolution, uncertainty, and what is left: how probabilities differ within their bins."""
    order = np.argsort(probabilities, kind="stable")
    bins = [each for each in np.array_split(order, BINS) if len(each)]
    counts = np.ones(len(order)) if weights is None else weights
    of_bins = np.array([counts[each].sum() for each in bins]) / counts.sum()
    said = np.array([_mean(probabilities[each], counts[each]) for each in bins])
    came = np.array([_mean(positive[each], counts[each]) for each in bins])
    share = _mean(positive, counts)
    reliability = float(of_bins @ (said - came) ** 2)
    resolution = float(of_bins @ (came - share) ** 2)
    uncertainty = share * (1 - share)
    brier = _mean((probabilities - positive) ** 2, counts)
    within = brier - (reliability - resolution + uncertainty)
    return {"reliability": reliability, "resolution": resolution, "uncertainty": uncertainty, "within_bins": within}


def _measure(positive: Labels, probabilities: Scores, counts: Scores) -> dict[str, float]:
    apart = take_brier_apart(positive, probabilities, counts)
    parts = {f"brier_{name}": value for name, value in apart.items()}
    brier = _mean((probabilities - positive) ** 2, counts)
    return {"brier": brier, **parts, "ece": compute_ece(positive, probabilities, counts)}


def _mean(values: npt.NDArray[Any], counts: Scores) -> float:
    return float(np.sum(counts * values) / np.sum(counts))
