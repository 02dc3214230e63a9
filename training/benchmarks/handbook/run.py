"""One run of the benchmark: simulate, replay through the kernel, compare features, train and judge.

1. The payments are simulated; their counts are the published ones, or the run ends.
2. They go through the kernel; the 15 features are compared with their definitions.
3. The published models are trained on the 15, by the protocol.
4. Ours is chosen on earlier weeks and judged on the four published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from weir.schemas.errors import WeirError
from weir.streaming.core.kernel import Kernel
from weir.training.benchmarks.handbook import ours, published
from weir.training.benchmarks.handbook.contenders import Build, fit_and_score, list_chosen, list_single_split
from weir.training.benchmarks.handbook.data import Data
from weir.training.benchmarks.handbook.equality import Difference, compare
from weir.training.benchmarks.handbook.frauds import PUBLISHED as PUBLISHED_COUNTS
from weir.training.benchmarks.handbook.frauds import Counts, add_frauds
from weir.training.benchmarks.handbook.metrics import Figures, average
from weir.training.benchmarks.handbook.protocol import (
    FIRST_DAY,
    PUBLISHED_SPLIT,
    TEST_FOLDS,
    VALIDATION_FOLDS,
    build_fold,
)
from weir.training.benchmarks.handbook.replay import replay
from weir.training.benchmarks.handbook.simulator import World, draw_payments
from weir.training.benchmarks.handbook.stream import PUBLISHED

Progress = Callable[[str], object]

_FIFTEEN = len(PUBLISHED)
HISTORY = (published.LOGISTIC, published.XGBOOST, published.LIGHTGBM)
"""Models that are also trained on all history, which is another protocol."""


@dataclass(frozen=True)
class Chosen:
    """A model's figures over four weeks: their mean and deviation, with what was chosen by validation."""

    parameters: str
    mean: Figures
    deviation: Figures


@dataclass(frozen=True)
class Outcome:
    """What a run found."""

    counts: Counts
    differences: list[Difference]
    single_split: Mapping[str, Figures]
    four_folds: Mapping[str, Chosen]
    four_folds_history: Mapping[str, Chosen]
    ours: ours.Outcome


def run_benchmark(kernel: Kernel, progress: Progress) -> Outcome:
    """Run all of it.

    Raises:
        WeirError: other payments were simulated than published, or the protocol splits them otherwise.
    """
    payments, counts = add_frauds(draw_payments(World(), progress), World())
    if counts != PUBLISHED_COUNTS:
        raise WeirError(f"benchmark: expected the published counts {PUBLISHED_COUNTS}, found {counts}")
    if (split := build_fold(payments, FIRST_DAY).count(payments)) != PUBLISHED_SPLIT:
        raise WeirError(f"benchmark: expected the published single split {PUBLISHED_SPLIT}, found {split}")
    features = replay(kernel, payments, progress)
    progress("comparing features with their definitions")
    differences = compare(payments, features)
    data = Data(payments, features)
    single = {name: _judge(data, build, FIRST_DAY, progress, name) for name, build in list_single_split().items()}
    folds = {name: _choose(data, name, builds, progress) for name, builds in list_chosen().items()}
    history = {name: _choose(data, name, list_chosen()[name], progress, history=True) for name in HISTORY}
    return Outcome(counts, differences, single, folds, history, ours.run(data, progress))


def _judge(
    data: Data, build: Build, first_day: int, progress: Progress, name: str, *, history: bool = False
) -> Figures:
    progress(f"{name}: first day {first_day}{', all history' if history else ''}")
    fold = data.fold(first_day, history=history)
    columns = np.arange(_FIFTEEN)
    train, judged = data.features[fold.train][:, columns], data.features[fold.test][:, columns]
    return data.measure(fold, fit_and_score(build, train, data.payments.fraud[fold.train], judged))


def _choose(data: Data, name: str, builds: Mapping[str, Build], progress: Progress, *, history: bool = False) -> Chosen:
    """Choose by average precision on the validation weeks, where there is a choice, and judge on the test's."""

    def judge(parameters: str, folds: tuple[int, ...]) -> tuple[Figures, Figures]:
        figures = [_judge(data, builds[parameters], each, progress, name, history=history) for each in folds]
        return average(figures)

    best = next(iter(builds))
    if len(builds) > 1:
        best = max(builds, key=lambda parameters: judge(parameters, VALIDATION_FOLDS)[0].average_precision)
    return Chosen(best, *judge(best, TEST_FOLDS))
