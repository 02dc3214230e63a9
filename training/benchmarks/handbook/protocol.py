"""The Handbook's protocol: a week that teaches, a week in which its labels come in, a week that judges.

    train 7 d        delay 7 d        test 7 d
    |--------------|----------------|---------------|
    ^ first day

From each day of the test those customers are left out who are known to be compromised by then: with a fraud in the
week that teaches, or on any day up to eight days before. Four folds begin a week after one another. What is chosen is
chosen on weeks whose labels are known before the first test begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from weir.training.benchmarks.handbook.simulator import Ints, Payments

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
FIRST_DAY: Final = 115
"""2018-07-25, the first day that teaches in the single split."""
FILLED_DAY: Final = 37
"""The first day on which every window is full: 30 days, held back by 7."""
_FOLDS: Final = 4
TEST_FOLDS: Final = tuple(FIRST_DAY + TRAIN_DAYS * fold for fold in range(_FOLDS))
VALIDATION_FOLDS: Final = tuple(FIRST_DAY - DELAY_DAYS - TEST_DAYS - TRAIN_DAYS * fold for fold in range(_FOLDS))[::-1]
"""The last of their weeks ends as the first test's training does, so its labels are known when that test begins."""
PUBLISHED_SPLIT: Final = (67_240, 598, 58_264, 385)
"""Of the single split: payments that teach, frauds among them, payments that judge, frauds among them."""


@dataclass(frozen=True)
class Fold:
    """Positions of payments: those that teach, and those that judge."""

    train: Ints
    test: Ints

    def count(self, payments: Payments) -> tuple[int, int, int, int]:
        """Return how many payments and frauds teach, and how many judge."""
        taught, judged = (int(payments.fraud[rows].sum()) for rows in (self.train, self.test))
        return len(self.train), taught, len(self.test), judged


def build_fold(payments: Payments, first_day: int, *, history: bool = False) -> Fold:
    """Return the fold whose week of training begins on a day.

    Args:
        payments: with their frauds.
        first_day: of the training week.
        history: whether everything since the windows are full teaches, and not the week alone. The test is the same.
    """
    day, fraud = payments.day, payments.fraud == 1
    week = (day >= first_day) & (day < first_day + TRAIN_DAYS)
    teaches = (day >= min(first_day, FILLED_DAY)) & (day < first_day + TRAIN_DAYS) if history else week
    first_test = first_day + TRAIN_DAYS + DELAY_DAYS
    judges = []
    for test_day in range(first_test, first_test + TEST_DAYS):
        told = fraud & (day >= first_day) & (day < test_day - DELAY_DAYS)
        known = np.unique(payments.customer[told])
        judges.append(np.flatnonzero((day == test_day) & ~np.isin(payments.customer, known)))
    return Fold(np.flatnonzero(teaches), np.concatenate(judges))
