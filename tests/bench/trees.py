"""A model of 200 trees over the shipped stream's features, fitted in seconds to what no card has done: for its cost."""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt

from tests.golden import bundle as golden
from weir.inference.bundle import Bundle, load_bundle
from weir.schemas.streams.payments import payments
from weir.training.export import build_onnx
from weir.training.models import LIGHTGBM_PARAMETERS

TREES, FITTED_ROWS = 200, 100_000


def build_trees(folder: Path, features: npt.NDArray[np.float32], seed: int) -> Bundle:
    """Write a bundle that no threshold of quality has passed, and load it.

    Args:
        folder: of the bundle, which is made.
        features: float32, shape (rows, features of the stream); few of them are fitted.
        seed: of what is drawn.
    """
    dice = np.random.default_rng(seed)
    rows = features[dice.choice(len(features), min(len(features), FITTED_ROWS), replace=False)]
    amounts = np.nan_to_num(rows[:, payments.feature_names.index("transaction_amount")])
    positive = dice.random(len(rows)) < 0.01 + 0.3 * (amounts > np.quantile(amounts, 0.98))
    data = lightgbm.Dataset(rows, positive.astype(np.int8), feature_name=list(payments.feature_names))
    trees = lightgbm.train(LIGHTGBM_PARAMETERS, data, num_boost_round=TREES)
    graph = build_onnx(trees, metadata={}).SerializeToString()
    golden.write_graph(folder, graph, payments.feature_names, payments.declarations_hash, name="trees")
    return load_bundle(folder, stream=payments)
