from __future__ import annotations

import warnings
from typing import Any

import lightgbm
import numpy as np
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.training.worlds import build_matrix
from weir.schemas.errors import WeirError
from weir.training.export import INPUT_NAME, OUTPUT_NAME, build_onnx, round_down_float32
from weir.training.models import Trees, fit_trees
from weir.training.parity import build_parity_rows, check_parity, run_onnx


@pytest.fixture(scope="module")
def fitted() -> tuple[Trees, np.ndarray]:
    features, is_fraud = build_matrix(4_000, seed=1)
    train = features[:3_000].copy(), is_fraud[:3_000].astype(np.int8)
    validation = features[3_000:].copy(), is_fraud[3_000:].astype(np.int8)
    return fit_trees(train, validation, FEATURE_NAMES, trees=40), features


def _check(model: Any, trees: Trees, features: np.ndarray) -> float:
    return check_parity(model, trees, features, input_name=INPUT_NAME, output_name=OUTPUT_NAME)


def _score(model: Any, features: np.ndarray) -> np.ndarray:
    return run_onnx(model, features, input_name=INPUT_NAME, output_name=OUTPUT_NAME)


def test_the_graph_gives_the_score_of_the_trees_with_and_without_missing_values(fitted: Any) -> None:
    trees, features = fitted
    assert _check(build_onnx(trees.booster, metadata={"name": "t"}), trees, features) < 1e-6


def test_parity_rows_hold_missing_values_an_empty_row_and_rows_on_every_threshold(fitted: Any) -> None:
    trees, features = fitted
    rows = build_parity_rows(features, trees)
    assert np.isnan(rows).all(axis=1).any()
    assert np.isnan(rows).any(axis=1).sum() > len(features)
    assert len(rows) > 2 * len(features) + 1


def test_the_graph_has_one_output_which_is_the_score(fitted: Any) -> None:
    trees, _ = fitted
    graph = build_onnx(trees.booster, metadata={}).graph
    assert [output.name for output in graph.output] == [OUTPUT_NAME]
    assert [dim.dim_value for dim in graph.output[0].type.tensor_type.shape.dim] == [0, 1]


def test_the_graph_equals_the_reference_converter_on_real_rows(fitted: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnxmltools.convert import convert_lightgbm  # noqa: PLC0415
        from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415

        trees, features = fitted
        inputs = [(INPUT_NAME, FloatTensorType([None, features.shape[1]]))]
        reference = convert_lightgbm(trees.booster, initial_types=inputs, zipmap=False, target_opset=15)
    theirs = run_onnx(reference, features, input_name=INPUT_NAME, output_name="probabilities")
    np.testing.assert_allclose(_score(build_onnx(trees.booster, metadata={}), features), theirs, atol=1e-6)


def test_a_value_missing_only_after_training_scores_as_the_source_does() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2_000, 4)).astype(np.float32)  # nothing missing: the trees learn no default branch
    is_fraud = (features[:, 0] + features[:, 1] > 1).astype(np.int8)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    trees = Trees(lightgbm.train(parameters, lightgbm.Dataset(features, is_fraud), 20))
    features[rng.random(features.shape) < 0.5] = np.nan
    assert np.abs(_score(build_onnx(trees.booster, metadata={}), features) - trees.score(features)).max() < 1e-6


def test_a_split_of_negative_values_from_zero_is_no_difference() -> None:
    #   LightGBM splits at -1e-35, and takes a value that small for 0: no row may lie on that threshold
    features = np.array([[-5.0], [0.0], [7.0]] * 200, np.float32)
    is_fraud = np.array([1, 0, 0] * 200, np.int8)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1}
    trees = Trees(lightgbm.train(parameters, lightgbm.Dataset(features, is_fraud), 5))
    assert trees.booster.trees_to_dataframe()["threshold"].min() == pytest.approx(-1e-35)
    assert _check(build_onnx(trees.booster, metadata={}), trees, features) < 1e-6


def test_a_threshold_between_two_neighbouring_float32_values_keeps_them_apart() -> None:
    low = np.nextafter(np.float32(1), np.float32(2))  # its neighbour has the even mantissa: halfway rounds up to it
    high = np.nextafter(low, np.float32(2))
    features = np.array([[low], [high]] * 200, np.float32)
    is_fraud = np.array([0, 1] * 200, np.int8)
    parameters = {"objective": "binary", "verbose": -1, "min_data_in_leaf": 1, "num_threads": 1}
    trees = Trees(lightgbm.train(parameters, lightgbm.Dataset(features, is_fraud), 10))
    scores = _score(build_onnx(trees.booster, metadata={}), features[:2])
    np.testing.assert_allclose(scores, trees.score(features[:2]), atol=1e-6)
    assert scores[1] > scores[0]


@pytest.mark.parametrize("value", [0.1, -0.1, 1 / 3, 1e-35, 5e12 + 0.5, 0.0])
def test_a_threshold_is_rounded_down_and_never_up(value: float) -> None:
    rounded = round_down_float32(value)
    assert rounded <= value < float(np.nextafter(np.float32(rounded), np.float32(np.inf)))


def test_a_graph_of_another_model_is_refused(fitted: Any) -> None:
    trees, features = fitted
    features_b, is_fraud_b = build_matrix(2_000, seed=9)
    other = fit_trees(
        (features_b, is_fraud_b.astype(np.int8)), (features_b, is_fraud_b.astype(np.int8)), FEATURE_NAMES, trees=5
    )
    with pytest.raises(WeirError, match=r"expected at most 0\.0001, found"):
        _check(build_onnx(other.booster, metadata={}), trees, features)


def test_a_constant_model_is_refused() -> None:
    features = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    is_fraud = np.array([0, 1] * 100, np.int8)
    parameters = {"objective": "binary", "verbose": -1, "min_data_in_leaf": 20, "num_threads": 1, "learning_rate": 1e-9}
    trees = Trees(lightgbm.train(parameters, lightgbm.Dataset(features, is_fraud), 2))
    with pytest.raises(WeirError, match="expected scores that vary"):
        _check(build_onnx(trees.booster, metadata={}), trees, features)


def test_another_objective_is_refused() -> None:
    features = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(features, features[:, 0].copy()), 2)
    with pytest.raises(WeirError, match="expected the objective binary"):
        build_onnx(booster, metadata={})
