from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.payments import DAY_MS, DECLARATIONS_HASH
from tests.unit.training.worlds import build_world
from weir.inference.bundle import load_bundle
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training import thresholds as pricing
from weir.training.model_card import Identity, build_card
from weir.training.parts import FRAUDS_APART_MIN, build_parts, set_calibration_apart
from weir.training.pipeline import Options, Trained, run_training
from weir.training.split import MATURITY_MS


def _options(folder: Path) -> Options:
    return Options("fraud", 30, "made-up rows", folder, 1_700_000_000_000, MATURITY_MS, DECLARATIONS_HASH)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    examples, labels, _ = build_world()
    return run_training(examples, labels, _options(tmp_path_factory.mktemp("models")), lambda _: None)


def test_the_model_beats_the_stateless_rule_when_fraud_lies_in_the_windows(trained: Trained) -> None:
    figures = trained.results.metrics
    assert figures["lightgbm"]["roc_auc"] > 0.9
    assert figures["lightgbm"]["pr_auc"] > figures["stateless_rule"]["pr_auc"] + 0.2


def test_the_manifest_holds_what_a_scorer_needs(trained: Trained) -> None:
    manifest = json.loads((trained.bundle / "manifest.json").read_text())
    assert 0 < manifest["thresholds"]["review"] <= manifest["thresholds"]["decline"] <= 1
    assert manifest["parity_max_abs_diff"] < 1e-6
    assert len(manifest["reference"]) == len(manifest["features"])
    assert set(manifest["metrics"]["test"]) == {"lightgbm", "logistic", "stateless_rule"}
    start, end = manifest["training_interval_ms"]
    assert end - start > DAY_MS


def test_the_card_names_intervals_figures_limits_and_what_the_model_looks_at(trained: Trained) -> None:
    card = (trained.bundle / "model_card.md").read_text()
    for heading in ("## Data", "## Figures on the test interval", "## Thresholds", "## Limits"):
        assert heading in card
    assert "card_event_count_5m" in card.split("## What the model looks at")[1]


def test_the_bundle_says_what_a_score_is_worth_and_the_card_on_what_it_was_fitted(trained: Trained) -> None:
    bundle = load_bundle(trained.bundle, stream=payments)
    assert bundle.calibration == trained.results.worth
    assert trained.results.split.calibration is None
    card = (trained.bundle / "model_card.md").read_text()
    section = card.split("## Calibration")[1].split("## What")[0]
    assert "of the validation interval, which chose the thresholds" in section
    found = json.loads((trained.bundle / "manifest.json").read_text())["metrics"]["calibration"]
    for name in ("positive", "negative"):
        share, low, high = (found[f"coverage_{name}{end}"] for end in ("", "_low", "_high"))
        assert low <= share <= high
        assert f"| {name} | {share:.1%} | {low:.1%} to {high:.1%} |" in section
    assert (trained.bundle / "reliability.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("keys", [8, 9])
def test_the_card_names_a_class_that_every_prediction_set_holds_and_says_why(trained: Trained, keys: int) -> None:
    results = trained.results
    assert results.worth is not None
    never = "Every prediction set holds"
    assert never not in (trained.bundle / "model_card.md").read_text()
    worth, counts = replace(results.worth, positive_from=0.0), {**results.worth_keys, "positive": keys}
    identity = Identity("fraud", "1", "made-up rows", 0.0, DECLARATIONS_HASH)
    results = replace(results, worth=worth, worth_keys=counts)
    card = build_card(identity, payments, results, pricing.prices_of(payments))
    (said,) = (line for line in card.splitlines() if line.startswith(never))
    assert said.startswith("Every prediction set holds POSITIVE: ")
    assert ("fitted on 8 keys of that class, and fewer than 9 have no 90 % edge" in said) == (keys == 8)
    assert ("no score rules it out as often as is asked" in said) == (keys == 9)


def test_the_keys_of_a_class_are_counted_where_the_edges_are_fitted(trained: Trained) -> None:
    examples, labels, _ = build_world()
    _, parts = set_calibration_apart(*build_parts(examples, labels, MATURITY_MS), examples)
    part = parts["calibration"]
    for name, truth in (("positive", 1), ("negative", 0)):
        counted = {key for key, given in zip(part.keys.tolist(), part.positive.tolist(), strict=True) if given == truth}
        assert trained.results.worth_keys[name] == len(counted)


def test_calibration_has_the_last_part_of_the_validation_interval_where_both_hold_fraud_enough() -> None:
    examples, labels, _ = build_world(rows=60_000)
    split, parts = build_parts(examples, labels, MATURITY_MS)
    apart, own = set_calibration_apart(split, parts, examples)
    assert apart.calibration is not None
    assert list(apart.intervals) == ["train", "validation", "calibration", "test"]
    assert (apart.validation.from_ms, apart.calibration.to_ms) == (split.validation.from_ms, split.validation.to_ms)
    assert apart.validation.to_ms == apart.calibration.from_ms
    for name in ("features", "positive", "stakes", "event_time_ms"):
        both = [getattr(own[part], name) for part in ("validation", "calibration")]
        np.testing.assert_array_equal(np.concatenate(both), getattr(parts["validation"], name))
    counts = [own[part].counts for part in ("validation", "calibration")]
    assert {name: sum(each[name] for each in counts) for name in counts[0]} == parts["validation"].counts
    assert min(each["fraud"] for each in counts) >= FRAUDS_APART_MIN


def test_labels_learnt_after_the_cut_teach_nothing() -> None:
    examples, labels, _ = build_world()
    split, parts = build_parts(examples, labels, MATURITY_MS)
    later = pc.greater(labels["label_time_ms"], split.cut_ms)
    flipped = labels.set_column(
        labels.schema.get_field_index("is_fraud"),
        "is_fraud",
        pc.if_else(later, pc.invert(labels["is_fraud"]), labels["is_fraud"]),
    )
    _, parts_flipped = build_parts(examples, flipped, MATURITY_MS)
    for name in ("train", "validation"):
        np.testing.assert_array_equal(parts[name].positive, parts_flipped[name].positive)
    assert (parts["test"].positive != parts_flipped["test"].positive).any()


def test_a_label_that_corrects_after_the_cut_does_not_reach_training() -> None:
    examples, labels, _ = build_world()
    split, parts = build_parts(examples, labels, MATURITY_MS)
    corrections = labels.set_column(
        labels.schema.get_field_index("label_time_ms"),
        "label_time_ms",
        pa.array(np.full(len(examples), split.cut_ms + 1)),
    ).set_column(labels.schema.get_field_index("is_fraud"), "is_fraud", pc.invert(labels["is_fraud"]))
    _, parts_corrected = build_parts(examples, pa.concat_tables([labels, corrections]), MATURITY_MS)
    np.testing.assert_array_equal(parts["train"].positive, parts_corrected["train"].positive)
    np.testing.assert_array_equal(parts["validation"].positive, parts_corrected["validation"].positive)


def test_unlabelled_transactions_are_counted_and_teach_nothing() -> None:
    examples, labels, _ = build_world()
    half = labels.filter(pa.array(np.arange(labels.num_rows) % 2 == 0))
    _, parts = build_parts(examples, half, MATURITY_MS)
    counts = parts["train"].counts
    assert counts["known"] == pytest.approx(counts["transactions"] / 2, abs=1)


def test_a_history_with_hardly_any_known_fraud_is_refused() -> None:
    examples, labels, is_fraud = build_world(rows=2_000)
    honest = labels.filter(pa.array(~is_fraud))
    with pytest.raises(Refused, match="known frauds in the train interval, found 0"):
        build_parts(examples, honest, MATURITY_MS)


def test_the_same_history_gives_the_same_model(tmp_path: Path, trained: Trained) -> None:
    examples, labels, _ = build_world()
    again = run_training(examples, labels, _options(tmp_path), lambda _: None)
    assert (again.bundle / "model.onnx").read_bytes() == (trained.bundle / "model.onnx").read_bytes()


def test_a_run_without_a_config_makes_the_model_that_it_made_before_there_were_any(trained: Trained) -> None:
    # kept from the release before `--config`; the history is seeded, so only a change of the fit moves them
    assert trained.results.trees == 2
    assert trained.results.thresholds == pytest.approx({"review": 0.5467012454294019, "decline": 0.5467012454294019})
    assert trained.results.metrics["lightgbm"]["pr_auc"] == pytest.approx(0.36081572659199174, rel=1e-9)
    assert trained.results.metrics["lightgbm"]["roc_auc"] == pytest.approx(0.9202792321116928, rel=1e-9)
