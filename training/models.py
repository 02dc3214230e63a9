"""The three contenders: LightGBM, a logistic regression on the same features, and the best stateless rule.

The baselines keep the headline honest. The logistic regression shows what trees add; the stateless rule shows what
windows add: if fraud could be told from an event alone, nobody would need a stream. Fraud is what a stream's labels
find true, whatever they call it.

No class weights: with log loss on the true shares the score stays a probability, which the thresholds' costs need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import lightgbm
import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from weir.schemas.entity import Aggregate
from weir.schemas.stream import Stream
from weir.training.export import build_onnx

Matrix = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]

SEED = 17
TREES = 200
TREES_QUICK = 80
LEAVES = 31
THREADS = 1
"""LightGBM's threads spin while they wait: on two busy cores, two took 70 s for a fit that one does in 10 s."""
_ROUNDS_WITHOUT_GAIN = 30
_LEGITIMATE_ROWS_MAX = 40_000
"""Bound on the logistic fit: more legitimate rows no longer move its hundred or so weights."""
_RULE_DEPTH, _RULE_ROWS_MIN = 6, 50
"""Shallower rules are too coarse for a threshold at 0.5 % false positives, finer ones do not hold a month later."""

LIGHTGBM_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "metric": "average_precision",
    "num_leaves": LEAVES,
    # a few hundred frauds against a hundred features: split points drawn at random generalise better than the best ones
    "extra_trees": True,
    "learning_rate": 0.1,
    "min_data_in_leaf": 30,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    # the same history gives the same model, on any number of cores
    "seed": SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": THREADS,
    "verbose": -1,
}


class Model(Protocol):
    """Anything that scores rows of the training matrix."""

    def score(self, features: Matrix) -> Scores:
        """Return one score per row, higher is more suspicious, shape (n,)."""


class Deployable(Model, Protocol):
    """A model that can be exported."""

    @property
    def name(self) -> str:
        """The kind of model for people, such as ``LightGBM``."""

    @property
    def importance_is(self) -> str:
        """What ``compute_importance`` returns, in words."""

    @property
    def kept(self) -> int:
        """How many trees score; 0 where there are none."""

    def compute_importance(self, features: Matrix) -> dict[str, float]:
        """Return how much each feature matters on these rows, largest first."""

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return ``onnx.ModelProto`` with the input and output of ``weir.training.export``."""

    def list_splits(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the columns and the thresholds of every split; none where there are no trees."""


@dataclass(frozen=True)
class Trees:
    """LightGBM's boosted trees; the score is P(fraud)."""

    booster: Any
    name: str = "LightGBM"
    importance_is: str = "Mean absolute SHAP value in log-odds"

    @property
    def kept(self) -> int:
        """How many trees score: those up to the best iteration."""
        return int(self.booster.best_iteration or self.booster.num_trees())

    def score(self, features: Matrix) -> Scores:
        """Return P(fraud), float64, shape (n,)."""
        return cast(Scores, self.booster.predict(features, num_threads=THREADS))

    def compute_importance(self, features: Matrix) -> dict[str, float]:
        """Return the mean absolute SHAP value per feature in log-odds, largest first (exact TreeSHAP)."""
        shares = self.booster.predict(features, pred_contrib=True, num_threads=THREADS)[:, :-1]
        contributions = np.abs(shares).mean(axis=0)
        order = np.argsort(-contributions, kind="stable")
        names = self.booster.feature_name()
        return {names[i]: float(contributions[i]) for i in order}

    def build_graph(self, metadata: dict[str, str]) -> Any:
        """Return the trees as an ONNX graph."""
        return build_onnx(self.booster, metadata=metadata)

    def list_splits(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the columns and the thresholds of every split."""
        nodes = self.booster.trees_to_dataframe().dropna(subset=["threshold"])
        names = {name: i for i, name in enumerate(self.booster.feature_name())}
        columns = nodes["split_feature"].map(names).to_numpy(np.int64)
        return columns, nodes["threshold"].to_numpy(np.float64)


@dataclass(frozen=True)
class Pipeline:
    """A fitted scikit-learn estimator over some columns of the matrix."""

    estimator: Any
    columns: tuple[int, ...]

    def score(self, features: Matrix) -> Scores:
        """Return the estimator's probability of fraud, float64, shape (n,)."""
        return cast(Scores, self.estimator.predict_proba(features[:, self.columns])[:, 1])


def fit_trees(
    train: tuple[Matrix, Labels],
    validation: tuple[Matrix, Labels],
    names: Sequence[str],
    *,
    trees: int = TREES,
    weights: tuple[Weights | None, Weights | None] = (None, None),
) -> Trees:
    """Fit LightGBM; it stops early when the validation interval's average precision no longer gains.

    Args:
        train: features float32 (n, len(names)) and labels 0 or 1 (n,).
        validation: the same of a later interval; chooses the number of trees, nothing else.
        names: of the features.
        trees: upper bound on the number of trees.
        weights: of the rows of both, by ``training/weights.py``; None where all are 1.
    """
    of_train, of_validation = weights
    given: dict[str, Any] = {"feature_name": list(names)}
    train_set = lightgbm.Dataset(train[0], train[1], weight=of_train, **given)
    validation_set = lightgbm.Dataset(*validation, reference=train_set, weight=of_validation, **given)
    stop = lightgbm.early_stopping(_ROUNDS_WITHOUT_GAIN, verbose=False)
    booster = lightgbm.train(
        LIGHTGBM_PARAMETERS, train_set, num_boost_round=trees, valid_sets=[validation_set], callbacks=[stop]
    )
    return Trees(booster)


def fit_logistic(
    features: Matrix, positive: Labels, *, strength: float = 0.1, weights: Weights | None = None
) -> Pipeline:
    """Fit a logistic regression on all features: signed logarithm, median imputation with indicators, scaling."""
    rows = _bounded_rows(positive)
    estimator = make_pipeline(
        FunctionTransformer(_signed_log),
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=strength, solver="newton-cholesky", max_iter=50),
    )
    given = None if weights is None else weights[rows]
    estimator.fit(features[rows], positive[rows], logisticregression__sample_weight=given)
    return Pipeline(estimator, tuple(range(features.shape[1])))


def list_stateless(stream: Stream) -> tuple[int, ...]:
    """Return the columns that come from the event alone."""
    return tuple(i for i, feature in enumerate(stream.all_features) if feature.aggregate == Aggregate.VALUE)


def fit_stateless_rule(
    features: Matrix, positive: Labels, columns: tuple[int, ...], weights: Weights | None = None
) -> Pipeline:
    """Fit the best rules of up to six conditions each on the event's own fields: no windows, no history."""
    estimator = DecisionTreeClassifier(max_depth=_RULE_DEPTH, min_samples_leaf=_RULE_ROWS_MIN, random_state=SEED)
    estimator.fit(features[:, columns], positive, sample_weight=weights)
    return Pipeline(estimator, columns)


def _signed_log(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    logged: npt.NDArray[Any] = np.sign(values) * np.log1p(np.abs(values))
    return logged


def _bounded_rows(positive: Labels) -> npt.NDArray[np.int64]:
    legitimate = np.flatnonzero(positive == 0)
    if len(legitimate) > _LEGITIMATE_ROWS_MAX:
        legitimate = np.random.default_rng(SEED).choice(legitimate, _LEGITIMATE_ROWS_MAX, replace=False)
    return np.sort(np.concatenate([legitimate, np.flatnonzero(positive == 1)]))
