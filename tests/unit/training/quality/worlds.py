"""Simulated weeks of decisions whose precision, recall and loss are known: nothing of the estimator is in here.

Fraud comes in runs of one card, of a random length. What is stopped is looked at by analysts within a day or two; what
is approved is reported by its victim, a week later at the median, with a long tail. The cards of a run are mostly
reported together. How much fraud there is, how much of it is stopped and what it takes move from day to day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAY = 24 * 60 * 60 * 1_000
HORIZON_DAYS = 60
_WEEKDAYS = np.array([1.0, 0.95, 0.95, 1.0, 1.2, 1.4, 1.1])


@dataclass(frozen=True)
class Days:
    """The truth of each day: what a day of its kind has on the long run."""

    precision: np.ndarray
    recall: np.ndarray
    money: np.ndarray


@dataclass(frozen=True)
class Simulated:
    """Events as columns; ``outcome`` is 0, 1 or 2, ``label_ms`` -1 and ``propensity`` NaN where there is none."""

    decided_ms: np.ndarray
    outcome: np.ndarray
    card: np.ndarray
    label_ms: np.ndarray
    stake: np.ndarray
    propensity: np.ndarray


COLUMNS = ("decided_ms", "outcome", "card", "label_ms", "stake", "propensity")


@dataclass(frozen=True)
class LetThrough:
    """More of the caught fraud than of the good events is declined; of their cards a share is let through.

    Attributes:
        outcome: 1 where analysts look at it, 0 where its victims report it.
    """

    share: float
    outcome: int
    of_fraud: float = 0.6
    of_good: float = 0.3


def simulate(
    seed: int, days: int, *, frauds_a_day: float = 120.0, let_through: LetThrough | None = None
) -> tuple[Simulated, Days]:
    """Return the events of days, a few of the good ones that are approved among them, and the truth of each day."""
    rng = np.random.default_rng(seed)
    weekday = _WEEKDAYS[np.arange(days) % 7]
    recall = np.clip(0.65 + np.cumsum(rng.normal(0, 0.01, days)) * 0.3 + rng.normal(0, 0.04, days), 0.3, 0.9)
    precision = np.clip(0.5 + rng.normal(0, 0.08, days), 0.2, 0.8)
    runs = frauds_a_day * weekday * np.exp(rng.normal(0, 0.15, days)) / _RUN_MEAN
    scale = 9_000 * np.exp(rng.normal(0, 0.2, days))
    caught = _draw_runs(rng, runs * recall, scale)
    missed = _draw_runs(rng, runs * (1 - recall), scale)
    good = rng.poisson(runs * _RUN_MEAN * recall * (1 / precision - 1))
    of_reviews = _decide(rng, caught, 1, _delays(rng, caught, median_days=0.4, sigma=0.9))
    parts = [
        of_reviews,
        _decide(rng, missed, 0, _delays(rng, missed, median_days=7.0, sigma=0.9)),
        _decide(rng, _Runs(np.repeat(np.arange(days), good), None, np.ones(good.sum())), 1, None),
        _decide(rng, _Runs(np.repeat(np.arange(days), 200), None, np.ones(200 * days)), 0, None),
    ]
    money = runs * (1 - recall) * _RUN_MEAN * scale * np.exp(_SIGMA**2 / 2)
    if let_through is not None:
        of_victims = of_reviews[0] + (_delays(rng, caught, median_days=7.0, sigma=0.9) * DAY).astype(np.int64)
        parts[0] = _decline(rng, parts[0], let_through, let_through.of_fraud, of_victims)
        parts[2] = _decline(rng, parts[2], let_through, let_through.of_good, parts[2][3])
        if let_through.outcome == 0:
            money = money * (1 + recall / (1 - recall) * let_through.of_fraud * let_through.share)
    return Simulated(*(np.concatenate(each) for each in zip(*parts, strict=True))), Days(precision, recall, money)


def _decline(
    rng: np.random.Generator, part: tuple[np.ndarray, ...], let: LetThrough, declined: float, of_victims: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Decline some of what was stopped, by card, and let a share of that through; the others get no label."""
    decided, outcome, card, label, stake, _ = part
    cards, place = np.unique(card, return_inverse=True)
    is_declined = (rng.random(len(cards)) < declined)[place]
    is_let = is_declined & (rng.random(len(cards)) < let.share)[place]
    outcome = np.where(is_let, let.outcome, np.where(is_declined, 2, outcome)).astype(np.uint8)
    label = np.where(is_declined & ~is_let, -1, np.where(is_let & (let.outcome == 0), of_victims, label))
    return decided, outcome, card, label, stake, np.where(is_declined, let.share, np.nan)


_RUN_MEAN = 1.6
_SIGMA = 0.9


@dataclass
class _Runs:
    day: np.ndarray
    run: np.ndarray | None
    stake: np.ndarray


def _draw_runs(rng: np.random.Generator, expected: np.ndarray, scale: np.ndarray) -> _Runs:
    """Draw runs of one card, each of a geometric length, all on one day."""
    of_day = np.repeat(np.arange(len(expected)), rng.poisson(expected))
    lengths = rng.geometric(1 / _RUN_MEAN, len(of_day))
    day = np.repeat(of_day, lengths)
    run = np.repeat(np.arange(len(of_day)), lengths)
    return _Runs(day, run, scale[day] * np.exp(rng.normal(0, _SIGMA, len(day))))


def _delays(rng: np.random.Generator, runs: _Runs, *, median_days: float, sigma: float) -> np.ndarray:
    """Draw delays within the horizon; of a run, seven in ten events are reported together."""
    bound = HORIZON_DAYS
    drawn = median_days * np.exp(rng.normal(0, sigma, 4 * len(runs.day) + 100))
    within = drawn[drawn <= bound]
    own, first = within[: len(runs.day)], within[len(runs.day) :]
    assert runs.run is not None
    together = rng.random(len(runs.day)) < 0.7
    return np.where(together, first[runs.run], own)


def _decide(rng: np.random.Generator, runs: _Runs, outcome: int, delays: np.ndarray | None) -> tuple[np.ndarray, ...]:
    count = len(runs.day)
    earlier = 2.0 if runs.run is None else 1.4  # fraud is not spread over the day as good events are
    decided = ((runs.day + rng.beta(earlier, 2.2, count)) * DAY).astype(np.int64)
    label = np.full(count, -1, np.int64) if delays is None else decided + (delays * DAY).astype(np.int64)
    card = rng.integers(0, 2**60, count) if runs.run is None else rng.integers(0, 2**60, runs.run.max() + 1)[runs.run]
    return decided, np.full(count, outcome, np.uint8), card.astype(np.uint64), label, runs.stake, np.full(count, np.nan)
