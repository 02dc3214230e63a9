"""One training run, from examples to a bundle.

1. Split by time; read labels as known at the cut (train, validation) and at the end (test).
2. Fit the model and both baselines on the train interval.
3. Choose thresholds on the validation interval.
4. Judge everything on the test interval.
5. Export, hold the export to its source, write the bundle with the histograms that drift is measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa

from weir.schemas.errors import Refused
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments
from weir.training import thresholds as pricing
from weir.training.bundle import Manifest, compute_reference, write_bundle
from weir.training.dataset import Examples
from weir.training.drift.reference import Reference, build_reference
from weir.training.evaluate import compute_calibration, compute_metrics
from weir.training.export import INPUT_NAME, OUTPUT_NAME, build_onnx
from weir.training.labels import UNKNOWN, join_labels, labels_of, number_keys
from weir.training.model_card import Identity, build_card
from weir.training.models import (
    Labels,
    Matrix,
    Model,
    Trees,
    fit_logistic,
    fit_stateless_rule,
    fit_trees,
    list_stateless,
)
from weir.training.parity import check_parity
from weir.training.results import Results
from weir.training.retraining.labels import describe_labels
from weir.training.split import Interval, Split, plan_split

FRAUDS_MIN = 10
"""Fewer known frauds in an interval and its figures, or its thresholds, are noise."""
_IMPORTANCE_ROWS = 1_000
"""TreeSHAP costs about a millisecond a row."""


@dataclass(frozen=True)
class Part:
    """The labelled rows of one interval.

    Attributes:
        features: float32, shape (n, n_features).
        positive: 0 or 1, shape (n,): what the stream's labels found true, which is fraud or what stands for it.
        stakes: base minor units, shape (n,); 0 without money.
        transactions: how many events the interval holds, unlabelled ones too.
    """

    features: Matrix
    positive: Labels
    stakes: Any
    transactions: int

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the interval, of them labelled, of them fraud."""
        return {"transactions": self.transactions, "known": len(self.positive), "fraud": int(self.positive.sum())}


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
    stream: Stream = payments
    flagged_share_max: float = pricing.FLAGGED_SHARE_MAX


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
    stream = options.stream
    split, parts = build_parts(examples, labels, options.maturity_ms, stream)
    progress("fitting LightGBM")
    names = stream.feature_names
    trees = fit_trees(_pair(parts["train"]), _pair(parts["validation"]), names, trees=options.trees)
    progress("fitting the baselines")
    contenders: dict[str, Model] = {"lightgbm": trees, "logistic": fit_logistic(*_pair(parts["train"]))}
    if stateless := list_stateless(stream):
        contenders["stateless_rule"] = fit_stateless_rule(*_pair(parts["train"]), stateless)
    progress("choosing thresholds and judging")
    results = judge(contenders, split, parts, options)
    progress("exporting and checking parity")
    return _export(trees, results, parts, _build_reference(examples, split.test, trees, names), options)


def judge(contenders: Mapping[str, Model], split: Split, parts: Mapping[str, Part], options: Options) -> Results:
    """Choose thresholds on the validation interval, then measure every model on the test interval."""
    trees = cast(Trees, contenders["lightgbm"])
    validation, test = parts["validation"], parts["test"]
    prices = pricing.prices_of(options.stream)
    chosen = pricing.choose_thresholds(
        validation.positive,
        trees.score(validation.features),
        validation.stakes,
        prices=prices,
        flagged_share_max=options.flagged_share_max,
    )
    scores = trees.score(test.features)
    return Results(
        split=split,
        counts={name: part.counts for name, part in parts.items()},
        metrics={
            name: compute_metrics(test.positive, model.score(test.features)) for name, model in contenders.items()
        },
        outcomes=pricing.compute_outcomes(test.positive, scores, test.stakes, chosen, prices=prices),
        calibration=compute_calibration(test.positive, scores),
        thresholds=asdict(chosen),
        importance=trees.compute_importance(_sample(validation)),
        trees=trees.kept,
    )


def build_parts(
    examples: Examples, labels: pa.Table, maturity_ms: int, stream: Stream = payments
) -> tuple[Split, dict[str, Part]]:
    """Split examples by time and label each interval as known at its moment.

    Raises:
        Refused: the history is too short, or an interval holds fewer than ``FRAUDS_MIN`` known frauds.
    """
    times = examples.event_time_ms
    end_ms = max(int(times[-1]), _newest_label_ms(labels, labels_of(stream).time))
    first_ms, last_ms = int(times[0]), int(times[-1])
    split = plan_split(stream, first_ms=first_ms, last_ms=last_ms, end_ms=end_ms, maturity_ms=maturity_ms)
    at_cut = join_labels(examples.keys, labels, stream, cut_ms=split.cut_ms)
    at_end = join_labels(examples.keys, labels, stream, cut_ms=split.end_ms)
    moments = {"train": (split.train, at_cut), "validation": (split.validation, at_cut), "test": (split.test, at_end)}
    parts = {
        name: _build_part(examples, known, interval.mask(times), stream) for name, (interval, known) in moments.items()
    }
    for name, part in parts.items():
        if part.counts["fraud"] < FRAUDS_MIN:
            found = f"expected {FRAUDS_MIN} or more known frauds in the {name} interval, found {part.counts['fraud']}"
            raise Refused(f"history: {found}; bring a longer history, or one of more {stream.key.name}s")
    return split, parts


def _build_part(examples: Examples, known: Labels, inside: Any, stream: Stream) -> Part:
    rows = inside & (known != UNKNOWN)
    taken = examples.take(rows)
    return Part(taken.features, known[rows], pricing.read_stakes(stream, taken.features), int(inside.sum()))


def _build_reference(examples: Examples, test: Interval, trees: Trees, names: Sequence[str]) -> Reference:
    rows = examples.take(test.mask(examples.event_time_ms))
    return build_reference(rows.features, names, trees.score(rows.features), rows.event_time_ms, number_keys(rows.keys))


def _export(trees: Trees, results: Results, parts: Mapping[str, Part], drift: Reference, options: Options) -> Trained:
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
        features=options.stream.feature_names,
        reference=compute_reference(train.features[train.positive == 0]),
        parity_max_abs_diff=parity,
        declarations_hash=options.declarations_hash,
        drift=drift.model_dump(),
        dataset=describe_labels(train.features, train.positive, options.stream.feature_names),
    )
    identity = Identity(options.name, version, options.source, parity, options.declarations_hash)
    card = build_card(identity, options.stream, results, pricing.prices_of(options.stream))
    bundle = write_bundle(options.models_dir, manifest, model_bytes=model.SerializeToString(), card=card)
    return Trained(bundle, results, parity)


def _sample(part: Part) -> Matrix:
    """Every fraud and evenly spaced legitimate rows: on legitimate rows alone nothing would stand out."""
    frauds = np.flatnonzero(part.positive == 1)[: _IMPORTANCE_ROWS // 2]
    legitimate = np.flatnonzero(part.positive == 0)
    spaced = legitimate[:: max(1, 2 * len(legitimate) // _IMPORTANCE_ROWS)]
    sample: Matrix = part.features[np.concatenate([frauds, spaced])]
    return sample


def _pair(part: Part) -> tuple[Matrix, Labels]:
    return part.features, part.positive


def _newest_label_ms(labels: pa.Table, time: str) -> int:
    return int(labels[time].to_numpy().max()) if labels.num_rows else 0
