"""What each kind of model can be given: where the search begins, and between which values it looks.

The number of trees is a parameter like the others. Stopping early on the rows that judge a fold would favour the models
that can stop early. Nothing heavy is imported here, so that a config file is checked before anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Value = int | float
Parameters = Mapping[str, Value]


@dataclass(frozen=True)
class Range:
    """Where a parameter is looked for.

    Attributes:
        start: tried first.
        low: smallest.
        high: largest.
        log: whether to look by orders of magnitude.
    """

    start: Value
    low: Value
    high: Value
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole numbers alone."""
        return isinstance(self.start, int)

    def narrow(self, low: Value, high: Value) -> Range:
        """Return the range between other bounds; it begins at the nearest value."""
        return Range(min(max(self.start, low), high), low, high, self.log)


Space = Mapping[str, Range]

STACK: Final = "stack"
"""Of other contenders, so a trial of it takes as long as several of theirs: tried where it is asked for."""

SPACES: Final[Mapping[str, Space]] = {
    "lightgbm": {
        "trees": Range(80, 30, 300, log=True),
        "num_leaves": Range(31, 7, 63, log=True),
        "learning_rate": Range(0.1, 0.02, 0.2, log=True),
        "min_data_in_leaf": Range(30, 10, 200, log=True),
        "lambda_l2": Range(5.0, 0.1, 50.0, log=True),
        "feature_fraction": Range(0.6, 0.3, 1.0),
        "bagging_fraction": Range(0.8, 0.5, 1.0),
        "extra_trees": Range(1, 0, 1),
    },
    "xgboost": {
        "trees": Range(100, 30, 300, log=True),
        "max_depth": Range(5, 3, 8),
        "learning_rate": Range(0.1, 0.02, 0.3, log=True),
        "min_child_weight": Range(5.0, 1.0, 50.0, log=True),
        "reg_lambda": Range(5.0, 0.1, 50.0, log=True),
        "colsample_bytree": Range(0.6, 0.3, 1.0),
        "subsample": Range(0.8, 0.5, 1.0),
    },
    "random_forest": {
        "trees": Range(100, 50, 200, log=True),
        "max_depth": Range(12, 4, 16),
        "min_samples_leaf": Range(10, 2, 100, log=True),
        "max_features": Range(0.2, 0.05, 0.6),
    },
    "logistic_regression": {"C": Range(0.1, 0.0001, 10.0, log=True)},
    "isolation_forest": {"trees": Range(100, 50, 300, log=True), "max_samples": Range(256, 64, 2_048, log=True)},
    STACK: {"trees": Range(80, 30, 200, log=True), "C": Range(1.0, 0.001, 100.0, log=True)},
}
"""Each begins where ``weir train`` without a config stands, or where its library does."""

DEFAULT_SPACES: Final = {name: space for name, space in SPACES.items() if name != STACK}


def list_starts(spaces: Mapping[str, Space]) -> list[tuple[str, Parameters]]:
    """Return the first trial of each kind of model."""
    return [(name, {key: each.start for key, each in space.items()}) for name, space in spaces.items()]
