"""Our candidates: what teaches them, how one is chosen, and the bounds on its figures."""

from __future__ import annotations

import numpy as np
import pytest

from weir.training.benchmarks.handbook import ours
from weir.training.benchmarks.handbook.data import Data
from weir.training.benchmarks.handbook.metrics import Figures
from weir.training.benchmarks.handbook.protocol import Fold
from weir.training.benchmarks.handbook.simulator import DAY_S, Payments

DAYS, CUSTOMERS = 160, 40


@pytest.fixture(scope="module")
def data() -> Data:
    """One payment a day of each customer; one column nearly tells which are fraud, by a customer's bad week."""
    chance = np.random.default_rng(3)
    day, customer = (each.ravel() for each in np.meshgrid(np.arange(DAYS), np.arange(CUSTOMERS), indexing="ij"))
    fraud = ((day // 4 + customer) % 20 == 0).astype(np.int8)
    features = chance.normal(size=(len(day), 4)).astype(np.float32)
    features[:, 2] += 2 * fraud
    features[::9, 1] = np.nan
    none = np.zeros(len(day), np.int64)
    return Data(Payments(customer, customer, day * DAY_S, none, fraud, fraud), features)


def test_all_frauds_teach_and_the_honest_ones_weigh_as_much_as_all_of_them(data: Data) -> None:
    fold = Fold(np.arange(4_000), np.arange(4_000, 4_100))
    taught = ours.teach(data, fold, 1, honest_share=0.1)
    assert taught.fraud.sum() == data.payments.fraud[:4_000].sum()
    honest = int((data.payments.fraud[:4_000] == 0).sum())
    assert taught.weights[taught.fraud == 0].sum() == pytest.approx(honest, rel=0.1)
    assert set(taught.weights[taught.fraud == 1].tolist()) == {1.0}
    whole = ours.teach(data, fold, 1, honest_share=1.0)
    assert len(whole.fraud) == 4_000
    assert ours.teach(data, fold, 2, honest_share=0.1).features.shape != taught.features.shape


def test_what_is_best_on_earlier_weeks_is_judged_on_the_published_ones(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_column = {
        column: (lambda _, judged, column=column: 1 / (1 + np.exp(-np.nan_to_num(judged[:, column]).astype(float))))
        for column in (0, 2)
    }
    candidates = {
        "noise": ours.Candidate(history=False, members=(by_column[0],)),
        "the one": ours.Candidate(history=True, members=(by_column[2],)),
    }
    monkeypatch.setattr(ours, "list_candidates", lambda: candidates)
    told: list[str] = []
    outcome = ours.run(data, told.append)
    assert outcome.chosen == "the one"
    assert list(outcome.judged) == ["the one", "noise"]
    assert outcome.judged["the one"].mean.auc > outcome.judged["noise"].mean.auc + 0.2
    assert outcome.find_faults() == ours.find_faults(outcome.judged["the one"].mean)
    assert len(told) == 2 + 2 * len(ours.SEEDS)


def test_each_candidate_learns(data: Data) -> None:
    fold = data.fold(120, history=False)
    taught = ours.teach(data, fold, 1, honest_share=1.0)
    for name, candidate in ours.list_candidates().items():
        if candidate.history or len(candidate.members) > 1:
            continue
        scores = candidate.members[0](taught, data.features[fold.test])
        assert data.measure(fold, scores).auc > 0.8, name


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (Figures(0.875, 0.690, 0.303), 0),
        (Figures(0.895, 0.800, 0.325), 0),
        (Figures(0.8749, 0.690, 0.303), 1),
        (Figures(0.880, 0.690, 0.302), 1),
        (Figures(0.896, 0.700, 0.310), 1),
        (Figures(0.880, 0.801, 0.326), 2),
    ],
)
def test_a_figure_that_is_missed_or_cannot_be_true_is_told(found: Figures, faults: int) -> None:
    assert len(ours.find_faults(found)) == faults
