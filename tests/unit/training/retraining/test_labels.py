"""Labels that are out of line with the last dataset are refused, and which way is said."""

from __future__ import annotations

from typing import Any

import numpy as np

from weir.schemas.gate_bounds import GateBounds
from weir.training.retraining.labels import describe_labels, describe_older, judge_labels

NAMES = ("burst", "amount", "calm", "noise")


def _draw(seed: int, *, flipped: float = 0.0, fraud: float = 0.02) -> dict[str, Any]:
    """Return the description of 20,000 rows: burst and amount speak for fraud, calm against it."""
    random = np.random.default_rng(seed)
    positive = random.random(20_000) < fraud
    features = random.normal(size=(20_000, 4))
    features[positive, :2] += 1.5
    features[positive, 2] -= 1.0
    features[random.random(features.shape) < 0.1] = np.nan
    wrong = random.random(20_000) < flipped
    return describe_labels(features.astype(np.float32), (positive ^ wrong).astype(np.int8), NAMES)


def _judge(found: dict[str, Any], before: dict[str, Any], bounds: GateBounds | None = None) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in judge_labels(found, before, bounds or GateBounds())}


SHARE, RELATION = "labels, share of fraud", "labels, relation to inputs"
BEFORE = _draw(1)


def test_a_dataset_of_the_same_world_is_in_line() -> None:
    assert _judge(_draw(2), BEFORE) == {SHARE: True, RELATION: True}
    assert BEFORE["relation"]["burst"] > 0.2
    assert BEFORE["relation"]["calm"] < -0.1


def test_twice_the_fraud_is_news_and_ten_times_is_refused() -> None:
    assert _judge(_draw(2, fraud=0.04), BEFORE)[SHARE]
    assert not _judge(_draw(2, fraud=0.2), BEFORE)[SHARE]
    assert not _judge(_draw(2, fraud=0.002), BEFORE)[SHARE]
    assert _judge(_draw(2, fraud=0.2), BEFORE, GateBounds(fraud_share_times=20))[SHARE]


def test_labels_that_were_turned_around_have_another_relation_to_the_inputs_and_are_named() -> None:
    turned = {**_draw(2), "relation": {name: -value for name, value in _draw(2)["relation"].items()}}
    gates = list(judge_labels(turned, BEFORE, GateBounds()))
    assert [gate.passed for gate in gates] == [True, False]
    assert "turned around: " in gates[1].found
    assert set(gates[1].found.rpartition(": ")[2].split(", ")) == {"burst", "amount", "calm"}


def test_labels_that_were_given_to_other_events_tell_nothing_of_the_inputs() -> None:
    random = np.random.default_rng(3)
    features = random.normal(size=(20_000, 4)).astype(np.float32)
    shuffled = describe_labels(features, (random.random(20_000) < 0.02).astype(np.int8), NAMES)
    assert _judge(shuffled, BEFORE) == {SHARE: True, RELATION: False}


def test_inputs_that_have_nothing_in_common_are_not_passed() -> None:
    other = {**BEFORE, "relation": {f"new_{name}": value for name, value in BEFORE["relation"].items()}}
    assert _judge(other, BEFORE) == {SHARE: True, RELATION: False}


def test_a_model_of_before_says_its_share_of_fraud_alone() -> None:
    before = describe_older({"counts": {"train": {"fraud": 20, "known": 1_000}}})
    assert before == {"fraud_share": 0.02}
    assert _judge(_draw(2), before) == {SHARE: True}
    assert describe_older(None) == describe_older({"pr_auc": 0.5}) == {}
