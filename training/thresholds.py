"""Chooses the review and decline thresholds that cost least on the validation interval.

With scores sorted from high to low, declining the first ``d`` rows and reviewing those up to ``r >= d`` costs

    sum over i < d of decline_i  +  sum over d <= i < r of review_i  +  sum over i >= r of approve_i

which is a constant plus ``F(d) + G(r)`` with ``F`` and ``G`` prefix sums, so the best pair is found exactly in one
pass (a running minimum of ``F``) over the cuts that flag no more than ``FLAGGED_SHARE_MAX``. Rows of equal score are
kept together.

**Cost:** one sort of the validation interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Costs in base minor units. Round figures for a card issuer, to be replaced by the operator's own.
CHARGEBACK_FEE_MINOR = 1_500
"""What a missed fraud costs on top of its amount: fee and handling."""
REVIEW_COST_MINOR = 300
"""A few minutes of an analyst's time."""
REVIEW_MISS_SHARE = 0.1
"""Share of frauds that an analyst lets through."""
FALSE_DECLINE_FIXED_MINOR = 1_000
"""Goodwill: a call, a customer who pays with another card next time."""
FALSE_DECLINE_SHARE = 0.05
"""Margin lost with the sale."""
FLAGGED_SHARE_MAX = 0.012
"""Analysts are few: no more than this share of payments is declined or reviewed, however cheap a review looks."""
COSTS: dict[str, float] = {
    "chargeback fee": CHARGEBACK_FEE_MINOR,
    "review": REVIEW_COST_MINOR,
    "share of fraud that a review misses": REVIEW_MISS_SHARE,
    "false decline, fixed": FALSE_DECLINE_FIXED_MINOR,
    "false decline, share of the amount": FALSE_DECLINE_SHARE,
}


@dataclass(frozen=True)
class Thresholds:
    """A score at or above ``decline`` is declined, else at or above ``review`` is reviewed, else approved."""

    review: float
    decline: float


@dataclass(frozen=True)
class Costs:
    """What each outcome costs per row, base minor units, float64, shape (n,)."""

    approve: npt.NDArray[np.float64]
    review: npt.NDArray[np.float64]
    decline: npt.NDArray[np.float64]


def compute_costs(is_fraud: npt.NDArray[np.int8], amounts: npt.NDArray[np.float64]) -> Costs:
    """Price the three outcomes of every row.

    Args:
        is_fraud: 0 or 1, shape (n,).
        amounts: base minor units, shape (n,).
    """
    missed = np.where(is_fraud == 1, amounts + CHARGEBACK_FEE_MINOR, 0.0)
    declined = np.where(is_fraud == 1, 0.0, FALSE_DECLINE_FIXED_MINOR + FALSE_DECLINE_SHARE * amounts)
    return Costs(approve=missed, review=REVIEW_COST_MINOR + REVIEW_MISS_SHARE * missed, decline=declined)


def choose_thresholds(
    is_fraud: npt.NDArray[np.int8],
    scores: npt.NDArray[np.float64],
    amounts: npt.NDArray[np.float64],
    *,
    flagged_share_max: float = FLAGGED_SHARE_MAX,
) -> Thresholds:
    """Return the cheapest thresholds within the analysts' capacity, each halfway between two scores of the interval."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    costs = compute_costs(is_fraud[order], amounts[order])
    ends = np.append(0, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1)  # cuts that split no tie
    decline_cost = np.append(0.0, np.cumsum(costs.decline - costs.review))[ends]
    review_cost = np.append(0.0, np.cumsum(costs.review - costs.approve))[ends]
    cheapest_so_far = np.minimum.accumulate(decline_cost)
    within_capacity = max(1, int(np.count_nonzero(ends <= flagged_share_max * len(ranked))))
    best_review = int(np.argmin((cheapest_so_far + review_cost)[:within_capacity]))
    best_decline = int(np.argmin(decline_cost[: best_review + 1]))
    return Thresholds(_between(ranked, int(ends[best_review])), _between(ranked, int(ends[best_decline])))


def compute_outcomes(
    is_fraud: npt.NDArray[np.int8],
    scores: npt.NDArray[np.float64],
    amounts: npt.NDArray[np.float64],
    thresholds: Thresholds,
) -> dict[str, float]:
    """Return what the thresholds would have done on an interval, shares in [0, 1] and costs in base minor units."""
    declined = scores >= thresholds.decline
    flagged = scores >= min(thresholds.review, thresholds.decline)
    reviewed = flagged & ~declined
    costs = compute_costs(is_fraud, amounts)
    paid = np.where(declined, costs.decline, np.where(reviewed, costs.review, costs.approve))
    fraud = is_fraud == 1
    return {
        "decline_share": float(declined.mean()),
        "review_share": float(reviewed.mean()),
        "decline_precision": _share(fraud & declined, declined),
        "flagged_precision": _share(fraud & flagged, flagged),
        "decline_recall": _share(fraud & declined, fraud),
        "flagged_recall": _share(fraud & flagged, fraud),
        "cost_minor": float(paid.sum()),
        "cost_minor_approving_all": float(costs.approve.sum()),
    }


def _between(ranked: npt.NDArray[np.float64], taken: int) -> float:
    """Return a threshold that takes the first ``taken`` of the scores, halfway to the next one (or to 0 or 1)."""
    before = float(ranked[taken - 1]) if taken > 0 else max(1.0, float(np.nextafter(ranked[0], np.inf)))
    after = float(ranked[taken]) if taken < len(ranked) else 0.0
    halfway = (before + after) / 2
    return halfway if halfway > after else before


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0
