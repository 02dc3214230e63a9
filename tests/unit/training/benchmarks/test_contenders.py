"""The published models learn, each by the protocol's own way of fitting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from weir.training.benchmarks.handbook import published
from weir.training.benchmarks.handbook.contenders import fit_and_score, list_chosen, list_single_split

SINGLE = list_single_split()
CHOSEN = [(name, parameters) for name, builds in list_chosen().items() for parameters in builds]


def _judge(build: Callable[[], Any]) -> float:
    chance = np.random.default_rng(5)
    features = chance.normal(size=(1_200, 15)).astype(np.float32)
    fraud = (features[:, 4] + 0.3 * chance.normal(size=1_200) > 1.5).astype(np.int8)
    features[fraud == 1] += 1  # so that a forest without labels finds them too
    features[::11, 7] = np.nan
    return float(roc_auc_score(fraud[800:], fit_and_score(build, features[:800], fraud[:800], features[800:])))


@pytest.mark.parametrize("name", SINGLE)
def test_a_model_as_its_library_sets_it_learns(name: str) -> None:
    assert _judge(SINGLE[name]) > 0.7


@pytest.mark.parametrize(("name", "parameters"), CHOSEN)
def test_a_model_with_chosen_parameters_learns(name: str, parameters: str) -> None:
    assert _judge(list_chosen()[name][parameters]) > 0.7


def test_each_published_figure_has_its_model() -> None:
    assert set(published.SINGLE_SPLIT) <= set(SINGLE)
    assert set(published.FOUR_FOLDS) <= set(list_chosen())
