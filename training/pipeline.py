"""One training run, from examples to a bundle.

1. Split by time; read labels as known at the cut (train, validation) and at the end (test).
2. Fit the model and both baselines on the train interval.
3. Choose thresholds on the validation interval.
4. Fit what a score is worth on the calibration interval, which nothing else is chosen by where there is fraud enough.
5. Judge everything on the test interval.
6. Export, hold the export to its source, write the bundle with the histograms that drift is measured against.

``weir train --config`` chooses the model of step 2 by a search; the other steps are these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments
from weir.training import thresholds as pricing
from weir.training.bundle import Manifest, compute_reference, write_bundle
from weir.training.calibration.draw import draw_reliability
from weir.training.calibration.fit import fit_calibration
from weir.training.calibration.measure import CLASSES, measure_calibration
from weir.training.dataset import Examples
from weir.training.drift.reference import Reference, build_reference
from weir.training.evaluate import compute_metrics
from weir.training.export import INPUT_NAME, OUTPUT_NAME
from weir.training.labels import number_keys
from weir.training.model_card import RELIABILITY_FILE, Identity, build_card
from weir.training.models import (
    Deployable,
    Matrix,
    Model,
    fit_logistic,
    fit_stateless_rule,
    fit_trees,
    list_stateless,
)
from weir.training.parity import DIFFERENCE_MAX, check_parity
from weir.training.parts import Part, build_parts, set_calibration_apart
from weir.training.results import LOGISTIC, STATELESS_RULE, Results
from weir.training.retraining.labels import describe_labels
from weir.training.split import Interval, Split

_IMPORTANCE_ROWS = 1_000
"""TreeSHAP costs about a millisecond a row."""


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
    difference_max: float = DIFFERENCE_MAX
    dataset: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Of the bundle, such as ``20261126T154501``."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")


@dataclass(frozen=True)
class Trained:
    """What a run made."""

    bundle: Path
    results: Results
    parity_max_abs_diff: float


Progress = Callable[[str], object]
Exported = tuple[bytes, float]
"""A graph, and the largest difference of its scores from the model's."""


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
    intervals = build_parts(examples, labels, options.maturity_ms, options.stream)
    split, parts = set_calibration_apart(*intervals, examples)
    progress("fitting LightGBM")
    train, validation = parts["train"].pair, parts["validation"].pair
    weights = parts["train"].weights, parts["validation"].weights
    trees = fit_trees(train, validation, options.stream.feature_names, trees=options.trees, weights=weights)
    progress("exporting and checking parity")
    graph = export(trees, parts, options)
    return finish("lightgbm", trees, graph, (split, parts), examples, options, progress)


def finish(
    name: str,
    model: Deployable,
    graph: Exported,
    intervals: tuple[Split, Mapping[str, Part]],
    examples: Examples,
    options: Options,
    progress: Progress,
) -> Trained:
    """Judge a fitted model next to the baselines and write its bundle.

    Args:
        name: what its figures are called.
        model: that was fitted on the train interval.
        graph: it, exported.
        intervals: and their rows.
        examples: all of the history.
        options: what was asked for.
        progress: told what begins, in a few words.
    """
    split, parts = intervals
    progress("fitting the baselines")
    weights = parts["train"].weights
    baselines: dict[str, Model] = {LOGISTIC: fit_logistic(*parts["train"].pair, weights=weights)}
    if stateless := list_stateless(options.stream):
        baselines[STATELESS_RULE] = fit_stateless_rule(*parts["train"].pair, stateless, weights)
    progress("choosing thresholds and judging")
    results = judge(name, model, baselines, split, parts, options)
    progress("writing the bundle")
    drift = _build_reference(examples, split.test, model, options.stream.feature_names)
    return _write(graph, results, parts, drift, options)


def judge(
    name: str,
    model: Deployable,
    baselines: Mapping[str, Model],
    split: Split,
    parts: Mapping[str, Part],
    options: Options,
) -> Results:
    """Choose thresholds and calibrate, then measure every model on the test interval."""
    validation, apart, test = (parts[name] for name in ("validation", "calibration", "test"))
    prices = pricing.prices_of(options.stream)
    chosen = pricing.choose_thresholds(
        validation.positive,
        model.score(validation.features),
        validation.stakes,
        prices=prices,
        flagged_share_max=options.flagged_share_max,
        weights=validation.weights,
    )
    scores = model.score(test.features)
    worth = fit_calibration(apart.positive, model.score(apart.features), apart.keys, apart.weights)
    return Results(
        split=split,
        counts={each: part.counts for each, part in parts.items()},
        weighing={each: parts[each].weighing for each in ("train", "validation", "test")},
        metrics={
            each: compute_metrics(test.positive, contender.score(test.features), test.weights)
            for each, contender in {name: model, **baselines}.items()
        },
        outcomes=pricing.compute_outcomes(
            test.positive, scores, test.stakes, chosen, prices=prices, weights=test.weights
        ),
        calibration=measure_calibration(test.positive, scores, worth, test.keys, test.weights),
        worth=worth,
        worth_keys={name: len(np.unique(apart.keys[apart.positive == truth])) for truth, name in enumerate(CLASSES)},
        reliability=draw_reliability(test.positive, scores, worth),
        thresholds=asdict(chosen),
        importance=model.compute_importance(_sample(validation)),
        trees=model.kept,
        model=model.name,
        importance_is=model.importance_is,
    )


def _build_reference(examples: Examples, test: Interval, model: Deployable, names: Sequence[str]) -> Reference:
    rows = examples.take(test.mask(examples.event_time_ms))
    return build_reference(rows.features, names, model.score(rows.features), rows.event_time_ms, number_keys(rows.keys))


def export(model: Deployable, parts: Mapping[str, Part], options: Options) -> Exported:
    """Return a model as an ONNX graph, and how far its scores are from the model's.

    Raises:
        WeirError: the graph does not equal its source.
    """
    graph = model.build_graph({"name": options.name, "version": options.version})
    rows = np.concatenate([parts["validation"].features, parts["test"].features])
    names = {"input_name": INPUT_NAME, "output_name": OUTPUT_NAME}
    parity = check_parity(graph, model, rows, **names, difference_max=options.difference_max)
    return graph.SerializeToString(), parity


def _write(graph: Exported, results: Results, parts: Mapping[str, Part], drift: Reference, options: Options) -> Trained:
    model, parity = graph
    train = parts["train"]
    manifest = Manifest(
        name=options.name,
        version=options.version,
        created_time_ms=options.now_ms,
        thresholds=pricing.Thresholds(**results.thresholds),
        training_interval_ms=(results.split.train.from_ms, results.split.train.to_ms),
        metrics=results.as_manifest_metrics(),
        features=options.stream.feature_names,
        reference=compute_reference(train.features[train.positive == 0]),
        parity_max_abs_diff=parity,
        declarations_hash=options.declarations_hash,
        drift=drift.model_dump(),
        dataset=dict(options.dataset),
        labels=describe_labels(train.features, train.positive, options.stream.feature_names),
        calibration=None if results.worth is None else asdict(results.worth),
        weights={name: each.as_document() for name, each in results.weighing.items()},
    )
    identity = Identity(options.name, options.version, options.source, parity, options.declarations_hash)
    card = build_card(identity, options.stream, results, pricing.prices_of(options.stream))
    plots = {RELIABILITY_FILE: results.reliability}
    bundle = write_bundle(options.models_dir, manifest, model_bytes=model, card=card, plots=plots)
    return Trained(bundle, results, parity)


def _sample(part: Part) -> Matrix:
    """Every fraud and evenly spaced legitimate rows: on legitimate rows alone nothing would stand out."""
    frauds = np.flatnonzero(part.positive == 1)[: _IMPORTANCE_ROWS // 2]
    legitimate = np.flatnonzero(part.positive == 0)
    spaced = legitimate[:: max(1, 2 * len(legitimate) // _IMPORTANCE_ROWS)]
    sample: Matrix = part.features[np.concatenate([frauds, spaced])]
    return sample
