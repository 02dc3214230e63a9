"""What the declined events of a day are, from those of them that were let through. Pure.

The rate of fraud among all that might have been let through is estimated by the rate among those that were, each with
the weight 1 / propensity (Hajek 1971), and their number is known. Keys are let through for a day as a whole, so events
of one key count as alike as they are: the effective number of cases is that of Korn and Graubard, as in
``estimate.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weir.training.quality.tally import SAMPLED, Decisions, Tally

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Declined:
    """What a day's declined events are, of which a share is let through.

    Attributes:
        frauds: of them.
        drawn: how many there are on such a day, drawn, shape (rounds,).
        drawn_frauds: and of them fraud.
    """

    frauds: float
    drawn: Floats
    drawn_frauds: Floats


class Sample:
    """The declined events of a tally, by those that were let through."""

    def __init__(self, tally: Tally, horizon_ms: int) -> None:
        """Bind; fraud is what is labelled within the horizon."""
        stopped = tally.stopped
        self._all = stopped.take(stopped.kinds == SAMPLED)
        self._let = self._all.take(self._all.let_through)
        self._is_known: Callable[[Decisions], npt.NDArray[np.bool_]] = lambda of: (
            (of.fraud_ms >= 0) & (of.fraud_ms <= tally.now_ms) & (of.delays_ms <= horizon_ms)
        )
        self._design_effect = self._measure_design_effect()
        self._spread = self._measure_spread()

    def estimate(self, day: int, share: float, shares: Floats, rng: np.random.Generator) -> Declined:
        """Return what the declined events of a day are; not numbers where none was let through.

        Args:
            day: since the epoch.
            share: of the labels that has come of what was let through.
            shares: the same, drawn.
            rng: draws.
        """
        own, let = self._all.take(self._all.days == day), self._let.take(self._let.days == day)
        rounds, count = len(shares), len(own)
        if not len(let) or np.isnan(share):
            nothing = np.full(rounds, np.nan)
            return Declined(float("nan"), nothing, nothing)
        weights = 1.0 / let.propensities
        rate = float(np.average(self._is_known(let), weights=weights))
        cases = float(weights.sum() ** 2 / np.sum(weights**2)) / self._design_effect
        rates = np.minimum(1.0, rng.beta(rate * cases + 0.5, (1 - rate) * cases + 0.5, rounds) / shares)
        drawn = rng.gamma(count / self._spread, self._spread, rounds)
        return Declined(count * min(1.0, rate / share), drawn, drawn * rates)

    def _measure_design_effect(self) -> float:
        """Return how many times more the rate of fraud varies than if no two events let through had one key."""
        let = self._let
        day = np.unique(let.days, return_inverse=True)[1]
        of_day = np.bincount(day)
        known = self._is_known(let).astype(np.float64)
        rates = np.bincount(day, weights=known) / of_day
        pairs, key = np.unique(np.stack([day.astype(np.uint64), let.keys]), axis=1, return_inverse=True)
        day_of_key = pairs[0].astype(np.int64)
        keys_of_day = np.bincount(day_of_key, minlength=len(of_day))
        # the rate of a day is that of its few keys, so they differ less from it than from the truth
        fuller = np.where(keys_of_day > 1, keys_of_day / np.maximum(keys_of_day - 1, 1), 0.0)
        varied = np.sum(fuller[day_of_key] * np.bincount(key, weights=known - rates[day]) ** 2)
        alone = np.sum((of_day * rates * (1 - rates))[keys_of_day > 1])
        return max(1.0, float(varied / alone)) if alone else 1.0

    def _measure_spread(self) -> float:
        """Return how many times more the number of a day varies than if no two events had one key."""
        of_day = np.stack([self._all.days.astype(np.uint64), self._all.keys])
        counts = np.unique(of_day, axis=1, return_counts=True)[1].astype(np.float64)
        return float(np.sum(counts**2) / np.sum(counts))
