"""Says whether a canary has to go: it declines more, fails, or its scores are not those it was judged by. Pure.

Both decide at the same time for keys that a hash has dealt out, so what differs between the two sides is the model, and
chance. Keys are the units: the rows of one key are alike.

- Shares (declined, failed): the ratio of sums over keys, with the variance of a ratio estimator over clusters (Deng et
  al., *Applying the Delta Method in Metric Analytics*, KDD 2018). It is asked with every batch, so a fixed p-value
  would roll back anything in the end: the mixture sequential probability ratio test may be asked at any time (Robbins,
  1970; Johari et al., *Always Valid Inference*, Operations Research 2022). Of a difference ``d`` beyond the bound, with
  variance ``V`` and a prior of scale ``t``, the ratio is ``sqrt(V/(V+t²)) exp(d² t² / (2 V (V+t²)))``; above
  ``1/ALPHA`` the difference is no chance.
- Scores: the stability index against the reference in the bundle, less what the champion's own scores moved. Where both
  moved far, chance moves the difference by more than the bound, so the same test is asked of it, with the variance of
  the index by the delta method.

**Cost:** memory of a few numbers for each key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from weir.training.drift.histograms import Histograms
from weir.training.drift.measures import compute_psi, compute_psi_variance, expect_by_chance
from weir.training.drift.reference import KEYS_MIN, Reference

ALPHA: Final = 0.005
"""Of each of the two shares: one canary in a hundred that is no worse is rolled back at most."""
FAILED_POINTS_MAX: Final = 0.1
"""Percentage points more without a score: any real fault has more."""
PSI_MAX: Final = 0.25
"""From there on a population counts as another one."""
_PRIOR_SHARE: Final = 0.01
_PRIOR_PSI: Final = 0.25
"""Scales of the differences that are looked for; the test is valid with any, and quickest near it."""
_EVENTS_MIN: Final = 10
"""Before so many keys are declined on a side, its share is not near a normal distribution."""


class Decision(NamedTuple):
    """What the guard needs of a decision."""

    key: str
    by_canary: bool
    declined: bool
    failed: bool
    score: float


@dataclass
class Side:
    """What one model decided.

    Attributes:
        keys: rows, declined and failed ones by key.
        scores: counted by the edges of the model's reference; None without one.
    """

    reference: Reference | None
    keys: dict[str, list[int]] = field(default_factory=dict)
    scores: Histograms | None = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing decided."""
        self.scores = Histograms([self.reference.score.bins]) if self.reference else None

    @property
    def rows(self) -> int:
        """How many decisions it has."""
        return sum(sums[0] for sums in self.keys.values())

    def add(self, decisions: Sequence[Decision]) -> None:
        """Count decisions of this side."""
        for each in decisions:
            sums = self.keys.setdefault(each.key, [0, 0, 0])
            sums[0] += 1
            sums[1] += each.declined
            sums[2] += each.failed
        if self.scores is not None:
            self.scores.add([np.array([each.score for each in decisions])], [each.key for each in decisions])

    def share(self, place: int) -> tuple[float, float, int]:
        """Return the share of declined (1) or failed (2) rows, its variance, and how many keys have one."""
        sums = np.array(list(self.keys.values()), np.float64).reshape(-1, 3)
        count, rows, events = len(sums), sums[:, 0], sums[:, place]
        share = float(events.sum() / rows.sum())
        variance = float(((events - share * rows) ** 2).sum() / rows.sum() ** 2 * count / (count - 1))
        return share, variance, int(np.count_nonzero(events))

    def moved(self) -> tuple[float, float]:
        """Return how far the scores are from the reference, less chance, and its variance; 0 where it is unknown."""
        if self.scores is None or self.reference is None or self.scores.keys < KEYS_MIN:
            return 0.0, 0.0
        expected, found = self.reference.score.found, self.scores.counts[0]
        chance = expect_by_chance(expected, (self.reference.keys, self.scores.keys))
        return max(0.0, compute_psi(expected, found) - chance), compute_psi_variance(expected, found, self.scores.keys)


class Guard:
    """Watches one canary.

    Attributes:
        champion: what it decided meanwhile.
        canary: what the challenger decided.
    """

    def __init__(self, champion: Reference | None, canary: Reference | None, *, declined_points_max: float) -> None:
        """Begin with nothing decided; the references are those of the bundles, where they have one."""
        self.champion, self.canary = Side(champion), Side(canary)
        self._declined_max = declined_points_max

    def add(self, decisions: Sequence[Decision]) -> None:
        """Take decisions that were made while there is the canary."""
        for side, by_canary in ((self.champion, False), (self.canary, True)):
            side.add([each for each in decisions if each.by_canary == by_canary])

    def judge(self) -> str:
        """Return why the canary has to go; empty while nothing says so."""
        if min(len(self.champion.keys), len(self.canary.keys)) < KEYS_MIN:
            return ""
        for place, what, points in ((1, "declined", self._declined_max), (2, "without a score", FAILED_POINTS_MAX)):
            ours, theirs = self.canary.share(place), self.champion.share(place)
            over = ours[0] - theirs[0] - points / 100
            if ours[2] >= _EVENTS_MIN and _is_no_chance(over, ours[1] + theirs[1], _PRIOR_SHARE):
                return f"{ours[0]:.2%} {what}, of the champion's keys {theirs[0]:.2%}; at most {points:g} points more"
        (ours_moved, ours_variance), (theirs_moved, theirs_variance) = self.canary.moved(), self.champion.moved()
        moved = ours_moved - theirs_moved
        if _is_no_chance(moved - PSI_MAX, ours_variance + theirs_variance, _PRIOR_PSI):
            return f"its scores are {moved:.2f} (PSI) farther from its reference than the champion's; at most {PSI_MAX}"
        return ""

    def say(self) -> str:
        """Return how both sides stand."""
        told = []
        for name, side in (("canary", self.canary), ("champion", self.champion)):
            rows = side.rows
            declined = sum(sums[1] for sums in side.keys.values())
            told.append(
                f"{name}: {rows:,} decisions of {len(side.keys):,} keys, {declined / max(1, rows):.2%} declined"
            )
        return "; ".join(told)


def _is_no_chance(over: float, variance: float, scale: float) -> bool:
    """Say whether what is over the bound may be acted upon, however often it is asked."""
    return over > 0 and compute_ratio(over, variance, scale) >= 1 / ALPHA


def compute_ratio(difference: float, variance: float, scale: float) -> float:
    """Return the likelihood ratio of the mixture test; ``scale`` is that of the differences that are looked for.

    >>> round(compute_ratio(0.01, 0.002**2, 0.01), 1)
    32538.6
    >>> compute_ratio(0.0, 0.002**2, 0.01) < 1
    True
    """
    if variance <= 0:
        return math.inf
    exponent = difference**2 * scale**2 / (2 * variance * (variance + scale**2))
    return math.sqrt(variance / (variance + scale**2)) * math.exp(min(exponent, 700.0))
