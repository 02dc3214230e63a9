"""The benchmark on our own simulator: steps, truth, figures by hand, and a small run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.training.worlds import build_world
from weir.schemas.errors import WeirError
from weir.schemas.streams.payments import payments
from weir.training.benchmarks import simulator, simulator_tables
from weir.training.thresholds import Thresholds


def _truth(ids: list[str], fraud: np.ndarray) -> pa.Table:
    scenarios = ["drain" if i % 2 else "testing" for i in range(len(ids))]
    return pa.table(
        {
            "transaction_id": ids,
            "is_fraud": fraud,
            "scenario": [name if each else None for name, each in zip(scenarios, fraud, strict=True)],
        }
    )


def test_each_step_has_the_columns_of_the_one_before_and_the_last_has_all() -> None:
    steps = dict(simulator.list_steps(payments))
    names = {step: {payments.feature_names[each] for each in columns} for step, columns in steps.items()}
    alone, card, shared, risk = names.values()
    assert alone < card < shared < risk == set(payments.feature_names)
    assert all(name.startswith("transaction_") for name in alone)
    assert all(name.startswith("card_") for name in card - alone)
    assert {name.split("_")[0] for name in shared - card} == {"customer", "device", "ip", "merchant"}
    assert risk - shared == {name for name in payments.feature_names if "_label_risk_" in name}


def test_figures_of_a_step_are_those_counted_by_hand() -> None:
    fraud = np.array([1, 1, 0, 0, 1, 0], np.int8)
    scores = np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1])
    scenario = np.array(["a", "b", "", "", "a", ""])
    stakes = np.array([100.0, 300.0, 50.0, 10.0, 600.0, 1.0])
    step = simulator.measure_step(7, simulator.Truth(fraud, scenario, stakes), scores, Thresholds(0.5, 0.85))
    assert step.columns == 7
    assert step.by_scenario == {"a": 0.5, "b": 1.0}
    assert step.figures["money_stopped"] == pytest.approx(400 / 1_000)
    assert step.figures["recall_at_precision_90pct"] == pytest.approx(2 / 3)
    assert step.figures["recall_at_precision_50pct"] == 1.0
    assert step.figures["recall_at_fpr_0.5pct"] == pytest.approx(2 / 3)


def test_no_more_honest_payments_are_flagged_than_the_rate_allows_even_with_ties() -> None:
    fraud = np.array([0] * 100 + [1], np.int8)
    scores = np.array([0.5] * 100 + [0.5])
    assert simulator.find_threshold(fraud, scores, 0.05) == float("inf")
    scores[:3] = 0.9
    assert simulator.find_threshold(fraud, scores, 0.05) == 0.9


def test_a_run_judges_each_step_by_the_truth_and_tells_it_by_scenario() -> None:
    examples, labels, fraud = build_world(rows=12_000)
    ids = [f"t{i}" for i in range(len(examples))]
    told: list[str] = []
    outcome = simulator.run_benchmark(examples, labels, _truth(ids, fraud), payments, told.append)
    assert list(outcome.steps) == [name for name, _ in simulator.list_steps(payments)]
    assert len(told) == 4
    alone, *_, whole = outcome.steps.values()
    assert whole.figures["pr_auc"] > 2 * alone.figures["pr_auc"]
    assert set(outcome.scenarios) == {"drain", "testing"}
    assert sum(outcome.scenarios.values()) < outcome.payments < len(examples)
    page = simulator_tables.build_page(outcome)
    assert f"{outcome.payments:,} later payments judge" in page
    assert f"| `drain` | {outcome.scenarios['drain']:,} |" in page
    assert page.count("\n| ") == 1 + 4 + 1 + 2


def test_the_truth_of_other_payments_is_refused() -> None:
    examples, labels, fraud = build_world(rows=12_000)
    ids = [f"t{i}" for i in range(len(examples))]
    with pytest.raises(WeirError, match="expected the truth of these payments in their order"):
        simulator.run_benchmark(examples, labels, _truth([*ids[1:], ids[0]], fraud), payments, str)
