"""The Handbook's published figures: AUC ROC, average precision and card precision at 100, in its third decimal."""

from __future__ import annotations

from typing import Final, TypeAlias

Row: TypeAlias = tuple[float | None, float | None, float | None]

LOGISTIC: Final = "logistic regression"
SHALLOW_TREE: Final = "decision tree, depth 2"
TREE: Final = "decision tree, any depth"
FOREST: Final = "random forest"
XGBOOST: Final = "XGBoost"
LIGHTGBM: Final = "LightGBM"
ISOLATION: Final = "isolation forest"
CHOSEN_TREE: Final = "decision tree, chosen depth"

SINGLE_SPLIT: Final[dict[str, Row]] = {
    LOGISTIC: (0.871, 0.606, 0.291),
    SHALLOW_TREE: (0.763, 0.496, 0.241),
    TREE: (0.788, 0.309, 0.243),
    FOREST: (0.867, 0.658, 0.287),
    XGBOOST: (0.862, 0.639, 0.273),
    ISOLATION: (0.808, 0.164, 0.190),
}
"""Chapters 3.4 and 7: each model as its library sets it."""

FOUR_FOLDS: Final[dict[str, Row]] = {
    CHOSEN_TREE: (0.797, 0.579, 0.284),
    LOGISTIC: (0.868, 0.623, 0.297),
    FOREST: (0.870, 0.678, 0.299),
    XGBOOST: (0.869, 0.687, 0.303),
}
"""Chapter 5: the mean of four weeks, with parameters that were chosen by validation."""

OTHERS: Final[dict[str, Row]] = {
    "XGBoost, its optimum in hindsight": (0.872, 0.694, 0.304),
    "balanced bagging": (0.879, 0.680, 0.305),
    "feed-forward network": (0.876, 0.675, None),
    "LSTM": (0.876, 0.665, 0.297),
    "LSTM with attention": (0.874, 0.667, 0.295),
    "CNN": (0.872, 0.599, None),
}
"""Four folds, published and not run here."""
