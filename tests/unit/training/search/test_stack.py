"""A stack weighs what its base models say of later events than taught them, and is one graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.payments import DAY_MS, FEATURE_NAMES
from tests.unit.training.worlds import START_MS, build_matrix, build_world, make_sound
from weir import train
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training import cli
from weir.training.parts import build_parts
from weir.training.search.config import Config
from weir.training.search.folds import build_folds, build_rolls
from weir.training.search.spaces import SPACES, STACK
from weir.training.search.stack import Lesson, fit
from weir.training.split import MATURITY_MS

PARAMETERS = {"trees": 12, "C": 1.0}


def _times(days: float, rows: int = 2_000) -> np.ndarray:
    return (START_MS + np.linspace(0, days * DAY_MS, rows, endpoint=False)).astype(np.int64)


def test_what_teaches_the_weights_is_later_than_what_teaches_the_base_models_by_the_hold_of_label_risk() -> None:
    times, positive = _times(30), np.ones(2_000, np.int8)
    rolls = build_rolls(times, positive, payments)
    assert len(rolls) == 2
    for teaches, judges in rolls:
        gap_ms = times[judges].min() - times[teaches].max()
        assert abs(gap_ms - parse_ms("7d")) < 0.1 * DAY_MS
    assert rolls[0][1].max() < rolls[1][1].min()
    assert rolls[1][1].max() == len(times) - 1


def test_too_little_to_teach_a_stack_is_refused_and_says_what_to_leave_out() -> None:
    few = np.zeros(2_000, np.int8)
    few[::100] = 1
    with pytest.raises(
        Refused, match=r"stack: expected 11 days or more that teach, found 10.0; bring a longer .*stack"
    ):
        build_rolls(_times(10), few, payments)
    with pytest.raises(Refused, match=r"stack: expected 10 or more known frauds in each part .*, found 6; .*stack"):
        build_rolls(_times(18), few, payments)


def test_folds_are_rolled_only_where_a_stack_is_searched() -> None:
    examples, labels, _ = build_world(rows=20_000)
    split, _ = build_parts(examples, labels, MATURITY_MS)
    for spaces, found in ({STACK: SPACES[STACK]}, 2), (Config().spaces, 0):
        config = Config(spaces=spaces, folds=2)
        folds = build_folds(examples, labels, split, config, payments, MATURITY_MS)
        assert [len(fold.rolls) for fold in folds] == [found] * 2


def test_what_base_models_have_learnt_by_heart_has_no_weight() -> None:
    """Labels are noise: base models tell those apart that taught them, and no later ones."""
    features, _ = build_matrix(3_000, seed=2)
    positive = (np.random.default_rng(3).random(3_000) < 0.2).astype(np.int8)
    rolls = [(np.arange(0, 1_200), np.arange(1_300, 2_000)), (np.arange(0, 1_900), np.arange(2_000, 3_000))]
    spreads = []
    for given in (rolls, [(np.arange(3_000), np.arange(3_000))]):
        scores = fit(STACK, Lesson(features, positive, given), PARAMETERS, FEATURE_NAMES, 17).score(features)
        spreads.append(abs(scores[positive == 1].mean() - scores[positive == 0].mean()))
    assert spreads[0] < 0.05
    assert spreads[1] > 0.5


def test_a_search_among_a_stack_alone_ends_in_a_bundle_of_one_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    examples, labels, _ = build_world(rows=20_000)
    monkeypatch.setattr(cli, "load_history", lambda *_, **__: (make_sound(examples), labels))
    (tmp_path / "train.yaml").write_text("contenders: [stack]\ntrials: 1\nfolds: 2\nranges: {stack: {trees: 9}}\n")
    assert train.main(["train", "--config", str(tmp_path / "train.yaml"), "--no-track", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["search"]["chosen"]["contender"] == "stack"
    assert document["parity_max_abs_diff"] <= 1e-6
    graph = onnx.load(str(Path(document["bundle"]) / "model.onnx")).graph
    assert [each.name for each in graph.output] == ["score"]
    assert sum(node.op_type == "TreeEnsembleRegressor" for node in graph.node) == 2
