from __future__ import annotations

import numpy as np
import pytest

from weir.schemas.errors import WeirError
from weir.training.evaluate import compute_metrics, recall_at_fpr


def test_recall_is_taken_at_the_last_threshold_within_the_false_positive_rate() -> None:
    #  score  0.9 fraud | 0.8 legitimate | 0.7 fraud | then 99 legitimate
    is_fraud = np.array([1, 0, 1] + [0] * 99, np.int8)
    scores = np.array([0.9, 0.8, 0.7] + [0.1] * 99)
    assert recall_at_fpr(is_fraud, scores, 0.005) == 0.5
    assert recall_at_fpr(is_fraud, scores, 0.01) == 1.0


def test_a_tie_is_never_split_in_favour_of_the_model() -> None:
    is_fraud = np.array([1] * 10 + [0] * 90, np.int8)
    assert recall_at_fpr(is_fraud, np.full(100, 0.5), 0.01) == 0.0


def test_a_constant_model_has_the_fraud_share_as_pr_auc_and_no_recall() -> None:
    is_fraud = np.array([1] * 5 + [0] * 95, np.int8)
    metrics = compute_metrics(is_fraud, np.full(100, 0.3))
    assert metrics == {
        "pr_auc": 0.05,
        "roc_auc": 0.5,
        "recall_at_fpr_0.1pct": 0.0,
        "recall_at_fpr_0.5pct": 0.0,
        "recall_at_fpr_1pct": 0.0,
    }


@pytest.mark.parametrize("label", [0, 1])
def test_an_interval_of_one_kind_is_an_error_and_not_a_figure(label: int) -> None:
    with pytest.raises(WeirError, match="expected fraud and legitimate rows"):
        compute_metrics(np.full(4, label, np.int8), np.linspace(0, 1, 4))
