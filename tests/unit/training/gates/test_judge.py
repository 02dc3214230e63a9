"""Gates pass a better model, stop a worse one, and never pass what was not measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from weir.training.gates.adversarial import COMPARED, TAKEN
from weir.training.gates.figures import compare_means, compare_pr_auc, compute_ece, compute_figures
from weir.training.gates.judge import Later, Measured, Reproduced, Scored, judge
from weir.training.gates.leakage import InputLeak, Taught
from weir.training.gates.stability import Stability
from weir.training.thresholds import Thresholds

ROWS = 8_000
CUT = Thresholds(review=0.3, decline=0.35)
GOOD = Reproduced(100, 0.0)
STEADY = Stability(0.0, {"card": 0.0})


def _draw(noise: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of 2 % fraud, and calibrated-looking scores that see them through noise."""
    random = np.random.default_rng(5)
    positive = (random.random(ROWS) < 0.02).astype(np.int8)
    seen = np.where(np.random.default_rng(seed).random(ROWS) < noise, random.permutation(positive), positive)
    scores = np.where(seen == 1, 0.9 * (1 - noise), 0.02 * noise) + 0.001 * np.random.default_rng(seed).random(ROWS)
    return positive, scores.astype(np.float64)


def _judge(ours: np.ndarray, theirs: np.ndarray | None, positive: np.ndarray, **more: object) -> dict[str, bool]:
    champion = None if theirs is None else Scored(theirs, CUT, STEADY)
    later = Later(positive, Scored(ours, CUT, STEADY), champion, InputLeak(0.8, "a", 0.5, "a"))
    given = {"parity": 1e-7, "own_pr_auc": None, "microseconds": (3.0, 3.0), "reproduced": GOOD} | more
    gates = judge(Measured(later=later, taught=Taught(1, 2), **given))  # type: ignore[arg-type]
    return {gate.name: gate.passed for gate in gates}


def test_a_better_model_passes_every_gate_and_the_way_back_does_not() -> None:
    positive, good = _draw(0.1)
    _, bad = _draw(0.6, seed=9)
    assert set(_judge(good, bad, positive).values()) == {True}
    back = _judge(bad, good, positive)
    assert (back["PR-AUC"], back["calibration, Brier"]) == (False, False)


def test_the_same_model_again_passes() -> None:
    positive, good = _draw(0.1)
    assert set(_judge(good, good.copy(), positive).values()) == {True}


def test_where_nothing_decides_there_is_nothing_to_reproduce_and_a_champion_without_a_log_is_not_passed() -> None:
    positive, good = _draw(0.1)
    assert set(_judge(good, None, positive, reproduced=None).values()) == {True}
    assert not _judge(good, good.copy(), positive, reproduced="there is no archive")["reproduction"]


def test_more_false_positives_than_the_champion_are_stopped_though_the_order_is_the_same() -> None:
    positive, good = _draw(0.1)
    raised = np.where(np.arange(ROWS) % 20 == 0, np.maximum(good, 0.32), good)
    found = _judge(raised, good, positive)
    assert (found["false positives, review"], found["false positives, decline"]) == (False, True)


def test_scores_that_are_no_probabilities_are_stopped_by_their_calibration() -> None:
    positive, good = _draw(0.1)
    found = _judge(np.sqrt(good), good, positive)
    assert (found["PR-AUC"], found["calibration, ECE"]) == (True, False)


def test_the_map_of_a_bundle_passes_the_gates_that_its_score_alone_would_not() -> None:
    positive, good = _draw(0.1)
    bent = np.sqrt(good)
    scored = Scored(bent, CUT, STEADY, calibrated=bent**2)
    later = Later(positive, scored, Scored(good, CUT, STEADY), InputLeak(0.8, "a", 0.5, "a"))
    gates = judge(Measured(later, 1e-7, None, (3.0, 3.0), Taught(1, 2), GOOD))
    passed = {gate.name: gate.passed for gate in gates}
    assert (passed["calibration, Brier"], passed["calibration, ECE"]) == (True, True)
    assert not _judge(bent, good, positive)["calibration, Brier"]


def test_a_first_model_has_to_be_better_than_chance() -> None:
    positive, good = _draw(0.1)
    assert _judge(good, None, positive)["PR-AUC"]
    random = np.random.default_rng(1).random(ROWS)
    assert not _judge(random, None, positive)["PR-AUC"]


def test_what_was_not_measured_says_why_and_is_not_passed() -> None:
    nothing = Measured("no history", None, 0.8, (3.0, None), "no interval", "no archive")
    gates = judge(nothing, ("country",))
    assert {gate.name for gate in gates if gate.passed} == {"latency", TAKEN, COMPARED}
    assert {gate.found for gate in gates if gate.name in {TAKEN, COMPARED}} == {
        "does not apply: attacks are made for the card payments alone"
    }
    assert len(gates) == len({gate.name for gate in gates}) == 18
    assert {gate.found for gate in gates if not gate.passed} == {
        "not measured: no history",
        "not measured: no interval",
        "not measured: no archive",
        "not measured: the manifest has no parity_max_abs_diff",
    }


@pytest.mark.parametrize(("ours", "theirs", "passed"), [(19.0, 1.0, True), (30.0, 28.0, True), (30.0, 20.0, False)])
def test_a_slow_model_is_stopped_unless_the_champion_is_as_slow(ours: float, theirs: float, passed: bool) -> None:
    positive, good = _draw(0.1)
    assert _judge(good, good, positive, microseconds=(ours, theirs))["latency"] == passed


def test_the_drawn_pr_auc_is_that_of_scikit_learn_with_ties_and_weights() -> None:
    random = np.random.default_rng(2)
    positive = (random.random(500) < 0.1).astype(np.int8)
    first, second = (np.round(random.random(500), 1) for _ in range(2))
    found = compare_pr_auc(positive, first, second)
    expected = average_precision_score(positive, first) - average_precision_score(positive, second)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high


def test_an_interval_of_means_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(60):
        found = compare_means(random.normal(1.0, 1.0, 300), np.zeros(300))
        covered += found.low <= 1.0 <= found.high
    assert covered >= 52  # 57 are expected of 60; below 52 is one run in a hundred


def test_figures_count_false_positives_among_the_legitimate_alone() -> None:
    positive = np.array([0, 0, 0, 0, 1], np.int8)
    found = compute_figures(positive, np.array([0.1, 0.2, 0.4, 0.8, 0.9]), Thresholds(review=0.3, decline=0.7))
    assert (found["fpr_review"], found["fpr_decline"]) == (0.5, 0.25)
    assert compute_ece(np.zeros(10, np.int8), np.full(10, 0.25)) == pytest.approx(0.25)
