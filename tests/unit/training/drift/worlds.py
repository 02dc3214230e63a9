"""Simulated days of decisions: keys with habits of their own, columns of several shapes, weekends that differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.payments import DAY_MS
from weir.training.drift.histograms import Histograms
from weir.training.drift.judge import find_drift
from weir.training.drift.reference import Reference, build_reference

COLUMNS = 60
KEYS = 2_000
"""Of whom some buy on a day, each more than once: rows of one key are alike."""
ROWS = 700
NAMES = tuple(f"x_{number}" for number in range(COLUMNS))
_REFERENCE_DAYS = 10


@dataclass
class World:
    """Days that differ by chance, by the weekday, and from a day on by a planted shift."""

    seed: int
    shifted_from: int = 1_000_000
    shift: float = 0.0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.habits = rng.normal(size=(KEYS, COLUMNS))
        self.rng = rng

    def build_day(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features, scores and keys of a day."""
        keys = np.repeat(self.rng.choice(KEYS, ROWS // 2, replace=False), 2)
        values = 0.7 * self.habits[keys] + 0.7 * self.rng.normal(size=(ROWS, COLUMNS))
        values[:, 1] += 1.0 if number % 7 in (5, 6) else 0.0  # weekends
        values[:, 2] = number % 7
        values[:, 3:10] = np.maximum(0, np.floor(values[:, 3:10] * 2))  # counts, mostly 0
        values[:, 10:20] = np.exp(values[:, 10:20])
        if number >= self.shifted_from:
            values[:, 30] += self.shift
        scores = 1 / (1 + np.exp(4 - values[:, 40:].mean(axis=1)))
        values[:, 20:25][self.rng.random((ROWS, 5)) < 0.3] = np.nan
        return values.astype(np.float32), scores, keys

    def build_reference(self) -> Reference:
        """Return the reference of ten days, the last of them day -1."""
        days = [self.build_day(number) for number in range(-_REFERENCE_DAYS, 0)]
        times = np.concatenate([n * DAY_MS + np.linspace(0, DAY_MS - 1, ROWS) for n in range(_REFERENCE_DAYS)])
        features, scores, keys = (np.concatenate(each) for each in zip(*days, strict=True))
        return build_reference(features, NAMES, scores, times.astype(np.int64), keys)

    def count_day(self, reference: Reference, number: int) -> Histograms:
        """Return a day as it is monitored."""
        features, scores, keys = self.build_day(number)
        day = Histograms([column.bins for column in reference.columns.values()])
        day.add([*features.T, scores], keys.tolist())
        return day


def list_drifted(reference: Reference, days: list[Histograms]) -> list[str]:
    """Return the names of the columns that are found to have drifted."""
    return [each.name for each in find_drift(reference, days) if each.drifted]


def count_false_alarms(world: World, days: int) -> int:
    """Return how often a column is found to have drifted in so many days without a shift, asked once a day."""
    reference = world.build_reference()
    alarms, before = 0, world.count_day(reference, 0)
    for number in range(1, days):
        day = world.count_day(reference, number)
        alarms += len(list_drifted(reference, [day, before]))
        before = day
    return alarms
