"""One training run, from examples to a bundle.

1. Split by time; read labels as known at the cut (train, validation) and at the end (test).
2. Fit the model and both baselines on the train interval.
3. Choose thresholds on the validation interval.
4. Judge everything on the test interval.
5. Export, hold the export to its source, write the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from weir.schemas.errors import Refused
from weir.training import thresholds as pricing
from weir.training.bundle import Manifest, compute_reference, write_bundle
from weir.training.dataset import Examples
from weir.training.evaluate import compute_calibration, compute_metrics
from weir.training.export import INPUT_NAME, OUTPUT_NAME, build_onnx
from weir.training.labels import UNKNOWN, join_labels
from weir.training.model_card import Identity, build_card
from weir.training.models import Labels, Matrix, Model, Trees, fit_logistic, fit_stateless_rule, fit_trees
from weir.training.parity import check_parity
from weir.training.results import Results
from weir.training.split import Split, plan_split

FRAUDS_MIN = 10
"""Fewer known frauds in an interval and its figures, or its thresholds, are noise."""
_IMPORTANCE_ROWS = 1_000
"""TreeSHAP costs about a millisecond a row."""


@dataclass(frozen=True)
class Part:
    """The labelled rows of one interval.

    Attributes:
        features: float32, shape (n, n_features).
        is_fraud: 0 or 1, shape (n,).
        amounts: base minor units, shape (n,).
        transactions: how many the interval holds, unlabelled ones too.
    """

    features: Matrix
    is_fraud: Labels
    amounts: Any
    transactions: int

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the interval, of them labelled, of them fraud."""
        return {"transactions": self.transactions, "known": len(self.is_fraud), "fraud": int(self.is_fraud.sum())}


@dataclass(frozen=True)
class Options:
    """What a run was asked to do; times in UTC epoch milliseconds."""

    name: str
    trees: int
    source: str
    models_dir: Path
    now_ms: int
    maturity_ms: int
    declarations_hash: str


@dataclass(frozen=True)
class Trained:
    """What a run made."""

    bundle: Path
    results: Results
    parity_max_abs_diff: float


Progress = Callable[[str], object]


def run_training(examples: Examples, labels: pa.Table, options: Options, progress: Progress) -> Trained:
    """Train, judge, export and write a bundle.

    Args:
        examples: in event-time order.
        labels: every label of the history; which of them exist at which moment is decided here.
        options: what was asked for.
        progress: told what begins, in a few words.

    Raises:
        Refused: the history is too short or holds too little known fraud.
        WeirError: the export does not equal its source.
    """
    split, parts = build_parts(examples, labels, options.maturity_ms)
    progress("fitting LightGBM")
    trees = fit_trees(_pair(parts["train"]), _pair(parts["validation"]), trees=options.trees)
    progress("fitting the baselines")
    rule = fit_stateless_rule(*_pair(parts["train"]))
    logistic = fit_logistic(*_pair(parts["train"]))
    progress("choosing thresholds and judging")
    contenders: dict[str, Model] = {"lightgbm": trees, "logistic": logistic, "stateless_rule": rule}
    results = judge(contenders, split, parts)
    progress("exporting and checking parity")
    return _export(trees, results, parts, options)


def judge(contenders: Mapping[str, Model], split: Split, parts: Mapping[str, Part]) -> Results:
    """Choose thresholds on the validation interval, then measure every model on the test interval."""
    trees = cast(Trees, contenders["lightgbm"])
    validation, test = parts["validation"], parts["test"]
    chosen = pricing.choose_thresholds(validation.is_fraud, trees.score(validation.features), validation.amounts)
    scores = trees.score(test.features)
    return Results(
        split=split,
        counts={name: part.counts for name, part in parts.items()},
        metrics={
            name: compute_metrics(test.is_fraud, model.score(test.features)) for name, model in contenders.items()
        },
        outcomes=pricing.compute_outcomes(test.is_fraud, scores, test.amounts, chosen),
        calibration=compute_calibration(test.is_fraud, scores),
        thresholds=asdict(chosen),
        importance=trees.compute_importance(_sample(validation)),
        trees=trees.kept,
    )


def build_parts(examples: Examples, labels: pa.Table, maturity_ms: int) -> tuple[Split, dict[str, Part]]:
    """Split examples by time and label each interval as known at its moment.

    Raises:
        Refused: the history is too short, or an interval holds fewer than ``FRAUDS_MIN`` known frauds.
    """
    times = examples.event_time_ms
    end_ms = max(int(times[-1]), _newest_label_ms(labels))
    split = plan_split(first_ms=int(times[0]), last_ms=int(times[-1]), end_ms=end_ms, maturity_ms=maturity_ms)
    at_cut = join_labels(examples.keys, labels, cut_ms=split.cut_ms)
    at_end = join_labels(examples.keys, labels, cut_ms=split.end_ms)
    moments = {"train": (split.train, at_cut), "validation": (split.validation, at_cut), "test": (split.test, at_end)}
    parts = {name: _build_part(examples, known, interval.mask(times)) for name, (interval, known) in moments.items()}
    for name, part in parts.items():
        if part.counts["fraud"] < FRAUDS_MIN:
            found = f"expected {FRAUDS_MIN} or more known frauds in the {name} interval, found {part.counts['fraud']}"
            raise Refused(f"history: {found}; generate a longer history or more cards")
    return split, parts


def _build_part(examples: Examples, known: Labels, inside: Any) -> Part:
    rows = inside & (known != UNKNOWN)
    taken = examples.take(rows)
    return Part(taken.features, known[rows], taken.amounts, int(inside.sum()))


def _export(trees: Trees, results: Results, parts: Mapping[str, Part], options: Options) -> Trained:
    version = datetime.fromtimestamp(options.now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    model = build_onnx(trees.booster, metadata={"name": options.name, "version": version})
    rows = np.concatenate([parts["validation"].features, parts["test"].features])
    parity = check_parity(model, trees, rows, input_name=INPUT_NAME, output_name=OUTPUT_NAME)
    train = parts["train"]
    manifest = Manifest(
        name=options.name,
        version=version,
        created_time_ms=options.now_ms,
        thresholds=pricing.Thresholds(**results.thresholds),
        training_interval_ms=(results.split.train.from_ms, results.split.train.to_ms),
        metrics=results.as_manifest_metrics(),
        reference=compute_reference(train.features[train.is_fraud == 0]),
        parity_max_abs_diff=parity,
        declarations_hash=options.declarations_hash,
    )
    identity = Identity(options.name, version, options.source, parity, options.declarations_hash)
    card = build_card(identity, results, pricing.COSTS)
    bundle = write_bundle(options.models_dir, manifest, model_bytes=model.SerializeToString(), card=card)
    return Trained(bundle, results, parity)


def _sample(part: Part) -> Matrix:
    """Every fraud and evenly spaced legitimate rows: on legitimate rows alone nothing would stand out."""
    frauds = np.flatnonzero(part.is_fraud == 1)[: _IMPORTANCE_ROWS // 2]
    legitimate = np.flatnonzero(part.is_fraud == 0)
    spaced = legitimate[:: max(1, 2 * len(legitimate) // _IMPORTANCE_ROWS)]
    sample: Matrix = part.features[np.concatenate([frauds, spaced])]
    return sample


def _pair(part: Part) -> tuple[Matrix, Labels]:
    return part.features, part.is_fraud


def _newest_label_ms(labels: pa.Table) -> int:
    return int(labels["label_time_ms"].to_numpy().max()) if labels.num_rows else 0
