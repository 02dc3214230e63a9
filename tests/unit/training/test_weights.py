"""Labelled rows stand for events whose label could not come: held against the truth of a whole made-up population."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from tests.unit.training.selected import LET_THROUGH, RATES, Selected, build_selected
from tests.unit.training.worlds import BURST, START_MS, build_world
from weir.schemas.streams.payments import payments
from weir.training.calibration.fit import fit_calibration
from weir.training.calibration.measure import measure_calibration
from weir.training.dataset import Examples, hash_examples
from weir.training.decided import NOT_DECIDED, Decided, join_decided
from weir.training.evaluate import compute_metrics
from weir.training.gates.figures import compute_ece
from weir.training.labels import FRAUD, LEGITIMATE, UNKNOWN, find_looked_at
from weir.training.models import fit_logistic
from weir.training.parts import Part, build_parts
from weir.training.pipeline import Options, Trained, run_training
from weir.training.report import build_document
from weir.training.search.config import parse_config
from weir.training.search.folds import build_folds
from weir.training.search.spaces import SPACES
from weir.training.search.stack import Lesson, fit
from weir.training.split import MATURITY_MS, Split
from weir.training.thresholds import Thresholds, choose_thresholds, compute_outcomes
from weir.training.weights import SAMPLE_MIN, WEIGHT_MAX, weigh

APPROVE, REVIEW, DECLINE = 0, 1, 2


@pytest.fixture(scope="module")
def world() -> Selected:
    return build_selected()


@pytest.fixture(scope="module")
def built(world: Selected) -> tuple[Split, dict[str, Part]]:
    return build_parts(world.examples, world.labels, MATURITY_MS)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_the_weighted_share_of_fraud_is_nearer_the_truth_than_that_of_the_labelled_rows(
    world: Selected, built: tuple[Split, dict[str, Part]], name: str
) -> None:
    split, parts = built
    inside, part = split.intervals[name].mask(world.examples.event_time_ms), parts[name]
    truth = world.truth[inside].mean()
    assert part.weights is not None
    assert part.weights.sum() == pytest.approx(inside.sum())
    weighted = np.average(part.positive, weights=part.weights)
    assert abs(weighted - truth) < 0.4 * abs(part.positive.mean() - truth)


def test_a_model_of_weighted_rows_knows_how_much_fraud_there_is_where_good_events_lack_their_labels(
    world: Selected, built: tuple[Split, dict[str, Part]]
) -> None:
    split, parts = built
    train = parts["train"]
    judged = split.test.mask(world.examples.event_time_ms) & (world.burst == 4)
    rows = world.examples.features[judged]
    given = {key: each.start for key, each in SPACES["lightgbm"].items()}
    plain, weighted = (
        fit("lightgbm", Lesson(*train.pair, weights=weights), given, FEATURE_NAMES, 17).score(rows).mean()
        for weights in (None, train.weights)
    )
    assert plain - RATES[4] > 0.05
    assert abs(weighted - RATES[4]) < 0.5 * (plain - RATES[4])


def test_a_weighted_figure_of_a_model_is_nearer_that_of_the_whole_population(
    world: Selected, built: tuple[Split, dict[str, Part]]
) -> None:
    split, parts = built
    test = parts["test"]
    inside = split.test.mask(world.examples.event_time_ms)
    everybody = np.isin(np.arange(1, 6), [4, 5])[world.burst[inside] - 1] * 0.5 + 0.1
    whole = average_precision_score(world.truth[inside], everybody)
    scores = np.where(test.features[:, BURST] >= 4, 0.6, 0.1)
    plain, weighted = (compute_metrics(test.positive, scores, given)["pr_auc"] for given in (None, test.weights))
    assert abs(weighted - whole) < 0.5 * abs(plain - whole)


def test_thresholds_keep_to_the_capacity_of_analysts_among_all_events(
    world: Selected, built: tuple[Split, dict[str, Part]]
) -> None:
    split, parts = built
    part = parts["validation"]
    inside = split.validation.mask(world.examples.event_time_ms)
    scores = part.features[:, BURST].astype(np.float64) / 10.0
    chosen = choose_thresholds(part.positive, scores, part.stakes, flagged_share_max=0.25, weights=part.weights)
    flagged = np.mean(world.burst[inside] / 10.0 >= min(chosen.review, chosen.decline))
    assert 0.15 < flagged < 0.25
    found = compute_outcomes(part.positive, scores, part.stakes, Thresholds(0.35, 0.45), weights=part.weights)
    truth, burst = world.truth[inside], world.burst[inside]
    assert found["decline_share"] == pytest.approx(np.mean(burst == 5), abs=0.01)
    assert found["flagged_recall"] == pytest.approx(truth[burst >= 4].sum() / truth.sum(), abs=0.06)


def test_probabilities_are_right_for_all_events_and_so_are_the_figures_of_them(
    world: Selected, built: tuple[Split, dict[str, Part]]
) -> None:
    split, parts = built
    part = parts["validation"]
    assert part.weights is not None
    scores = np.take([0.0, 0.05, 0.05, 0.05, 0.3, 0.7], part.features[:, BURST].astype(np.int64))
    made = fit_calibration(part.positive, scores, weights=part.weights)
    assert made is not None
    said = float(made.compute_probabilities(np.array([0.3], np.float32))[0])
    assert said == pytest.approx(RATES[4], abs=0.05)
    figures = measure_calibration(part.positive, scores, made, weights=part.weights)
    inside = split.validation.mask(world.examples.event_time_ms)
    assert figures["fraud_share"] == pytest.approx(world.truth[inside].mean(), abs=0.015)
    probabilities = made.compute_probabilities(scores.astype(np.float32))
    errors = np.repeat((probabilities - part.positive) ** 2, np.rint(part.weights * 10).astype(np.int64))
    assert figures["calibrated_brier"] == pytest.approx(errors.mean(), rel=0.01)
    parts_of = (figures[f"calibrated_brier_{each}"] for each in ("reliability", "uncertainty", "within_bins"))
    assert sum(parts_of) - figures["calibrated_brier_resolution"] == pytest.approx(figures["calibrated_brier"])


def test_the_error_of_calibration_counts_a_row_as_often_as_its_weight() -> None:
    positive, scores = np.array([0, 1] * 50, np.int8), np.full(100, 0.5)
    assert compute_ece(positive, scores, np.where(positive == 1, 3.0, 1.0)) == pytest.approx(0.25)


@pytest.mark.parametrize("name", [each for each in SPACES if each not in {"isolation_forest", "stack"}])
def test_each_kind_of_model_learns_what_a_row_stands_for(name: str, world: Selected) -> None:
    rows = np.flatnonzero(world.burst >= 4)[:1_500]
    features, positive = world.examples.features[rows], world.truth[rows].astype(np.int8)
    given = {key: each.start for key, each in SPACES[name].items()}
    given = given | {"trees": 20} if "trees" in given else given
    weights = np.where(positive == 1, 1.0, 5.0)
    plain, weighted = (
        fit(name, Lesson(features, positive, weights=each), given, FEATURE_NAMES, 17).score(features).mean()
        for each in (None, weights)
    )
    assert weighted < 0.6 * plain


def test_a_logistic_regression_of_weights_is_that_of_repeated_rows(world: Selected) -> None:
    rows = np.flatnonzero(world.burst >= 4)[:600]
    features, positive = world.examples.features[rows], world.truth[rows].astype(np.int8)
    counts = np.tile([1, 2, 3], 200)
    repeated = np.repeat(np.arange(600), counts)
    weighted = fit_logistic(features, positive, weights=counts.astype(np.float64)).score(features)
    often = fit_logistic(features[repeated], positive[repeated]).score(features)
    assert np.corrcoef(weighted, often)[0, 1] > 0.99  # medians and scales are those of rows


def test_a_stack_weighs_what_its_bases_say(world: Selected) -> None:
    rows = np.flatnonzero(world.burst >= 4)[:1_500]
    features, positive = world.examples.features[rows], world.truth[rows].astype(np.int8)
    rolls = [(np.arange(500), np.arange(500, 1_000)), (np.arange(1_000), np.arange(1_000, 1_500))]
    given = {key: each.start for key, each in SPACES["stack"].items()} | {"trees": 10}
    plain, weighted = (
        fit("stack", Lesson(features, positive, rolls, weights), given, FEATURE_NAMES, 17).score(features).mean()
        for weights in (None, np.where(positive == 1, 1.0, 5.0))
    )
    assert weighted < 0.6 * plain


def test_folds_weigh_what_teaches_and_what_judges(world: Selected, built: tuple[Split, dict[str, Part]]) -> None:
    config = parse_config("contenders: [lightgbm]\nfolds: 2\n", "train.yaml")
    for fold in build_folds(world.examples, world.labels, built[0], config, payments, MATURITY_MS):
        for positions, positive, weights in (
            (fold.teaches, fold.taught, fold.taught_weights),
            (fold.judges, fold.truth, fold.truth_weights),
        ):
            assert weights is not None
            assert len(positions) == len(positive) == len(weights)
            span = np.arange(positions[0], positions[-1] + 1)
            truth = world.truth[span].mean()
            assert abs(np.average(positive, weights=weights) - truth) < 0.5 * abs(positive.mean() - truth)


def _known(unknown: int, good: int, fraud: int) -> np.ndarray:
    return np.repeat([UNKNOWN, LEGITIMATE, FRAUD], [unknown, good, fraud]).astype(np.int8)


def test_fraud_that_victims_report_is_not_counted_twice() -> None:
    """Of 1,000 reviews 400 are looked at, 40 of them fraud; of the other 600, 60 frauds are reported by victims."""
    known = _known(540, 360, 100)
    looked = np.concatenate([np.zeros(540), np.ones(360), np.ones(40), np.zeros(60)]).astype(np.bool_)
    weights, found = weigh(known, looked, Decided(np.full(1_000, REVIEW, np.int8), np.full(1_000, np.nan)))
    assert weights is not None
    assert np.allclose(weights, [2.5] * 360 + [1.0] * 100)
    assert (found.reviewed.events, found.reviewed.labelled, found.reviewed.sample) == (1_000, 460, 400)
    assert found.effective_rows == pytest.approx(1_000**2 / (360 * 6.25 + 100))


def test_what_was_let_through_stands_for_what_was_declined_by_its_propensity() -> None:
    known = _known(1_900, 60, 40)
    outcomes = np.where(known == UNKNOWN, DECLINE, APPROVE).astype(np.int8)
    weights, _ = weigh(known, np.zeros(2_000, np.bool_), Decided(outcomes, np.full(2_000, 0.05)))
    assert weights is not None
    assert np.allclose(weights, 20.0)


def test_declined_events_that_people_look_at_all_leave_nothing_to_stand_for() -> None:
    known = _known(0, 900, 100)
    outcomes = np.where(np.arange(1_000) % 20 == 0, APPROVE, DECLINE).astype(np.int8)
    weights, found = weigh(known, np.ones(1_000, np.bool_), Decided(outcomes, np.full(1_000, 0.05)))
    assert weights is None
    assert not found.is_used


def test_a_verdict_on_an_approved_event_has_no_known_chance() -> None:
    known, nowhere = _known(900, 60, 40), np.full(1_000, np.nan)
    looked = known != UNKNOWN
    for outcome in (APPROVE, DECLINE, NOT_DECIDED):
        assert weigh(known, looked, Decided(np.full(1_000, outcome, np.int8), nowhere))[0] is None


@pytest.mark.parametrize(("sample", "is_used"), [(SAMPLE_MIN - 1, False), (SAMPLE_MIN, True)])
def test_a_sample_of_few_rows_stands_for_itself(sample: int, is_used: bool) -> None:
    known = _known(1_000, sample - 10, 10)
    weights, found = weigh(
        known, known != UNKNOWN, Decided(np.full(len(known), REVIEW, np.int8), np.full(len(known), np.nan))
    )
    assert (weights is not None, found.is_used) == (is_used, is_used)


def test_no_weight_is_above_the_bound_and_those_that_were_are_told() -> None:
    known = _known(30_000, 40, 10)
    weights, found = weigh(
        known, known != UNKNOWN, Decided(np.full(len(known), REVIEW, np.int8), np.full(len(known), np.nan))
    )
    assert weights is not None
    assert weights.max() == found.largest == WEIGHT_MAX
    assert found.bounded == 50


def test_where_no_decision_is_known_every_row_stands_for_itself() -> None:
    known = _known(100, 60, 40)
    weights, found = weigh(known, np.ones(200, np.bool_), None)
    assert weights is None
    assert (found.decided, found.effective_rows) == (0, 100.0)


def test_of_several_decisions_on_an_event_the_last_counts_and_an_erased_one_is_unknown() -> None:
    decisions = pa.table(
        {
            "card_id": ["a", "b", "a", "b"],
            "transaction_id": ["1", "1", "1", "2"],
            "decision": pa.array(["DECLINE", "REVIEW", "APPROVE", "DECLINE"]).dictionary_encode(),
            "propensity": pa.array([0.1, None, 0.1, None]),
        }
    )
    keys = pa.array(["b\x1f1", "a\x1f1", "c\x1f1", "b\x1f2"])
    found = join_decided(keys, decisions, payments)
    assert found.outcomes.tolist() == [REVIEW, APPROVE, NOT_DECIDED, DECLINE]
    np.testing.assert_array_equal(found.propensities, [np.nan, 0.1, np.nan, np.nan])


def test_an_analyst_has_looked_where_one_gave_a_verdict_by_the_cut_whatever_another_source_said() -> None:
    labels = pa.table(
        {
            "card_id": ["a", "a", "b", "c", "d"],
            "transaction_id": ["1"] * 5,
            "label_time_ms": [1, 2, 9, 1, 1],
            "is_fraud": [False, True, True, None, True],
            "source": ["analyst", "chargeback", "analyst", "analyst", "chargeback"],
        }
    )
    keys = pa.array([f"{card}\x1f1" for card in "abcd"])
    assert find_looked_at(keys, labels, payments, cut_ms=5).tolist() == [True, False, False, False]
    assert not find_looked_at(keys, labels.drop(["source"]), payments, cut_ms=5).any()


def test_what_was_decided_is_part_of_the_digest_of_a_dataset(world: Selected) -> None:
    few = world.examples.take(np.arange(100))
    without = replace(few, decided=None)
    assert few.decided is not None
    other = replace(few, decided=Decided(few.decided.outcomes[::-1].copy(), few.decided.propensities))
    assert len({hash_examples(each, world.labels[:100]) for each in (few, without, other)}) == 3


def _train(examples: Examples, labels: pa.Table, folder: Path) -> Trained:
    options = Options("fraud", 10, "made-up rows", folder, START_MS, MATURITY_MS, DECLARATIONS_HASH)
    return run_training(examples, labels, options, lambda _: None)


def test_a_bundle_says_what_its_rows_stand_for(world: Selected, tmp_path: Path) -> None:
    trained = _train(world.examples, world.labels, tmp_path)
    found = json.loads((trained.bundle / "manifest.json").read_text())["weights"]
    assert set(found) == {"train", "validation", "test"}
    for each in found.values():
        assert each["reviewed"]["is_used"]
        assert each["let_through"]["is_used"]
        assert 0.5 / LET_THROUGH < each["largest"] < 2 / LET_THROUGH
    assert build_document(trained, promoted=False, run_id=None)["weights"] == found
    section = (trained.bundle / "model_card.md").read_text().split("## Weights")[1].split("## ")[0]
    kind = found["train"]["reviewed"]
    said = f"{kind['sample']} rows of {kind['events']} events stand for {kind['events'] - kind['labelled']}"
    assert said in section
    plain = _train(replace(world.examples, decided=None), world.labels, tmp_path / "plain")
    assert (plain.bundle / "model.onnx").read_bytes() != (trained.bundle / "model.onnx").read_bytes()


def test_a_bundle_of_events_whose_decisions_are_unknown_says_that_every_weight_is_1(tmp_path: Path) -> None:
    examples, labels, _ = build_world()
    card = (_train(examples, labels, tmp_path).bundle / "model_card.md").read_text()
    assert "Every row has the weight 1: nothing is known of what was decided" in card
