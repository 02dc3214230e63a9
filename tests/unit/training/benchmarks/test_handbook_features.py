"""The Handbook's features on a small world: by its definitions, and as the stream computes them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from weir.schemas.durations import DAY_MS
from weir.streaming.kernels import kernel_of
from weir.training.benchmarks.handbook.definitions import WINDOWS_S, compute_features, compute_risk
from weir.training.benchmarks.handbook.equality import compare
from weir.training.benchmarks.handbook.frauds import add_frauds
from weir.training.benchmarks.handbook.replay import build_labels, replay
from weir.training.benchmarks.handbook.simulator import Payments, World, draw_payments
from weir.training.benchmarks.handbook.stream import PUBLISHED, handbook

SMALL = World(customers=40, terminals=40, days=48, radius=80.0)
HOLD_S = 7 * 86_400


@pytest.fixture(scope="module")
def payments() -> Payments:
    return add_frauds(draw_payments(SMALL), SMALL)[0]


def _share(fraud: list[int]) -> float:
    return sum(fraud) / len(fraud) if fraud else 0.0


def _define(payments: Payments, row: int) -> list[float]:
    """Take one row's features from the list of all payments."""
    at = int(payments.seconds[row])
    when = datetime.fromtimestamp(payments.time_ms[row] / 1_000, UTC)
    counts, means, held, risks = [], [], [], []
    for window_s in WINDOWS_S.values():
        own = [
            int(payments.amount_cents[each])
            for each in range(row + 1)
            if payments.customer[each] == payments.customer[row] and payments.seconds[each] > at - window_s
        ]
        known = [
            int(payments.fraud[each])
            for each in range(len(payments))
            if payments.terminal[each] == payments.terminal[row]
            and at - HOLD_S - window_s < payments.seconds[each] <= at - HOLD_S
        ]
        counts.append(float(len(own)))
        means.append(sum(own) / len(own) / 100)
        held.append(float(len(known)))
        risks.append(_share(known))
    stateless = [payments.amount_cents[row] / 100, float(when.weekday() >= 5), float(when.hour <= 6)]
    return [*stateless, *counts, *means, *held, *risks]


def test_the_definitions_are_those_of_a_look_at_every_payment(payments: Payments) -> None:
    found = compute_features(payments)
    looked_at = range(0, len(payments), 20)
    assert len(looked_at) > 100
    np.testing.assert_allclose(found[looked_at], [_define(payments, row) for row in looked_at], rtol=1e-12)
    assert found[:, -1].max() > 0


def test_risk_over_whole_panes_ends_at_a_panes_end(payments: Payments) -> None:
    found = compute_risk(payments, "30d")
    for row in range(0, len(payments), 50):
        end_ms = (int(payments.time_ms[row]) - 7 * DAY_MS) // DAY_MS * DAY_MS
        fraud = [
            int(payments.fraud[each])
            for each in range(len(payments))
            if payments.terminal[each] == payments.terminal[row]
            and end_ms - 30 * DAY_MS <= payments.time_ms[each] < end_ms
        ]
        assert found[row] == pytest.approx(_share(fraud))


def test_the_stream_declares_the_handbooks_features_first_and_in_its_order() -> None:
    assert handbook.feature_names[: len(PUBLISHED)] == tuple(PUBLISHED)
    assert len(PUBLISHED) == 15


def test_a_label_becomes_known_seven_days_after_its_payment(payments: Payments) -> None:
    labels = build_labels(payments)
    late = labels["label_time_ms"].to_numpy() - labels["event_time_ms"].to_numpy()
    assert set(late.tolist()) == {7 * DAY_MS}
    assert labels["is_fraud"].to_pylist() == [each == 1 for each in payments.fraud]


@pytest.mark.verify  # it compiles a kernel of its own
def test_the_stream_computes_what_is_defined(payments: Payments) -> None:
    features = replay(kernel_of(handbook), payments)
    differences = {each.name: each for each in compare(payments, features)}
    assert len(differences) == 15
    rows = len(payments)
    for name, each in differences.items():
        assert each.equal_by_panes == rows, name
        assert each.equal == rows or "label_risk" in name, name
    assert np.nanmax(features[:, handbook.feature_names.index("terminal_label_risk_30d")]) > 0
    # what differs is told, not hidden
    wrong = features.copy()
    wrong[5, 0] += 1
    assert {each.name: each.equal for each in compare(payments, wrong)}["payment_amount"] == rows - 1
