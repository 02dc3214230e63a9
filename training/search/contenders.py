"""Fits one contender with the parameters of one trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import lightgbm

from weir.training.models import LIGHTGBM_PARAMETERS, Deployable, Labels, Matrix, Trees
from weir.training.search.spaces import Parameters

Fit = Callable[[Matrix, Labels, Parameters, Sequence[str], int], Deployable]


def fit_lightgbm(
    features: Matrix, positive: Labels, parameters: Parameters, names: Sequence[str], seed: int
) -> Deployable:
    """Fit LightGBM with a fixed number of trees; what is no parameter is as without a config."""
    given: dict[str, Any] = {**LIGHTGBM_PARAMETERS, **parameters, "seed": seed}
    rounds = int(given.pop("trees"))
    given["extra_trees"] = bool(given["extra_trees"])
    rows = lightgbm.Dataset(features, positive, feature_name=list(names))
    return Trees(lightgbm.train(given, rows, num_boost_round=rounds))


CONTENDERS: Final[Mapping[str, Fit]] = {"lightgbm": fit_lightgbm}
"""By the names of ``spaces.SPACES``."""
