"""Rows know their groups by what the stream declares, wherever they are read, and small groups are no alarm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.training.test_history import _batches, _labels, _transactions
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.kernels import shipped_kernel
from weir.training.gates.fairness import compare_groups
from weir.training.gates.groups import MISSING, split_groups
from weir.training.history import replay

NEW = "customer_event_age_30d < 604800"


def test_replayed_rows_carry_the_groups_of_their_events() -> None:
    events = _transactions()
    examples = replay(shipped_kernel(), _batches(events), _labels(events), BUILT_IN)
    assert set(examples.groups) == {"country", "channel", NEW}
    assert examples.groups["country"].to_pylist() == ["US", "US", "FR"] * 100
    ages = examples.features[:, payments.feature_names.index("customer_event_age_30d")]
    assert examples.groups[NEW].to_pylist() == ["yes" if age < 604_800 else "no" for age in ages]
    assert examples.take(np.array([2, 0])).groups["country"].to_pylist() == ["FR", "US"]


def test_what_a_row_does_not_say_is_a_group_of_its_own() -> None:
    features = np.full((2, len(payments.feature_names)), np.nan, np.float32)
    stream = replace(payments, groups=["country", "currency", NEW])
    found = split_groups(stream, features, pa.record_batch({"country": ["DE", None]}))
    assert {name: each.to_pylist() for name, each in found.items()} == {
        "country": ["DE", MISSING],
        "currency": [MISSING, MISSING],
        NEW: ["no", "no"],
    }


def test_the_difference_is_that_of_the_shares_counted_one_by_one() -> None:
    random = np.random.default_rng(4)
    groups = random.choice(["a", "b", "c"], 6_000)
    flagged = random.random(6_000) < np.where(groups == "b", 0.2, 0.05)
    found = compare_groups(flagged, pa.array(groups))
    shares = {name: sum(flagged[groups == name]) / sum(groups == name) for name in "abc"}
    assert found.more == "b"
    assert found.value == pytest.approx(shares["b"] - shares[found.less])
    assert 0.1 < found.low < found.value
    assert compare_groups(flagged, pa.array(["one"] * 6_000)).low == 0.0


def test_a_group_of_three_rows_is_no_certain_difference_though_its_share_is() -> None:
    flagged = np.zeros(2_000, np.bool_)
    flagged[:3] = True
    groups = pa.array(["tiny"] * 3 + ["large"] * 1_997)
    assert compare_groups(flagged, groups).low < 0.5


def test_equal_groups_are_told_apart_by_chance_one_time_in_forty_at_most() -> None:
    random = np.random.default_rng(6)
    wrong = 0
    for _ in range(200):
        groups = pa.array(random.choice(list("abcdefgh"), 3_000))
        wrong += compare_groups(random.random(3_000) < 0.02, groups).low > 0
    assert wrong <= 10


def test_rare_values_are_counted_together() -> None:
    flagged = np.zeros(1_000, np.bool_)
    found = compare_groups(flagged, pa.array([str(number) for number in range(1_000)]))
    assert found.low <= 0
