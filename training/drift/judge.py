"""Says which columns drifted: those that moved far, in each of the last days, and not by chance. Pure.

A column has drifted when in each of the days that are looked at

1. its stability index, less what chance gives, is at least ``MOVED``, and at least ``USUAL_TIMES`` what the column
   moves from day to day anyway; and
2. its p-value, adjusted for the number of columns, is below ``ALPHA``.

The first is the size of the effect: with many rows any difference is more than chance. The second keeps quiet where
there are few. Two days keep one strange day out, and what lasts is seen on the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from weir.schemas.errors import Refused
from weir.training.drift.histograms import Counts, Histograms
from weir.training.drift.measures import (
    adjust,
    compute_ks,
    compute_p_value,
    compute_psi,
    expect_by_chance,
    share_missing,
)
from weir.training.drift.reference import KEYS_MIN, Column, Reference

MOVED: Final = 0.1
"""Below it a population counts as unmoved, above 0.25 as another one (Siddiqi 2006)."""
USUAL_TIMES: Final = 1.5
"""The reference has a week or two of days; the next weeks have a larger one among them."""
ALPHA: Final = 0.01
DAYS: Final = 2
"""How many days in a row have to say so."""


@dataclass(frozen=True)
class Finding:
    """How one column stands.

    Attributes:
        name: of the feature, or ``score``.
        psi: stability index of the newest day, less what chance gives, and never below 0.
        usual: how far it moves from day to day.
        ks: largest difference of the cumulative shares, newest day.
        p_value: adjusted; the largest of the days.
        missing: share of missing values in the reference and on the newest day.
        drifted: whether it has drifted.
    """

    name: str
    psi: float
    usual: float
    ks: float
    p_value: float
    missing: tuple[float, float]
    drifted: bool


def find_drift(reference: Reference, days: Sequence[Histograms]) -> list[Finding]:
    """Return how each column stands, those that moved farthest first.

    Args:
        reference: of the model.
        days: what came since, newest first, with the reference's edges.

    Raises:
        Refused: a day has too few keys to say anything.
    """
    if (fewest := min(day.keys for day in days)) < KEYS_MIN:
        raise Refused(
            f"expected {KEYS_MIN} keys or more in each of the last {len(days)} days, found {fewest}: too few to tell "
            "drift from chance; ask again when more was decided"
        )
    columns = list(reference.columns.items())
    p_values = [
        max(compute_p_value(column.found, day.counts[at], (reference.keys, day.keys)) for day in days)
        for at, (_, column) in enumerate(columns)
    ]
    adjusted = adjust(p_values).tolist()
    found = [
        _judge(name, column, reference.keys, [(day.counts[at], day.keys) for day in days], adjusted[at])
        for at, (name, column) in enumerate(columns)
    ]
    return sorted(found, key=lambda each: (not each.drifted, -each.psi))


def _judge(name: str, column: Column, keys: int, days: Sequence[tuple[Counts, int]], p_value: float) -> Finding:
    expected, newest = column.found, days[0][0]
    moved = [
        max(0.0, compute_psi(expected, counts) - expect_by_chance(expected, (keys, of_day))) for counts, of_day in days
    ]
    is_far = min(moved) >= max(MOVED, USUAL_TIMES * column.usual)
    missing = share_missing(expected), share_missing(newest)
    drifted = is_far and p_value < ALPHA
    return Finding(name, moved[0], column.usual, compute_ks(expected, newest), p_value, missing, drifted)
