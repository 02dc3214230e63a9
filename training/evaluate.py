"""How well scores order transactions, in figures that mean something when fraud is under one percent.

ROC-AUC flatters at that share, so it is next to PR-AUC and the recall at false-positive rates that a fraud team
can afford. Tied scores are never split in the model's favour: a threshold takes all of a tie or none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from weir.schemas.errors import WeirError

FALSE_POSITIVE_RATES = (0.001, 0.005, 0.01)


def compute_metrics(
    positive: npt.NDArray[np.int8], scores: npt.NDArray[np.float64], weights: npt.NDArray[np.float64] | None = None
) -> dict[str, float]:
    """Return the figures of one model on one interval.

    Args:
        positive: 0 or 1, shape (n,).
        scores: higher is more suspicious, shape (n,).
        weights: how many events each row stands for, shape (n,); None where all stand for themselves alone.

    Raises:
        WeirError: the interval has no fraud or nothing but fraud, so no figure would mean anything.
    """
    frauds = int(positive.sum())
    if frauds in {0, len(positive)}:
        raise WeirError(f"evaluation: expected fraud and legitimate rows, found {frauds} fraud of {len(positive)} rows")
    metrics = {
        "pr_auc": float(average_precision_score(positive, scores, sample_weight=weights)),
        "roc_auc": float(roc_auc_score(positive, scores, sample_weight=weights)),
    }
    for rate in FALSE_POSITIVE_RATES:
        metrics[recall_name(rate)] = recall_at_fpr(positive, scores, rate, weights)
    return metrics


def recall_name(rate: float) -> str:
    """Return the metric's name for a false-positive rate.

    >>> recall_name(0.005)
    'recall_at_fpr_0.5pct'
    """
    return f"recall_at_fpr_{rate * 100:g}pct"


def recall_at_fpr(
    positive: npt.NDArray[np.int8],
    scores: npt.NDArray[np.float64],
    rate: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Return the largest share of fraud caught while at most ``rate`` of legitimate rows are flagged."""
    false_positive_rate, recall, _ = roc_curve(positive, scores, sample_weight=weights, drop_intermediate=False)
    return float(recall[false_positive_rate <= rate].max())
