from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.training.worlds import build_matrix, make_sound_matrix
from weir.schemas.errors import WeirError
from weir.training.export import INPUT_NAME, OUTPUT_NAME
from weir.training.models import LIGHTGBM_PARAMETERS, Deployable
from weir.training.parity import build_parity_rows, check_parity
from weir.training.search import graphs
from weir.training.search.config import PARITY_MAX
from weir.training.search.spaces import SPACES, list_starts
from weir.training.search.stack import Lesson, fit

FEATURES, IS_FRAUD = build_matrix(3_000, seed=1)
FEATURES = make_sound_matrix(FEATURES)
FEATURES[:, FEATURE_NAMES.index("card_refund_count_1d")] = np.nan
"""A column of nothing, as label risk is in a short history."""
ROLLS = [(np.arange(0, end), np.arange(end + 100, end + 500)) for end in (1_000, 1_400)]


@pytest.fixture(scope="module")
def fitted() -> dict[str, Deployable]:
    positive = IS_FRAUD.astype(np.int8)
    return {
        name: fit(name, Lesson(FEATURES[:2_000], positive[:2_000], ROLLS), _fewer(parameters), FEATURE_NAMES, 17)
        for name, parameters in list_starts(SPACES)
    }


def _fewer(parameters: Any) -> Any:
    return {**parameters, "trees": 12} if "trees" in parameters else parameters


def _check(model: Deployable, graph: Any) -> float:
    return check_parity(
        graph, model, FEATURES, input_name=INPUT_NAME, output_name=OUTPUT_NAME, difference_max=PARITY_MAX
    )


@pytest.mark.parametrize("name", SPACES)
def test_the_graph_of_a_contender_gives_its_scores(name: str, fitted: dict[str, Deployable]) -> None:
    model = fitted[name]
    rows = build_parity_rows(FEATURES, model)
    assert np.isnan(rows).any()
    assert len(rows) > 6_000 + 3 * model.kept
    assert _check(model, model.build_graph({"name": "t"})) <= PARITY_MAX
    if name != "isolation_forest":
        assert model.score(FEATURES[2_000:])[IS_FRAUD[2_000:]].mean() > 1.4 * model.score(FEATURES[2_000:]).mean()


@pytest.mark.parametrize("name", ["xgboost", "random_forest", "isolation_forest"])
def test_a_missing_value_that_goes_the_other_way_is_found(name: str, fitted: dict[str, Deployable]) -> None:
    graph = fitted[name].build_graph({})
    for attribute in graph.graph.node[0].attribute:
        if attribute.name == "nodes_missing_value_tracks_true":
            attribute.ints[:] = [1 - each for each in attribute.ints]
    with pytest.raises(WeirError, match="parity: expected at most 1e-06, found"):
        _check(fitted[name], graph)


def test_a_threshold_that_is_rounded_to_the_nearest_is_found(
    fitted: dict[str, Deployable], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "round_down_float32", lambda value: float(np.float32(value)))
    model = fitted["random_forest"]
    with pytest.raises(WeirError, match="parity: expected at most 1e-06, found"):
        _check(model, model.build_graph({}))


def test_a_comparison_that_takes_equal_values_is_found(fitted: dict[str, Deployable]) -> None:
    graph = fitted["xgboost"].build_graph({})
    for attribute in graph.graph.node[0].attribute:
        if attribute.name == "nodes_modes":
            attribute.strings[:] = [b"BRANCH_LEQ" if mode == b"BRANCH_LT" else mode for mode in attribute.strings]
    with pytest.raises(WeirError, match="parity: expected at most 1e-06, found"):
        _check(fitted["xgboost"], graph)


@pytest.mark.parametrize("name", SPACES)
def test_what_tells_frauds_is_what_matters_most(name: str, fitted: dict[str, Deployable]) -> None:
    importance = fitted[name].compute_importance(FEATURES[:300])
    assert set(importance) == set(FEATURE_NAMES)
    if name != "isolation_forest":
        assert "card_event_count_5m" in list(importance)[:3]


def test_the_start_of_lightgbm_is_the_model_without_a_config_but_for_its_length() -> None:
    starts = dict(list_starts(SPACES))["lightgbm"]
    assert {key: value for key, value in starts.items() if key != "trees"} == {
        key: LIGHTGBM_PARAMETERS[key] for key in starts if key != "trees"
    }
