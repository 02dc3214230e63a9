"""How many events a labelled row stands for, where the labels of others could not come. Pure.

Labels of victims, banks and time come for everybody whose event went ahead: such a row stands for itself, weight 1. Two
kinds of event lack labels because of what was decided:

===========  ========================================  ==============================================
kind         of all such events                        the sample whose rows stand for the others
===========  ========================================  ==============================================
let through  the model declines, the stake is bounded  those let through, each with 1 / ``propensity``
reviewed     sent to review                            those that an analyst gave a verdict on
===========  ========================================  ==============================================

Of each kind the sample says how the two classes are shared (Hajek 1971, as ``weir quality`` does), and the number of
events is known. What is missing of a class, its expected number less those that are labelled, is what its rows of the
sample stand for beyond themselves. So the weights of a kind sum to its number of events, fraud that victims report is
not counted twice, and where everything is labelled every weight is 1.

A verdict on an event that somebody picked by hand, approved or declined, has no known propensity: weight 1. So has
everything where no decision is known, or where the sample of a kind has fewer than ``SAMPLE_MIN`` rows.

**Bounds:** a weight is at most ``WEIGHT_MAX``, and how many were bounded is told. What analysts looked at is taken for
a random part of what was sent to review; where they choose by score or money, it is not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.deciding import DECLINE, REVIEW
from weir.training.decided import NOT_DECIDED, Decided
from weir.training.labels import FRAUD, LEGITIMATE, UNKNOWN

WEIGHT_MAX: Final = 100.0
"""One row that weighs as much as more would decide a split of a tree alone."""
SAMPLE_MIN: Final = 30
"""Fewer rows do not tell how the classes are shared."""
Flags = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """Events of one kind within an interval.

    Attributes:
        events: how many.
        labelled: of them with a label.
        sample: of these the ones whose label came by a known chance.
        is_used: whether they stand for the others.
    """

    events: int = 0
    labelled: int = 0
    sample: int = 0
    is_used: bool = False


@dataclass(frozen=True)
class Weighing:
    """What the weights of an interval follow from.

    Attributes:
        decided: of how many events the decision is known; of none, every weight is 1.
        let_through: events that the model declines and that may be let through.
        reviewed: events that were sent to review.
        largest: weight.
        bounded: how many weights would be larger than ``WEIGHT_MAX``.
        effective_rows: how many rows of weight 1 vary as little (Kish).
    """

    decided: int = 0
    let_through: Kind = field(default_factory=Kind)
    reviewed: Kind = field(default_factory=Kind)
    largest: float = 1.0
    bounded: int = 0
    effective_rows: float = 0.0

    @property
    def is_used(self) -> bool:
        """Whether any row stands for others."""
        return self.let_through.is_used or self.reviewed.is_used

    def as_document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def weigh(known: npt.NDArray[np.int8], looked_at: Flags, decided: Decided | None) -> tuple[Weights | None, Weighing]:
    """Return the weights of the labelled events of an interval, and what they follow from.

    Args:
        known: ``FRAUD``, ``LEGITIMATE`` or ``UNKNOWN`` of every event of the interval, shape (n,).
        looked_at: whether an analyst gave a verdict on it, shape (n,).
        decided: what was decided of them; None where nothing is known of that.

    Returns:
        float64, shape (labelled,), in the order of the events; None where all of them are 1.
    """
    labelled = known != UNKNOWN
    rows = int(labelled.sum())
    if decided is None:
        return None, Weighing(effective_rows=float(rows))
    weights = np.ones(len(known))
    has_chance = ~np.isnan(decided.propensities)
    let = has_chance & (decided.outcomes != DECLINE) & (decided.outcomes != NOT_DECIDED)
    chances = np.where(let, decided.propensities, 1.0)
    let_through = _spread(weights, known, has_chance, let, 1.0 / chances)
    in_review = ~has_chance & (decided.outcomes == REVIEW)
    reviewed = _spread(weights, known, in_review, in_review & looked_at, np.ones(len(known)))
    found = weights[labelled]
    bounded = int(np.count_nonzero(found > WEIGHT_MAX))
    found = np.minimum(found, WEIGHT_MAX)
    weighing = Weighing(
        decided=int(np.count_nonzero(decided.outcomes != NOT_DECIDED)),
        let_through=let_through,
        reviewed=reviewed,
        largest=float(found.max(initial=1.0)),
        bounded=bounded,
        effective_rows=float(found.sum() ** 2 / np.sum(found**2)) if rows else 0.0,
    )
    return (found if weighing.is_used else None), weighing


def _spread(weights: Weights, known: npt.NDArray[np.int8], inside: Flags, chosen: Flags, base: Weights) -> Kind:
    """Add to the weights of a sample what its rows stand for beyond themselves.

    Args:
        weights: of all events; those of the sample are changed.
        known: what is known of all events.
        inside: which are of the kind.
        chosen: which of those came into the sample.
        base: 1 / the chance of each to come into it, up to a factor that is common to all.
    """
    events, labelled = int(inside.sum()), int(np.count_nonzero(inside & (known != UNKNOWN)))
    classes = [chosen & (known == each) for each in (LEGITIMATE, FRAUD)]
    sample = sum(int(each.sum()) for each in classes)
    sums = np.array([base[each].sum() for each in classes])
    if sample < SAMPLE_MIN or labelled == events:
        return Kind(events, labelled, sample)
    there = np.array([np.count_nonzero(inside & (known == each)) for each in (LEGITIMATE, FRAUD)])
    missing = np.maximum(0.0, events * sums / sums.sum() - there)
    if not missing.sum():
        return Kind(events, labelled, sample)
    missing *= (events - labelled) / missing.sum()
    for each, more, total in zip(classes, missing, sums, strict=True):
        if more:
            weights[each] += more * base[each] / total
    return Kind(events, labelled, sample, is_used=True)
