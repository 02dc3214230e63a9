"""How often the 95 % interval of a simulated day covers what the day is: asked once a week, of days of several ages."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tests.unit.training.quality.worlds import COLUMNS, DAY, HORIZON_DAYS, LetThrough, Simulated, simulate
from weir.training.quality.estimate import Estimator
from weir.training.quality.tally import Decisions, Tally

AGES = (1, 7, 14, 30)
FIGURES = ("precision", "recall", "money_lost")
HISTORY_DAYS = 90
Hits = dict[tuple[int, str], list[bool]]


def measure_coverage(
    seed: int, weeks: int, *, frauds_a_day: float, let_through: LetThrough | None = None
) -> tuple[Hits, dict[tuple[int, str], float]]:
    """Return whether each interval covers the truth, by age and figure, and the median width of the truth's."""
    events, truth = simulate(seed, HISTORY_DAYS + 7 * weeks, frauds_a_day=frauds_a_day, let_through=let_through)
    order = np.argsort(events.decided_ms, kind="stable")
    columns = [getattr(events, name)[order] for name in COLUMNS]
    is_of = {"precision": truth.precision, "recall": truth.recall, "money_lost": truth.money}
    hits: Hits = defaultdict(list)
    widths: dict[tuple[int, str], list[float]] = defaultdict(list)
    for week in range(weeks):
        today = HISTORY_DAYS + 7 * week
        first, end = np.searchsorted(columns[0], [(today - HISTORY_DAYS) * DAY, today * DAY])
        estimator = Estimator(_tally([each[first:end] for each in columns], today))
        for age in AGES:
            day = today - 1 - age
            found = estimator.estimate(day)
            for name in FIGURES:
                estimate, value = getattr(found, name), is_of[name][day]
                if np.isnan(estimate.value):
                    continue  # too early: nothing is claimed
                hits[age, name].append(bool(estimate.low <= value <= estimate.high))
                widths[age, name].append((estimate.high - estimate.low) / value)
    return hits, {name: float(np.median(each)) for name, each in widths.items()}


def tally_of(events: Simulated, today: int) -> Tally:
    """Return all events as they are known on a day."""
    return _tally([getattr(events, name) for name in COLUMNS], today)


def _tally(columns: list[np.ndarray], today: int) -> Tally:
    decided, outcome, card, label, stake, propensity = columns
    tally = Tally(now_ms=today * DAY, maturity_ms=HORIZON_DAYS * DAY)
    tally.add(Decisions(decided, outcome, card, label, label >= 0, stake, propensity))
    return tally
