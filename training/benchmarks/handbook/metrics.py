"""AUC ROC, average precision and card precision at 100, as the Handbook defines them."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from weir.training.benchmarks.handbook.simulator import Floats, Ints

CARDS_A_DAY: Final = 100
"""So many cards can be looked at in a day."""


@dataclass(frozen=True)
class Figures:
    """How well scores order a test's payments."""

    auc: float
    average_precision: float
    card_precision: float


def measure(fraud: npt.NDArray[np.int8], scores: Floats, customer: Ints, day: Ints) -> Figures:
    """Return the figures of one test.

    Args:
        fraud: 0 or 1, shape (n,).
        scores: higher is more suspicious.
        customer: whose card paid.
        day: of the payment.
    """
    auc, precision = roc_auc_score(fraud, scores), average_precision_score(fraud, scores)
    return Figures(float(auc), float(precision), compute_card_precision(fraud, scores, customer, day))


def compute_card_precision(
    fraud: npt.NDArray[np.int8], scores: Floats, customer: Ints, day: Ints, top: int = CARDS_A_DAY
) -> float:
    """Return the share of compromised cards among those looked at, the mean over days.

    A card's score of a day is its largest, and it is compromised if any payment of it is fraud. A compromised card
    that was looked at is blocked: it is left out on later days. Of equal scores the smaller customer goes first.
    """
    blocked: set[int] = set()
    shares = []
    for each in np.unique(day):
        rows = np.flatnonzero(day == each)
        rows = rows[~np.isin(customer[rows], list(blocked))]
        cards, of = np.unique(customer[rows], return_inverse=True)
        score, compromised = np.full(len(cards), -np.inf), np.zeros(len(cards), np.int8)
        np.maximum.at(score, of, scores[rows])
        np.maximum.at(compromised, of, fraud[rows])
        looked_at = np.argsort(-score, kind="stable")[:top]
        found = cards[looked_at[compromised[looked_at] == 1]]
        shares.append(len(found) / top)
        blocked.update(found.tolist())
    return float(np.mean(shares))


def average(figures: list[Figures]) -> tuple[Figures, Figures]:
    """Return the mean and the standard deviation of several tests' figures."""
    table = np.array([astuple(each) for each in figures])
    return Figures(*table.mean(axis=0).tolist()), Figures(*table.std(axis=0).tolist())
