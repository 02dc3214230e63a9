"""Precision, recall and money lost per day of decision, completed for the labels that are still to come. Pure.

*Fraud* is what is labelled as such within the *horizon*: the maturity that is asked for, or less where the archive is
younger. An event without such a label is good: most good events never get one. What is *stopped* was declined or sent
to review, and has a delay curve of its own (``delays.py``), as people look at it; fraud that was approved is reported
by its victims.

==========  ============================================================================
precision   of what is stopped, the share that is fraud
recall      of fraud, the share that is stopped
money lost  stakes of fraud that was approved
==========  ============================================================================

Each is a property of the day's kind of traffic, not of its very events: when all labels have come, the interval still
has the chance in it that any day's number of cases has. An interval holds the middle 95 % of draws of

1. the rate of labelled fraud. Of what is stopped a beta distribution, with the effective number of cases of Korn and
   Graubard (*Survey Methodology* 24, 1998), as events of one key are alike; of numbers and money a gamma distribution,
   that of a compound Poisson sum over keys; both with the dispersion of all days and half a case added (Jeffreys).
2. the share of labels that has come, lognormal with the standard error of the delay curve.

Of what the model declines a share may be let through; then the others are what that share is (``sample.py``).

It is wrong where delays changed in the last days: the curve is that of all days together.

**Cost:** 2 ms a day and what ``DelayCurve.error`` costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.deciding import APPROVE, DECLINE, REVIEW
from weir.schemas.durations import DAY_MS, HOUR_MS
from weir.training.quality.delays import DelayCurve
from weir.training.quality.sample import Declined, Sample
from weir.training.quality.tally import HOURS, SAMPLED, Decisions, Tally

CONFIDENCE: Final = 0.95
ROUNDS: Final = 4_000
SEED: Final = 1
LABELS_MIN: Final = 30
"""Of a side; with fewer its delay curve is a guess. The horizon ends where fewer had time to come."""
SHARE_MIN: Final = 0.01
"""With less of a day's labels there, it is too early to tell anything of it."""
LABELLED_MIN: Final = 0.9
"""Of old enough declined events, the share with a verdict from which on they count; below, nobody looks at them."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; not a number where it cannot be told."""

    value: float
    low: float
    high: float


UNKNOWN: Final = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class DayQuality:
    """How good the decisions of one day were.

    Attributes:
        day: UTC.
        decided: decisions that count.
        stopped: of them.
        known: of them fraud that is labelled by now.
        complete: the share of what was approved and is fraud that is labelled by now, as estimated.
        money_lost: base minor units; not a number for a stream without money.
    """

    day: date
    decided: int
    stopped: int
    known: int
    complete: float
    precision: Estimate
    recall: Estimate
    money_lost: Estimate


@dataclass(frozen=True)
class Quality:
    """How good the decisions were, day by day.

    Attributes:
        days: newest first.
        horizon_ms: fraud is what is labelled within this time.
        counts_declined: whether declined events count, or are left out as nobody labels them.
        counts_sampled: whether those count of which a share is let through, by that share.
        now_ms: labels until then are known.
    """

    days: tuple[DayQuality, ...]
    horizon_ms: int
    counts_declined: bool
    counts_sampled: bool
    now_ms: int


@dataclass(frozen=True)
class _Side:
    """What is stopped, or what is approved: its fraud, its delay curve, and how much cases of one key vary.

    Attributes:
        spread: of a key's number of fraudulent events in a day, the mean square over the squared mean; and of their
            money.
        mean: of both, over all days.
        hours: how its fraud is spread over the hours of a day, shape (24,): not as good events are.
    """

    frauds: Decisions
    kinds: tuple[int, ...]
    curve: DelayCurve | None
    spread: tuple[float, float]
    mean: tuple[float, float]
    hours: Floats


@dataclass(frozen=True)
class _Labelled:
    """What is labelled of one side of a day.

    Attributes:
        share: of labels that has come.
        shares: the same, drawn.
        counts: frauds per key.
        stakes: money per key.
    """

    share: float
    shares: Floats
    counts: Floats
    stakes: Floats


class Estimator:
    """Estimates the days of a tally."""

    def __init__(self, tally: Tally) -> None:
        """Estimate how long labels take."""
        self._tally = tally
        self.counts_declined = tally.declined_labelled >= LABELLED_MIN
        stopped = (REVIEW, DECLINE, SAMPLED) if self.counts_declined else (REVIEW,)
        frauds = tally.frauds
        sides = [(each, frauds.take(np.isin(frauds.kinds, each))) for each in (stopped, (APPROVE,))]
        self.horizon_ms = min([tally.maturity_ms, *(self._find_horizon(of) for _, of in sides)])
        self._stopped, self._approved = (self._build_side(kinds, of) for kinds, of in sides)
        self._lost = _fill_stakes(frauds.take((frauds.outcomes == APPROVE) & (frauds.delays_ms <= self.horizon_ms)))
        let = frauds.take(frauds.let_through)
        self.counts_sampled = (
            not self.counts_declined and len(let) >= LABELS_MIN and self._find_horizon(let) >= self.horizon_ms
        )
        self._let_through = self._build_side((SAMPLED,), let)
        self._sample = Sample(tally, self.horizon_ms) if self.counts_sampled else None

    def _find_horizon(self, frauds: Decisions) -> int:
        """Return the longest time that enough of the labels had to come."""
        elapsed = np.sort(self._tally.now_ms - frauds.decided_ms)
        return int(elapsed[-LABELS_MIN]) if len(elapsed) >= LABELS_MIN else self._tally.maturity_ms

    def _build_side(self, kinds: tuple[int, ...], frauds: Decisions) -> _Side:
        frauds = _fill_stakes(frauds.take(frauds.delays_ms <= self.horizon_ms))
        if len(frauds) < LABELS_MIN:
            return _Side(frauds, kinds, None, (1.0, 1.0), (1.0, 1.0), np.ones(HOURS))
        elapsed = self._tally.now_ms - frauds.decided_ms
        curve = DelayCurve(frauds.delays_ms, elapsed, frauds.keys, horizon_ms=self.horizon_ms)
        of_day = np.stack([frauds.days.astype(np.uint64), frauds.keys])
        counts, stakes = _sum_by_key(np.unique(of_day, axis=1, return_inverse=True)[1], frauds.stakes)
        pairs = [(float(np.mean(each**2) / np.mean(each) ** 2), float(np.mean(each))) for each in (counts, stakes)]
        hours = 1.0 + np.bincount(frauds.decided_ms // HOUR_MS % HOURS, minlength=HOURS).astype(np.float64)
        return _Side(frauds, kinds, curve, (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), hours)

    @cached_property
    def _design_effect(self) -> float:
        """How many times more the share of fraud in what is stopped varies than if no two events had one key."""
        stopped = self._tally.stopped
        stopped = stopped.take(np.isin(stopped.kinds, self._stopped.kinds))
        is_known = (stopped.fraud_ms >= 0) & (stopped.fraud_ms <= self._tally.now_ms)
        is_known &= stopped.delays_ms <= self.horizon_ms
        day = np.unique(stopped.days, return_inverse=True)[1]
        of_day = np.bincount(day)
        rates = np.bincount(day, weights=is_known) / of_day
        keys = np.unique(np.stack([day.astype(np.uint64), stopped.keys]), axis=1, return_inverse=True)[1]
        varied = np.sum(np.bincount(keys, weights=is_known - rates[day]) ** 2)
        alone = np.sum(of_day * rates * (1 - rates))
        return max(1.0, float(varied / alone)) if alone else 1.0

    def estimate(self, day: int) -> DayQuality:
        """Return how good the decisions of a day were, given as days since the epoch."""
        rng = np.random.default_rng((SEED, day))
        hours = self._tally.hours(day)
        of = [self._find_labelled(side, day, rng) for side in (self._stopped, self._approved)]
        known = sum(int(each.counts.sum()) for each in of)
        decided = [int(hours[list(side.kinds)].sum()) for side in (self._stopped, self._approved)]
        stopped, approved = of
        caught, missed = (_draw_sums(each.counts, side.spread[0], side.mean[0], rng) / each.shares
                          for each, side in zip(of, (self._stopped, self._approved), strict=True))  # fmt: skip
        found = [each.counts.sum() / each.share for each in of]
        lost = self._find_lost(day)
        drawn_lost = _draw_sums(lost, self._approved.spread[1], self._approved.mean[1], rng) / approved.shares
        precision = self._draw_precision(stopped, decided[0], rng)
        if self._sample is not None:
            let = self._find_labelled(self._let_through, day, rng)
            declined = self._sample.estimate(day, let.share, let.shares, rng)
            known += int(let.counts.sum())
            caught, found[0] = caught + declined.drawn_frauds, found[0] + declined.frauds
            precision = _mix(precision, decided[0], declined, int(hours[SAMPLED].sum()), rng)
            decided[0] += int(hours[SAMPLED].sum())
        return DayQuality(
            day=datetime.fromtimestamp(day * DAY_MS / 1_000, UTC).date(),
            decided=sum(decided),
            stopped=decided[0],
            known=known,
            complete=approved.share,
            precision=_bound(*precision),
            recall=_bound(found[0] / sum(found) if sum(found) else np.nan, caught / (caught + missed)),
            money_lost=_bound(float(lost.sum()) / approved.share, drawn_lost),
        )

    def _find_lost(self, day: int) -> Floats:
        """Return the money of labelled fraud that was approved on a day, let through or not, per key."""
        lost = self._lost.take(self._lost.days == day)
        return _sum_by_key(np.unique(lost.keys, return_inverse=True)[1], lost.stakes)[1]

    def _find_labelled(self, side: _Side, day: int, rng: np.random.Generator) -> _Labelled:
        frauds = side.frauds.take(side.frauds.days == day)
        counts, stakes = _sum_by_key(np.unique(frauds.keys, return_inverse=True)[1], frauds.stakes)
        decided = self._tally.hours(day)[list(side.kinds)].sum(axis=0)
        hours = np.where(decided > 0, side.hours, 0.0)
        middles = day * DAY_MS + np.arange(HOURS) * HOUR_MS + HOUR_MS // 2
        elapsed = np.clip(self._tally.now_ms - middles, 0, self.horizon_ms)
        nothing = np.full(ROUNDS, np.nan)
        if side.curve is None or not hours.sum():
            return _Labelled(float("nan"), nothing, counts, stakes)
        share = float(np.average(side.curve.share(elapsed), weights=hours))
        if share < SHARE_MIN:
            return _Labelled(float("nan"), nothing, counts, stakes)
        error = side.curve.error(float(np.average(elapsed, weights=hours)))
        return _Labelled(share, np.minimum(1.0, share * np.exp(error * rng.normal(size=ROUNDS))), counts, stakes)

    def _draw_precision(self, labelled: _Labelled, stopped: int, rng: np.random.Generator) -> tuple[float, Floats]:
        """Return the share of fraud in what is stopped, and draws of it."""
        if np.isnan(labelled.share) or not stopped:
            return float("nan"), np.full(ROUNDS, np.nan)
        rate, cases = labelled.counts.sum() / stopped, stopped / self._design_effect
        drawn = rng.beta(rate * cases + 0.5, (1 - rate) * cases + 0.5, ROUNDS)
        return min(1.0, rate / labelled.share), np.minimum(1.0, drawn / labelled.shares)


def estimate_quality(tally: Tally, *, days: int) -> Quality:
    """Return how good the decisions of the newest days of a tally were."""
    estimator = Estimator(tally)
    found = tuple(estimator.estimate(day) for day in tally.days[:days])
    counts = estimator.counts_declined, estimator.counts_sampled
    return Quality(found, estimator.horizon_ms, *counts, tally.now_ms)


def _mix(
    reviewed: tuple[float, Floats], count: int, declined: Declined, count_declined: int, rng: np.random.Generator
) -> tuple[float, Floats]:
    """Return the share of fraud in what is reviewed and declined together, and draws of it."""
    if not count_declined:
        return reviewed
    value, rates = reviewed if count else (0.0, np.zeros(ROUNDS))
    counts = rng.gamma(count, 1.0, ROUNDS) if count else np.zeros(ROUNDS)
    drawn = (rates * counts + declined.drawn_frauds) / (counts + declined.drawn)
    return (value * count + declined.frauds) / (count + count_declined), drawn


def _fill_stakes(frauds: Decisions) -> Decisions:
    """Give fraud whose stake is not in the archive the mean of the others."""
    known = np.isfinite(frauds.stakes)
    mean = frauds.stakes[known].mean() if known.any() else np.nan
    return replace(frauds, stakes=np.where(known, frauds.stakes, mean))


def _sum_by_key(places: npt.NDArray[np.intp], stakes: Floats) -> tuple[Floats, Floats]:
    return np.bincount(places).astype(np.float64), np.bincount(places, weights=stakes).astype(np.float64)


def _draw_sums(of_keys: Floats, spread: float, mean: float, rng: np.random.Generator) -> Floats:
    """Draw what the sum over keys is expected to be, given the sum that was seen; no number without stakes."""
    if np.isnan(mean):
        return np.full(ROUNDS, np.nan)
    cases = len(of_keys) + 0.5
    expected = of_keys.sum() + 0.5 * mean
    return rng.gamma(cases / spread, expected * spread / cases, ROUNDS)


def _bound(value: float, drawn: Floats) -> Estimate:
    if np.isnan(value) or np.isnan(drawn).any():
        return UNKNOWN
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail)).tolist()
    return Estimate(float(value), min(low, float(value)), max(high, float(value)))
