"""The published models, with the parameters that the Handbook gave them, on its 15 features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import lightgbm
import numpy as np
import xgboost
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from weir.training.benchmarks.handbook import published
from weir.training.benchmarks.handbook.replay import Matrix
from weir.training.benchmarks.handbook.simulator import Floats
from weir.training.models import THREADS

Build = Callable[[], Any]

_SEED: Final = 0
DEPTHS: Final = (2, 4, 6, 8, 10)
STRENGTHS: Final = (0.1, 1.0, 10.0)
"""Of a logistic regression: the inverse of its regularisation."""


def fit_and_score(build: Build, features: Matrix, fraud: Any, judged: Matrix) -> Floats:
    """Fit a model on scaled features and return its scores of other rows; a missing value is 0, as published."""
    model = make_pipeline(StandardScaler(), build())
    model.fit(np.nan_to_num(features), fraud)
    judged = np.nan_to_num(judged)
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(judged)[:, 1], np.float64)
    return -np.asarray(model.score_samples(judged), np.float64)  # it says how normal a row is


def list_single_split() -> Mapping[str, Build]:
    """Return the models as their libraries set them."""
    return {
        published.LOGISTIC: lambda: LogisticRegression(random_state=_SEED),
        published.SHALLOW_TREE: lambda: DecisionTreeClassifier(max_depth=2, random_state=_SEED),
        published.TREE: lambda: DecisionTreeClassifier(random_state=_SEED),
        published.FOREST: lambda: RandomForestClassifier(random_state=_SEED, n_jobs=THREADS),
        published.XGBOOST: lambda: xgboost.XGBClassifier(random_state=_SEED, n_jobs=THREADS),
        published.LIGHTGBM: lambda: lightgbm.LGBMClassifier(random_state=_SEED, n_jobs=THREADS, verbose=-1),
        published.ISOLATION: lambda: IsolationForest(random_state=_SEED, n_jobs=THREADS),
    }


def list_chosen() -> Mapping[str, Mapping[str, Build]]:
    """Return, by published model, what is chosen from by validation."""
    forest = partial(RandomForestClassifier, max_depth=20, random_state=_SEED, n_jobs=THREADS)
    boosted = partial(
        xgboost.XGBClassifier, n_estimators=50, learning_rate=0.3, max_depth=3, random_state=_SEED, n_jobs=THREADS
    )
    return {
        published.CHOSEN_TREE: {f"depth {depth}": _tree(depth) for depth in DEPTHS},
        published.LOGISTIC: {f"C {strength:g}": _logistic(strength) for strength in STRENGTHS},
        published.FOREST: {"100 trees, depth 20": forest},
        published.XGBOOST: {"50 trees, rate 0.3, depth 3": boosted},
        published.LIGHTGBM: {"200 trees, rate 0.05, 50 rows a leaf": _regularised},
    }


def _tree(depth: int) -> Build:
    return lambda: DecisionTreeClassifier(max_depth=depth, random_state=_SEED)


def _logistic(strength: float) -> Build:
    return lambda: LogisticRegression(C=strength, random_state=_SEED)


def _regularised() -> Any:
    return lightgbm.LGBMClassifier(
        n_estimators=200,
        learning_rate=0.05,
        min_child_samples=50,
        reg_lambda=10.0,
        colsample_bytree=0.6,
        subsample=0.8,
        subsample_freq=1,
        random_state=_SEED,
        n_jobs=THREADS,
        verbose=-1,
    )
