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

from weir.schemas.stakes import find_stake
from weir.schemas.stream import Stream

FLAGGED_SHARE_MAX = 0.012
"""Analysts are few: no more than this share of events is declined or reviewed, however cheap a review looks."""


@dataclass(frozen=True)
class Prices:
    """What outcomes cost.

    Attributes:
        unit: of the others, as the names of figures end.
        missed: what a missed fraud costs on top of what is at stake: fee and handling.
        review: a few minutes of an analyst's time.
        review_miss_share: share of frauds that an analyst lets through.
        false_decline: goodwill, whatever is at stake: a call, a customer who pays otherwise next time.
        false_decline_share: of what is at stake: margin lost with the sale.
    """

    unit: str
    missed: float
    review: float
    review_miss_share: float
    false_decline: float
    false_decline_share: float

    def describe(self) -> dict[str, float]:
        """Return the prices in words, for the model card."""
        return {
            "missed fraud, fixed": self.missed,
            "review": self.review,
            "share of fraud that a review misses": self.review_miss_share,
            "false decline, fixed": self.false_decline,
            "false decline, share of the amount": self.false_decline_share,
        }


IN_MONEY = Prices("minor", 1_500, 300, 0.1, 1_000, 0.05)
"""Base minor units: round figures for a card issuer, to be replaced by the operator's own."""
IN_CASES = Prices("cases", 1.0, 0.2, 0.1, 2 / 3, 0.0)
"""Where there is no money each case costs 1, and the rest in the proportions of ``IN_MONEY`` with nothing at stake."""


def prices_of(stream: Stream) -> Prices:
    """Return what outcomes of a stream cost."""
    return IN_CASES if find_stake(stream) is None else IN_MONEY


def read_stakes(stream: Stream, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return what is at stake in base minor units, float64, shape (n,): of a refund, what is given back.

    Args:
        stream: whose features they are.
        features: float32, shape (n, n_features).
    """
    position = find_stake(stream)
    if position is None:
        return np.zeros(len(features))
    return np.abs(features[:, position].astype(np.float64))


@dataclass(frozen=True)
class Thresholds:
    """A score at or above ``decline`` is declined, else at or above ``review`` is reviewed, else approved."""

    review: float
    decline: float


@dataclass(frozen=True)
class Costs:
    """What each outcome costs per row, float64, shape (n,)."""

    approve: npt.NDArray[np.float64]
    review: npt.NDArray[np.float64]
    decline: npt.NDArray[np.float64]


def compute_costs(
    positive: npt.NDArray[np.int8],
    stakes: npt.NDArray[np.float64],
    prices: Prices,
    counts: npt.NDArray[np.float64],
) -> Costs:
    """Price the three outcomes of every row.

    Args:
        positive: 0 or 1, shape (n,).
        stakes: what is at stake, shape (n,), in the unit of the prices.
        prices: of outcomes.
        counts: how many events each row stands for, shape (n,).
    """
    missed = np.where(positive == 1, stakes + prices.missed, 0.0)
    declined = np.where(positive == 1, 0.0, prices.false_decline + prices.false_decline_share * stakes)
    review = prices.review + prices.review_miss_share * missed
    return Costs(approve=missed * counts, review=review * counts, decline=declined * counts)


def choose_thresholds(
    positive: npt.NDArray[np.int8],
    scores: npt.NDArray[np.float64],
    stakes: npt.NDArray[np.float64],
    *,
    prices: Prices = IN_MONEY,
    flagged_share_max: float = FLAGGED_SHARE_MAX,
    weights: npt.NDArray[np.float64] | None = None,
) -> Thresholds:
    """Return the cheapest thresholds within the analysts' capacity, each halfway between two scores of the interval."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    counts = np.ones(len(scores)) if weights is None else weights[order]
    costs = compute_costs(positive[order], stakes[order], prices, counts)
    ends = np.append(0, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) + 1)  # cuts that split no tie
    decline_cost = np.append(0.0, np.cumsum(costs.decline - costs.review))[ends]
    review_cost = np.append(0.0, np.cumsum(costs.review - costs.approve))[ends]
    cheapest_so_far = np.minimum.accumulate(decline_cost)
    flagged = np.append(0.0, np.cumsum(counts))[ends]
    within_capacity = max(1, int(np.count_nonzero(flagged <= flagged_share_max * counts.sum())))
    best_review = int(np.argmin((cheapest_so_far + review_cost)[:within_capacity]))
    best_decline = int(np.argmin(decline_cost[: best_review + 1]))
    return Thresholds(_between(ranked, int(ends[best_review])), _between(ranked, int(ends[best_decline])))


def compute_outcomes(
    positive: npt.NDArray[np.int8],
    scores: npt.NDArray[np.float64],
    stakes: npt.NDArray[np.float64],
    thresholds: Thresholds,
    *,
    prices: Prices = IN_MONEY,
    weights: npt.NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Return what the thresholds would have done on an interval, shares in [0, 1] and costs in the prices' unit."""
    counts = np.ones(len(scores)) if weights is None else weights
    declined = scores >= thresholds.decline
    flagged = scores >= min(thresholds.review, thresholds.decline)
    reviewed = flagged & ~declined
    costs = compute_costs(positive, stakes, prices, counts)
    paid = np.where(declined, costs.decline, np.where(reviewed, costs.review, costs.approve))
    fraud = positive == 1
    return {
        "decline_share": _share(counts * declined, counts),
        "review_share": _share(counts * reviewed, counts),
        "decline_precision": _share(counts * (fraud & declined), counts * declined),
        "flagged_precision": _share(counts * (fraud & flagged), counts * flagged),
        "decline_recall": _share(counts * (fraud & declined), counts * fraud),
        "flagged_recall": _share(counts * (fraud & flagged), counts * fraud),
        f"cost_{prices.unit}": float(paid.sum()),
        f"cost_{prices.unit}_approving_all": float(costs.approve.sum()),
    }


def _between(ranked: npt.NDArray[np.float64], taken: int) -> float:
    """Return a threshold that takes the first ``taken`` of the scores, halfway to the next one (or to 0 or 1)."""
    before = float(ranked[taken - 1]) if taken > 0 else max(1.0, float(np.nextafter(ranked[0], np.inf)))
    after = float(ranked[taken]) if taken < len(ranked) else 0.0
    halfway = (before + after) / 2
    return halfway if halfway > after else before


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0
