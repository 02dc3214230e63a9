"""Fits a stack: what three contenders of different kinds say of an event, weighed by a logistic regression.

The weights are learnt from events that no base model was taught by. Each block of them is later than what taught the
base models that judge it, as the intervals of a run are: a gap as long as the hold of label risk lies between. Then the
base models are fitted again on everything. What they say is weighed before it is squeezed between 0 and 1, so that the
graph loses nothing to rounding near its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from weir.training.models import THREADS, Deployable, Labels, Matrix, Scores, Weights
from weir.training.search import graphs
from weir.training.search.contenders import CONTENDERS, SCORED_AT_ONCE, Contender, Splits
from weir.training.search.folds import Rolls
from weir.training.search.spaces import SPACES, STACK, Parameters

Says = Callable[[Any, Matrix], Scores]


def _say_by_lightgbm(model: Any, features: Matrix) -> Scores:
    return cast(Scores, model.booster.predict(features, raw_score=True, num_threads=THREADS))


def _say_by_logistic(model: Any, features: Matrix) -> Scores:
    return cast(Scores, model.pipeline.estimator.decision_function(features.astype(np.float64)))


_BASES: Final[Mapping[str, tuple[str, Says]]] = {
    "lightgbm": ("raw", _say_by_lightgbm),
    "random_forest": ("sum", lambda model, features: model.score(features)),
    "logistic_regression": ("raw", _say_by_logistic),
}
"""By contender: the tensor of its graph that is weighed, and the same of the model: log-odds, of a forest its share."""


@dataclass(frozen=True)
class Lesson:
    """What teaches a contender.

    Attributes:
        features: in event-time order.
        positive: 0 or 1 for each row.
        rolls: of a stack: positions of the rows that teach its base models, and of later ones that teach its weights.
        weights: how many events each row stands for; None where all stand for themselves alone.
    """

    features: Matrix
    positive: Labels
    rolls: Rolls = ()
    weights: Weights | None = None

    def take(self, rows: npt.NDArray[np.int64]) -> Lesson:
        """Return some of the rows, without rolls."""
        weights = None if self.weights is None else self.weights[rows]
        return Lesson(self.features[rows], self.positive[rows], weights=weights)


@dataclass(frozen=True)
class Stack(Contender):
    """Base models and their weights; the score is P(fraud)."""

    bases: Mapping[str, Deployable] = field(default_factory=dict)
    weights: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    bias: float = 0.0
    name: str = "stack"

    def _score(self, features: Matrix) -> Scores:
        raw = _hear(self.bases, features) @ self.weights + self.bias
        return cast(Scores, expit(raw))

    @property
    def kept(self) -> int:
        """How many trees score."""
        return sum(base.kept for base in self.bases.values())

    def list_splits(self) -> Splits:
        """Return the columns and the thresholds of every split."""
        columns, thresholds = zip(*(base.list_splits() for base in self.bases.values()), strict=True)
        return np.concatenate(columns), np.concatenate(thresholds)

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return it as one ONNX graph."""
        parts = [(base.build_graph({}), _BASES[name][0]) for name, base in self.bases.items()]
        return graphs.build_stack_graph(parts, self.weights, self.bias, len(self.names), metadata)


def fit(contender: str, lesson: Lesson, parameters: Parameters, names: Sequence[str], seed: int) -> Deployable:
    """Fit a contender by its name."""
    if contender == STACK:
        return fit_stack(lesson, parameters, names, seed)
    return CONTENDERS[contender](lesson.features, lesson.positive, parameters, names, seed, lesson.weights)


def fit_stack(lesson: Lesson, parameters: Parameters, names: Sequence[str], seed: int) -> Stack:
    """Fit the weights on what base models say of later events than taught them, and the base models on all."""
    said, later = [], [lesson.take(judges) for _, judges in lesson.rolls]
    for (teaches, _), judges in zip(lesson.rolls, later, strict=True):
        bases = _fit_bases(lesson.take(teaches), parameters, names, seed)
        said.append(_hear(bases, judges.features))
    truth = np.concatenate([each.positive for each in later])
    given = (
        None if lesson.weights is None else np.concatenate([each.weights for each in later if each.weights is not None])
    )
    regression = LogisticRegression(C=float(parameters["C"]), solver="newton-cholesky")
    top = make_pipeline(StandardScaler(), regression)
    top.fit(np.concatenate(said), truth, logisticregression__sample_weight=given)
    scaler = top[0]
    weights = regression.coef_[0] / scaler.scale_
    bias = float(regression.intercept_[0] - np.sum(scaler.mean_ * weights))
    bases = _fit_bases(lesson, parameters, names, seed)
    return Stack(names, bases=bases, weights=weights, bias=bias)


def _fit_bases(lesson: Lesson, parameters: Parameters, names: Sequence[str], seed: int) -> dict[str, Deployable]:
    """Fit each base model at the start of its ranges, with so many trees."""
    found = {}
    for name in _BASES:
        given = {key: each.start for key, each in SPACES[name].items()}
        if "trees" in given:
            given["trees"] = parameters["trees"]
        found[name] = fit(name, lesson, given, names, seed)
    return found


def _hear(bases: Mapping[str, Deployable], features: Matrix) -> npt.NDArray[np.float64]:
    """Return what each base model says of each row, shape (n, models)."""
    parts = [features[at : at + SCORED_AT_ONCE] for at in range(0, len(features), SCORED_AT_ONCE)]
    heard = [np.column_stack([_BASES[name][1](base, part) for name, base in bases.items()]) for part in parts]
    return np.concatenate(heard).astype(np.float64)
