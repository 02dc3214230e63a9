"""Payments with the features that the stream computed of them."""

from __future__ import annotations

from dataclasses import dataclass

from weir.training.benchmarks.handbook.metrics import Figures, measure
from weir.training.benchmarks.handbook.protocol import Fold, build_fold
from weir.training.benchmarks.handbook.replay import Matrix
from weir.training.benchmarks.handbook.simulator import Floats, Payments


@dataclass(frozen=True)
class Data:
    """All that models are trained and judged on."""

    payments: Payments
    features: Matrix

    def fold(self, first_day: int, *, history: bool) -> Fold:
        """Return the fold whose week of training begins on a day."""
        return build_fold(self.payments, first_day, history=history)

    def measure(self, fold: Fold, scores: Floats) -> Figures:
        """Return the figures of scores of a fold's test."""
        payments, rows = self.payments, fold.test
        return measure(payments.fraud[rows], scores, payments.customer[rows], payments.day[rows])
