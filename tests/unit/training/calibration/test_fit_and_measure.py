"""What a score is worth: fitted on some rows, held to what comes true of others."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.inference.core.calibration import SETS, Calibration
from weir.training.calibration import fit
from weir.training.calibration.draw import bin_rows, draw_reliability
from weir.training.calibration.fit import fit_calibration
from weir.training.calibration.measure import (
    compute_share,
    measure_calibration,
    measure_coverage,
    take_brier_apart,
)

TRIALS = 200


def _draw(rows: int, seed: int, bend: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of 3 % fraud and a score that is the probability to the power of ``bend``."""
    random = np.random.default_rng(seed)
    probability = random.beta(0.15, 4.85, rows)
    positive = (random.random(rows) < probability).astype(np.int8)
    return positive, probability**bend


def _fit(positive: np.ndarray, scores: np.ndarray) -> Calibration:
    found = fit_calibration(positive, scores)
    assert found is not None
    return found


def test_a_score_that_is_a_probability_stays_about_what_it_is() -> None:
    made = _fit(*_draw(200_000, 1))
    for score in (0.001, 0.01, 0.1, 0.5, 0.9):
        assert made.compute_probabilities(np.array([score]))[0] == pytest.approx(score, rel=0.15)


@pytest.mark.parametrize("bend", [0.5, 2.0])
def test_a_bent_score_becomes_the_share_that_comes_true_later(bend: float) -> None:
    made = _fit(*_draw(40_000, 1, bend))
    positive, scores = _draw(200_000, 2, bend)
    found = measure_calibration(positive, scores, made)
    assert found["calibrated_ece"] < found["ece"] / 4
    assert found["calibrated_brier"] < found["brier"]
    assert found["calibrated_brier_reliability"] < found["brier_reliability"] / 4
    assert found["probability_mean"] == pytest.approx(found["fraud_share"], rel=0.1)


@pytest.mark.parametrize("frauds", [10, 29, 150])
def test_of_each_class_nine_in_ten_later_rows_are_in_their_set_on_average(frauds: int) -> None:
    """The promise is of an average over samples, however small: the k-th of n ranks is beaten k times in n + 1."""
    random = np.random.default_rng(4)
    shares: dict[str, list[float]] = {"positive": [], "negative": []}
    for _ in range(TRIALS):

        def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
            positive = np.repeat(np.array([1, 0], np.int8), [count, 5 * count])
            return positive, random.beta(1.0 + 2.0 * positive, 3.0)

        made, (positive, scores) = _fit(*draw(frauds)), draw(2_000)
        for name, share in measure_coverage(positive, made.compute_sets(scores)).items():
            shares[name].append(share.value)
    for name, rows in (("positive", frauds), ("negative", 5 * frauds)):
        expected = 1 - math.floor((rows + 1) / 10) / (rows + 1)
        assert np.mean(shares[name]) == pytest.approx(
            expected, abs=4 * float(np.std(shares[name])) / math.sqrt(TRIALS) + 1e-3
        )
        assert expected >= 0.9


def _draw_keys(random: np.random.Generator, keys: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frauds of some stolen cards, whose scores are alike, next to as many legitimate rows; keys last."""
    key = np.repeat(np.arange(keys), random.geometric(1 / 7, keys))
    bend = 0.95 * random.normal(size=keys)[key] + 0.3 * random.normal(size=len(key))
    positive = np.repeat(np.array([1, 0], np.int8), len(key))
    scores = np.concatenate([1 / (1 + np.exp(-bend)), random.beta(1.0, 3.0, len(key))])
    return positive, scores, np.concatenate([key, np.arange(len(key)) + keys])


def test_where_the_rows_of_a_key_are_alike_nine_in_ten_rows_of_other_keys_are_held_too() -> None:
    """Twenty stolen cards are a hundred frauds, and say as much as twenty do."""
    random = np.random.default_rng(5)
    by_rows: list[float] = []
    by_keys: list[float] = []
    for _ in range(2 * TRIALS):
        positive, scores, keys = _draw_keys(random, 15)
        later = _draw_keys(random, 300)
        for held, made in ((by_rows, _fit(positive, scores)), (by_keys, fit_calibration(positive, scores, keys))):
            assert made is not None
            held.append(measure_coverage(later[0], made.compute_sets(later[1]))["positive"].value)
    noise = float(np.std(by_keys)) / math.sqrt(len(by_keys))
    assert np.mean(by_keys) == pytest.approx(0.9, abs=3 * noise)
    assert np.mean(by_rows) < 0.9 - 3 * noise
    assert min(np.array(by_keys) - np.array(by_rows)) >= 0


@pytest.mark.parametrize("seed", range(20))
def test_an_edge_is_the_farthest_that_holds_when_each_key_is_left_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.integers(10, 60))
    scores = random.integers(1, 30, rows) / 32  # with ties, and exact as float32
    keys = random.integers(0, int(random.integers(2, 30)), rows)
    positive = np.repeat(np.array([1, 0], np.int8), rows)
    own = np.arange(rows) + 100
    made = fit_calibration(positive, np.concatenate([scores, 1 - scores]), np.concatenate([keys, keys]))
    alone = fit_calibration(positive, np.concatenate([scores, 1 - scores]), np.concatenate([own, own + rows]))
    assert made is not None
    assert alone == fit_calibration(positive, np.concatenate([scores, 1 - scores]))
    edge = _leave_keys_out(scores.tolist(), keys.tolist())
    assert (made.positive_from, made.negative_to) == (edge, 1 - edge)


def _leave_keys_out(scores: list[float], keys: list[int]) -> float:
    """Return the edge by the definition: every place is tried, every key is left out."""
    rows, of_keys = len(scores), len(set(keys))
    if math.ceil((of_keys + 1) * Fraction(9, 10)) > of_keys:
        return 0.0
    for place in range((rows + 1) // 10, 0, -1):
        missed = 0
        for key in set(keys):
            others = sorted(score for score, of in zip(scores, keys, strict=True) if of != key)
            at = place * (len(others) + 1) // (rows + 1)
            edge = others[at - 1] if at else -1.0
            missed += sum(score < edge for score, of in zip(scores, keys, strict=True) if of == key)
        if missed * 10 <= rows:
            return sorted(scores)[place - 1]
    return 0.0


_SCORE = st.integers(0, 256).map(lambda of_256: of_256 / 256)
_ROWS = st.lists(_SCORE, min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(
    of_keys=st.lists(_ROWS, min_size=1, max_size=12).filter(lambda keys: sum(map(len, keys)) >= 10),
    others=st.lists(_SCORE, min_size=20, max_size=40),
    is_true=st.booleans(),
    asked=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20),
)
def test_a_class_of_too_few_keys_for_the_level_is_in_every_set(
    of_keys: list[list[float]], others: list[float], is_true: bool, asked: list[float]
) -> None:
    """With ``n`` keys the edge is the ``ceil((n + 1) * 0.9)``-th of them; where there is none, nothing is ruled out."""
    few = np.concatenate([np.array(each) for each in of_keys])
    keys = np.concatenate([np.repeat(np.arange(len(of_keys)), [len(each) for each in of_keys]),
                           np.arange(len(others)) + len(of_keys)])  # fmt: skip
    positive = np.repeat(np.array([is_true, not is_true], np.int8), [len(few), len(others)])
    with patch.object(fit, "_fit_beta", return_value=np.array([1.0, 1.0, 0.0])):  # the map has no part in edges
        made = fit_calibration(positive, np.concatenate([few, np.array(others)]), keys)
    assert made is not None
    sets = made.compute_sets(np.array([*asked, 0.0, 1.0]))
    always = bool((sets & SETS.index("POSITIVE" if is_true else "NEGATIVE") > 0).all())
    of_class = len(of_keys)
    assert always or math.ceil((of_class + 1) * Fraction(9, 10)) <= of_class


@pytest.mark.parametrize("rows_of_a_key", [1, 4])
def test_a_class_of_nine_keys_has_an_edge_and_one_of_eight_has_none(rows_of_a_key: int) -> None:
    """The scores of all keys are alike, so nothing but their number says whether there is an edge."""
    for of_class, has_edge in ((8, False), (9, rows_of_a_key > 1), (10, True)):
        fraud = np.repeat(np.linspace(0.6, 0.9, of_class), rows_of_a_key)
        positive = np.repeat(np.array([1, 0], np.int8), [len(fraud), 50])
        keys = np.concatenate([np.repeat(np.arange(of_class), rows_of_a_key), np.arange(50) + 100])
        made = fit_calibration(positive, np.concatenate([fraud, np.linspace(0.01, 0.3, 50)]), keys)
        assert made is None if len(fraud) < 10 else made is not None and (made.positive_from > 0) == has_edge


def test_the_interval_of_a_coverage_counts_keys_that_are_alike_and_not_rows() -> None:
    random, said = np.random.default_rng(8), {"rows": 0, "keys": 0}
    for _ in range(1_000):
        of_key = random.random(60) < 0.9  # a key is held whole or not at all
        key = np.repeat(np.arange(60), random.integers(1, 8, 60))
        held = of_key[key].astype(np.int8)
        positive = np.ones(len(key), np.int8)
        for name, keys in (("rows", None), ("keys", key)):
            found = measure_coverage(positive, held * np.int8(SETS.index("POSITIVE")), keys)["positive"]
            said[name] += found.low <= 0.9 <= found.high
    assert 920 <= said["keys"] <= 980
    assert said["rows"] < 850


def test_coverage_counts_of_each_class_the_rows_whose_set_holds_it() -> None:
    positive = np.array([1, 1, 1, 1, 0, 0], np.int8)
    sets = np.array([SETS.index(name) for name in ("POSITIVE", "BOTH", "NEGATIVE", "NEITHER", "BOTH", "POSITIVE")])
    found = measure_coverage(positive, sets.astype(np.int8))
    assert (found["positive"].value, found["negative"].value) == (0.5, 0.5)


def test_the_interval_of_a_share_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(6)
    found = [compute_share(int(held), 120) for held in random.binomial(120, 0.9, 4_000)]
    assert np.mean([each.low <= 0.9 <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)


def test_the_interval_of_none_and_of_all_ends_there() -> None:
    assert {compute_share(count, count).high for count in range(1, 300)} == {1.0}
    assert {compute_share(0, count).low for count in range(1, 300)} == {0.0}


def test_the_parts_of_the_brier_score_add_up_and_are_murphys_where_a_bin_says_one_thing() -> None:
    random = np.random.default_rng(7)
    said = np.repeat(np.linspace(0.05, 0.5, 10), 100)
    positive = (random.random(1_000) < said**1.5).astype(np.int8)
    found = take_brier_apart(positive, said)
    came = positive.reshape(10, 100).mean(axis=1)
    assert found["reliability"] == pytest.approx(np.mean((said[::100] - came) ** 2))
    assert found["resolution"] == pytest.approx(np.mean((came - positive.mean()) ** 2))
    assert found["within_bins"] == pytest.approx(0, abs=1e-12)
    total = found["reliability"] - found["resolution"] + found["uncertainty"] + found["within_bins"]
    assert total == pytest.approx(np.mean((said - positive) ** 2))


def test_a_class_of_too_few_rows_has_no_map() -> None:
    positive, scores = np.array([1] * 9 + [0] * 50, np.int8), np.linspace(0.9, 0.1, 59)
    assert fit_calibration(positive, scores) is None
    assert set(measure_calibration(positive, scores, None)) >= {"brier", "ece", "brier_reliability"}
    assert fit_calibration(1 - positive, 1 - scores) is None


def test_a_score_that_orders_the_wrong_way_says_one_share_and_never_falls() -> None:
    positive, scores = _draw(20_000, 3)
    made = _fit(positive, 1 - scores)
    assert np.ptp(made.probabilities) == pytest.approx(0, abs=1e-9)
    assert made.probabilities[0] == pytest.approx(positive.mean(), rel=1e-3)


def test_classes_that_are_apart_and_scores_of_0_and_1_have_a_map_too() -> None:
    positive = np.repeat(np.array([0, 1], np.int8), [500, 50])
    made = _fit(positive, positive.astype(np.float64))
    said = made.compute_probabilities(np.array([0.0, 1.0]))
    assert said[0] < 0.01
    assert said[1] > 0.99
    assert [SETS[each] for each in made.compute_sets(np.array([0.0, 0.5, 1.0]))] == ["NEGATIVE", "NEITHER", "POSITIVE"]


def test_the_plot_has_a_mark_for_each_bin_where_its_rows_are() -> None:
    positive, scores = _draw(30_000, 9)
    made = _fit(*_draw(30_000, 8))
    bins = bin_rows(positive, scores)
    assert len(bins) == 10
    assert all(each.low <= each.came <= each.high for each in bins)
    assert sum(each.came > 0 for each in bins) == 10
    text = draw_reliability(positive, scores, made)
    tree = ElementTree.fromstring(text)
    assert sum(node.tag.endswith("circle") for node in tree.iter()) == 2 * (10 + 1)
    assert re.search(r"<script|href|http://(?!www\.w3\.org/2000/svg)", text) is None


def test_rows_that_all_say_0_are_no_bin() -> None:
    assert bin_rows(np.zeros(5, np.int8), np.zeros(5)) == []
    assert "<svg" in draw_reliability(np.array([0, 1], np.int8), np.zeros(2), None)
