"""Trains the model that the scorer is measured with: exactly 200 trees. A process of its own.

``weir train`` stops when a validation interval no longer gains, which on a small history is early; here the fit goes to
its end. Everything else, from the history to the export and its parity check, is the product's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import lightgbm

import weir.train
import weir.training.pipeline
from tests.faults.patch import replace
from weir.training.models import LIGHTGBM_PARAMETERS, TREES, Labels, Matrix, Trees


def _fit_all(
    train: tuple[Matrix, Labels], validation: tuple[Matrix, Labels], names: Sequence[str], *, trees: int = TREES
) -> Trees:
    del validation
    features = lightgbm.Dataset(train[0], train[1], feature_name=list(names))
    return Trees(lightgbm.train(LIGHTGBM_PARAMETERS, features, num_boost_round=trees))


def main() -> int:
    """Train on the history in the folder named first, and promote."""
    replace(weir.training.pipeline, fit_trees=_fit_all)
    return weir.train.main(["train", "--history", sys.argv[1], "--trees", str(TREES), "--promote", "--no-track"])


if __name__ == "__main__":
    sys.exit(main())
