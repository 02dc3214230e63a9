"""Fits one contender with the parameters of one trial, and knows its graph.

Importance of those that are not LightGBM is found as reasons are in the stream: by putting a typical value in the place
of each feature.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import lightgbm
import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from weir.training.models import (
    LIGHTGBM_PARAMETERS,
    THREADS,
    Deployable,
    Labels,
    Matrix,
    Pipeline,
    Scores,
    Trees,
    Weights,
    fit_logistic,
)
from weir.training.search import graphs
from weir.training.search.spaces import Parameters

Fit = Callable[[Matrix, Labels, Parameters, Sequence[str], int, Weights | None], Deployable]
"""What fits a kind of model: features, labels, parameters, names of the features, a seed, and the rows' weights."""
Splits = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]

_ROWS_OF_A_TREE_MAX: Final = 100_000
"""More rows of a forest's tree cost minutes, and give the same tree but for its last splits."""
SCORED_AT_ONCE: Final = 50_000
"""Rows that are copied as float64 at a time."""


@dataclass(frozen=True)
class Contender(ABC):
    """What is common to those that are not LightGBM."""

    names: Sequence[str]
    importance_is: str = "Mean absolute change of the score when a typical value replaces the feature's"

    def score(self, features: Matrix) -> Scores:
        """Return one score per row, float64, shape (n,)."""
        parts = [features[at : at + SCORED_AT_ONCE] for at in range(0, len(features), SCORED_AT_ONCE)]
        return np.concatenate([self._score(part) for part in parts])

    @abstractmethod
    def _score(self, features: Matrix) -> Scores: ...

    def compute_importance(self, features: Matrix) -> dict[str, float]:
        """Return by how much each feature moves the score on these rows, largest first."""
        scores, found = self.score(features), {}
        for at, name in enumerate(self.names):
            changed, present = features.copy(), features[~np.isnan(features[:, at]), at]
            changed[:, at] = np.median(present) if len(present) else np.nan
            found[name] = float(np.abs(self.score(changed) - scores).mean())
        return dict(sorted(found.items(), key=lambda each: -each[1]))

    def _list_trees(self) -> Sequence[graphs.Tree]:
        return ()

    @property
    def kept(self) -> int:
        """How many trees score."""
        return len(self._list_trees())

    def list_splits(self) -> Splits:
        """Return the columns and the thresholds of every split."""
        columns, thresholds = [np.empty(0, np.int64)], [np.empty(0)]
        for tree in self._list_trees():
            branches = tree.left >= 0
            columns.append(tree.feature[branches].astype(np.int64))
            thresholds.append(tree.threshold[branches].astype(np.float64))
        return np.concatenate(columns), np.concatenate(thresholds)


@dataclass(frozen=True)
class Boosted(Contender):
    """XGBoost's trees; the score is P(fraud)."""

    booster: Any = None
    base: float = 0.5
    name: str = "XGBoost"

    def _score(self, features: Matrix) -> Scores:
        rows = xgboost.DMatrix(features, nthread=THREADS)
        return cast(Scores, self.booster.predict(rows).astype(np.float64))

    def _list_trees(self) -> Sequence[graphs.Tree]:
        model = json.loads(self.booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
        return [graphs.read_xgboost_tree(tree) for tree in model["trees"]]

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return it as an ONNX graph."""
        then = (("Add", math.log(self.base / (1 - self.base))), ("Sigmoid", None))
        return graphs.build_tree_graph(self._list_trees(), graphs.BELOW, then, len(self.names), metadata)


@dataclass(frozen=True)
class Forest(Contender):
    """A random forest; the score is the mean share of fraud in its leaves."""

    forest: Any = None
    name: str = "random forest"

    def _score(self, features: Matrix) -> Scores:
        return cast(Scores, self.forest.predict_proba(features)[:, 1])

    def _list_trees(self) -> Sequence[graphs.Tree]:
        trees = [each.tree_ for each in self.forest.estimators_]
        shares = [tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1) / len(trees) for tree in trees]
        return [graphs.read_sklearn_tree(*each) for each in zip(trees, shares, strict=True)]

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return it as an ONNX graph."""
        return graphs.build_tree_graph(self._list_trees(), graphs.AT_MOST, (), len(self.names), metadata)


@dataclass(frozen=True)
class Isolation(Contender):
    """An isolation forest; the score says how odd a row is, from 0 to 1, and is no probability."""

    forest: Any = None
    name: str = "isolation forest"

    def _score(self, features: Matrix) -> Scores:
        return -np.asarray(self.forest.score_samples(features), np.float64)  # it says how normal a row is

    def _list_trees(self) -> Sequence[graphs.Tree]:
        trees = [each.tree_ for each in self.forest.estimators_]
        return [graphs.read_sklearn_tree(tree, graphs.compute_path_lengths(tree)) for tree in trees]

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return it as an ONNX graph."""
        trees = self._list_trees()
        usual = len(trees) * graphs.average_path_length(int(self.forest.max_samples_))
        then = (("Mul", -math.log(2.0) / usual), ("Exp", None))
        return graphs.build_tree_graph(trees, graphs.AT_MOST, then, len(self.names), metadata)


@dataclass(frozen=True)
class Logistic(Contender):
    """A logistic regression on all features; the score is P(fraud)."""

    pipeline: Pipeline | None = None
    name: str = "logistic regression"

    def _score(self, features: Matrix) -> Scores:
        assert self.pipeline is not None
        return self.pipeline.score(features.astype(np.float64))  # as the graph computes

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return it as an ONNX graph."""
        assert self.pipeline is not None
        _, imputer, scaler, regression = (step for _, step in self.pipeline.estimator.steps)
        weights = regression.coef_[0] / scaler.scale_
        bias = float(regression.intercept_[0] - np.sum(scaler.mean_ * weights))
        indicated = imputer.indicator_.features_
        medians = imputer.statistics_
        return graphs.build_linear_graph(medians, indicated, weights, bias, len(self.names), metadata)


def fit_lightgbm(
    features: Matrix,
    positive: Labels,
    parameters: Parameters,
    names: Sequence[str],
    seed: int,
    weights: Weights | None = None,
) -> Deployable:
    """Fit LightGBM with a fixed number of trees; what is no parameter is as without a config."""
    given: dict[str, Any] = {**LIGHTGBM_PARAMETERS, **parameters, "seed": seed}
    rounds = int(given.pop("trees"))
    given["extra_trees"] = bool(given["extra_trees"])
    rows = lightgbm.Dataset(features, positive, weight=weights, feature_name=list(names))
    return Trees(lightgbm.train(given, rows, num_boost_round=rounds))


def fit_xgboost(
    features: Matrix,
    positive: Labels,
    parameters: Parameters,
    names: Sequence[str],
    seed: int,
    weights: Weights | None = None,
) -> Deployable:
    """Fit XGBoost; it begins at the share of frauds, where a leaf of few rows has the weight of its rows."""
    given = dict(parameters)
    rounds, base = int(given.pop("trees")), float(np.float32(np.average(positive, weights=weights)))
    fixed = {"objective": "binary:logistic", "base_score": base, "nthread": THREADS, "seed": seed, "max_bin": 127}
    rows = xgboost.DMatrix(features, positive, weight=weights, nthread=THREADS)
    return Boosted(names, booster=xgboost.train({**given, **fixed}, rows, rounds), base=base)


def fit_random_forest(
    features: Matrix,
    positive: Labels,
    parameters: Parameters,
    names: Sequence[str],
    seed: int,
    weights: Weights | None = None,
) -> Deployable:
    """Fit a random forest on the true shares, so that its score is a probability."""
    given = dict(parameters)
    forest = RandomForestClassifier(
        n_estimators=int(given.pop("trees")),
        max_samples=min(len(features), _ROWS_OF_A_TREE_MAX),
        n_jobs=THREADS,
        random_state=seed,
        **given,
    )
    return Forest(names, forest=forest.fit(features, positive, sample_weight=weights))


def fit_isolation_forest(
    features: Matrix,
    positive: Labels,
    parameters: Parameters,
    names: Sequence[str],
    seed: int,
    weights: Weights | None = None,
) -> Deployable:
    """Fit an isolation forest; labels teach it nothing, nor does what they stand for."""
    del positive, weights
    forest = IsolationForest(
        n_estimators=int(parameters["trees"]),
        max_samples=min(len(features), int(parameters["max_samples"])),
        n_jobs=THREADS,
        random_state=seed,
    )
    return Isolation(names, forest=forest.fit(features))


def fit_logistic_regression(
    features: Matrix,
    positive: Labels,
    parameters: Parameters,
    names: Sequence[str],
    seed: int,
    weights: Weights | None = None,
) -> Deployable:
    """Fit the logistic regression that every run is compared with, with another regularisation."""
    del seed  # it has no choice to make
    return Logistic(names, pipeline=fit_logistic(features, positive, strength=float(parameters["C"]), weights=weights))


CONTENDERS: Final[Mapping[str, Fit]] = {
    "lightgbm": fit_lightgbm,
    "xgboost": fit_xgboost,
    "random_forest": fit_random_forest,
    "logistic_regression": fit_logistic_regression,
    "isolation_forest": fit_isolation_forest,
}
"""By the names of ``spaces.SPACES``; a stack of some of them is in ``stack.py``."""
