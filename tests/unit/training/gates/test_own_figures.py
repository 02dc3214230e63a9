"""The gate of a model's own figures asks every kind of model that is trained, and says where it asks nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.payments import DAY_MS, FEATURE_NAMES
from tests.unit.inference.bundles import write_bundle
from tests.unit.training.gates.test_judge import CUT, GOOD, STEADY
from tests.unit.training.worlds import build_world, make_sound
from weir.inference.bundle import Manifest, load_bundle
from weir.inference.published.gate import Gate
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training import pipeline
from weir.training.gates.judge import Later, Measured, Scored, judge
from weir.training.gates.leakage import OWN_FIGURES, InputLeak, Taught
from weir.training.gates.measure import find_own_pr_auc
from weir.training.parts import Part, build_parts, set_calibration_apart
from weir.training.results import BASELINES
from weir.training.search.config import PARITY_MAX
from weir.training.search.contenders import CONTENDERS
from weir.training.search.spaces import SPACES, list_starts
from weir.training.split import Split

MATURITY_MS, NOW_MS = 7 * DAY_MS, 1_720_000_000_000
STARTS = dict(list_starts(SPACES))
World = tuple[Any, Split, Mapping[str, Part]]


@pytest.fixture(scope="module")
def world() -> World:
    examples, labels, _ = build_world(rows=4_000)
    examples = make_sound(examples)
    split, parts = set_calibration_apart(*build_parts(examples, labels, MATURITY_MS, payments), examples)
    return examples, split, parts


def _train(name: str, world: World, folder: Path) -> Path:
    """Train one contender as ``weir train --config`` does with its winner, and return the bundle."""
    examples, split, parts = world
    few = {**STARTS[name], "trees": 5} if "trees" in STARTS[name] else STARTS[name]
    model = CONTENDERS[name](*parts["train"].pair, few, FEATURE_NAMES, 17, None)
    options = pipeline.Options(
        "fraud",
        5,
        "made-up rows",
        folder,
        1_720_000_000_000,
        MATURITY_MS,
        payments.declarations_hash,
        difference_max=PARITY_MAX,
    )
    graph = pipeline.export(model, parts, options)
    return pipeline.finish(name, model, graph, (split, parts), examples, options, lambda _: None).bundle


@pytest.mark.parametrize("name", CONTENDERS)
def test_the_own_figure_of_every_kind_of_model_is_that_of_its_test_interval(
    name: str, world: World, tmp_path: Path
) -> None:
    bundle = load_bundle(_train(name, world, tmp_path), stream=payments)
    test = world[2]["test"]
    said = find_own_pr_auc(bundle.manifest)
    assert said == pytest.approx(average_precision_score(test.positive, bundle.score(test.features)), abs=1e-3)


def _gate(own: float | str | None, *, skill: bool = True, later: bool = True) -> Gate:
    positive = np.tile(np.array([1, *[0] * 19], np.int8), 100)
    scores = (positive * 0.5 if skill else np.random.default_rng(4).random(len(positive))).astype(np.float64)
    rows = Later(positive, Scored(scores, CUT, STEADY), None, InputLeak(0.8, "a", 0.5, "a"))
    measured = Measured(rows if later else "no history", 1e-7, own, (3.0, None), Taught(1, 2), GOOD)
    (found,) = (gate for gate in judge(measured) if gate.name == OWN_FIGURES)
    return found


@pytest.mark.parametrize("name", SPACES)
def test_a_figure_that_does_not_hold_later_is_found_of_every_kind_of_model(name: str, tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, {"test": {name: {"pr_auc": 0.97}, "logistic": {"pr_auc": 0.1}}})
    own = find_own_pr_auc(manifest)
    assert (_gate(own).passed, _gate(own, skill=False).passed) == (True, False)


def test_no_kind_of_model_is_called_as_what_all_are_judged_next_to() -> None:
    assert not set(SPACES) & set(BASELINES)


@pytest.mark.parametrize("metrics", [None, {}, {"pr_auc": 0.5}])
def test_a_model_from_elsewhere_is_not_asked_and_the_gate_says_so(metrics: Any, tmp_path: Path) -> None:
    own = find_own_pr_auc(_manifest(tmp_path, metrics))
    for gate in (_gate(own), _gate(own, later=False)):
        assert (gate.passed, gate.found) == (True, "does not apply: the manifest has no figures of a test interval")


@pytest.mark.parametrize(
    ("test", "found"),
    [
        ({"xgboost": {"pr_auc": 0.4}, "lightgbm": {"pr_auc": 0.5}}, "xgboost, lightgbm"),
        ({"logistic": {"pr_auc": 0.4}}, "none"),
        ({"xgboost": {"roc_auc": 0.4}}, "xgboost"),
        ({"xgboost": {"pr_auc": True}}, "xgboost"),
        ({"xgboost": {"pr_auc": 40}}, "xgboost"),
        ([0.4], "none"),
    ],
)
def test_figures_that_are_not_clearly_of_the_model_are_not_passed(test: Any, found: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"expected the PR-AUC of one model in metrics.test .* found {found}$") as refused:
        find_own_pr_auc(_manifest(tmp_path, {"test": test}))
    gate = _gate(str(refused.value))
    assert not gate.passed
    assert gate.found.startswith("not measured: expected the PR-AUC of one model")


def test_figures_without_later_rows_are_not_passed() -> None:
    gate = _gate(0.4, later=False)
    assert (gate.passed, gate.found) == (False, "not measured: no history")


def _manifest(folder: Path, metrics: Any) -> Manifest:
    found = write_bundle(folder)
    document = json.loads((found / "manifest.json").read_text())
    (found / "manifest.json").write_text(json.dumps({**document, "metrics": metrics}))
    return load_bundle(found, stream=payments).manifest
