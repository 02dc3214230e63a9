"""The figures of one training run, as the card, the manifest, MLflow and the terminal show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from weir.inference.core.calibration import Calibration
from weir.training.split import Split
from weir.training.weights import Weighing

LOGISTIC, STATELESS_RULE = "logistic", "stateless_rule"
BASELINES: Final = (LOGISTIC, STATELESS_RULE)
"""What every model is judged next to; a figure under another name is the model's own."""


@dataclass(frozen=True)
class Results:
    """Every figure of a run.

    Attributes:
        counts: per interval: transactions, of them with a known label, of them fraud.
        weighing: per interval: what the weights of its rows follow from.
        metrics: per model, on the test interval; see ``weir.training.evaluate``. All but one are ``BASELINES``.
        outcomes: what the thresholds do on the test interval; shares in [0, 1], costs in base minor units.
        calibration: how far scores and probabilities are from what came true, test interval.
        worth: what a score is worth; None where the interval that says so holds too few rows of a class.
        worth_keys: of each class, of how many keys the rows are that say so.
        reliability: the plot of it, SVG.
        thresholds: ``review`` and ``decline``.
        importance: how much each feature matters, largest first.
        trees: how many trees the model kept; 0 where it has none.
        model: what kind of model it is, such as ``LightGBM``.
        importance_is: what the importance is, in words.
    """

    split: Split
    counts: dict[str, dict[str, int]]
    metrics: dict[str, dict[str, float]]
    outcomes: dict[str, float]
    calibration: dict[str, float]
    thresholds: dict[str, float]
    importance: dict[str, float]
    trees: int
    model: str = "LightGBM"
    importance_is: str = "Mean absolute SHAP value in log-odds"
    worth: Calibration | None = None
    worth_keys: Mapping[str, int] = field(default_factory=dict)
    reliability: str = ""
    weighing: Mapping[str, Weighing] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, float]:
        """The figures of the model itself, whatever kind it is."""
        (figures,) = (found for name, found in self.metrics.items() if name not in BASELINES)
        return figures

    @property
    def title(self) -> str:
        """The model for people, such as ``LightGBM, 80 trees``."""
        return f"{self.model}, {self.trees} trees" if self.trees else self.model

    def as_manifest_metrics(self) -> dict[str, Any]:
        """Return what the manifest keeps: figures alone."""
        return {
            "test": self.metrics,
            "outcomes": self.outcomes,
            "calibration": self.calibration,
            "counts": self.counts,
        }

    def as_flat_metrics(self) -> dict[str, float]:
        """Return one flat mapping for MLflow, names such as ``xgboost.pr_auc``."""
        flat = {f"{model}.{name}": value for model, figures in self.metrics.items() for name, value in figures.items()}
        return flat | self.outcomes | self.calibration | {f"threshold.{k}": v for k, v in self.thresholds.items()}
