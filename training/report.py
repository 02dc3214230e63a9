"""What a run shows: a table for people on stderr, one JSON document for machines on stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from weir.schemas.stream import Stream
from weir.training.dataset_report import DatasetReport
from weir.training.labels import name_verdict
from weir.training.pipeline import Trained
from weir.training.weights import Weighing

_NOTES_MAX = 10


def show_table(console: Console, trained: Trained, stream: Stream) -> None:
    """Print the test interval's figures of all models and what the thresholds do.

    Args:
        console: that shows it.
        trained: what a run made.
        stream: that it was made for.
    """
    results = trained.results
    test = results.counts["test"]
    table = Table(
        title=f"test interval: {test['known']} labelled {stream.event}s, {test['fraud']} {name_verdict(stream)}"
    )
    table.add_column("figure")
    for model in results.metrics:
        table.add_column(model, justify="right")
    for name in next(iter(results.metrics.values())):
        table.add_row(name, *(f"{figures[name]:.4f}" for figures in results.metrics.values()))
    console.print(table)
    chosen, outcomes = results.thresholds, results.outcomes
    console.print(
        f"review at {chosen['review']:.4f} ({outcomes['review_share']:.2%} of test), "
        f"decline at {chosen['decline']:.4f} ({outcomes['decline_share']:.2%}); "
        f"cost {_describe_cost(outcomes)} when all are approved"
    )
    console.print(_say_weights(results.weighing.get("train", Weighing())), highlight=False)
    trees = f" ({results.trees} trees)" if results.trees else ""
    console.print(f"parity: ONNX differs from {results.model} by {trained.parity_max_abs_diff:.2e} at most{trees}")


def show_dataset(console: Console, checked: DatasetReport) -> None:
    """Print what a dataset holds, and what is odd about it."""
    console.print(
        f"dataset {checked.sha256[:12]}: {checked.events:,} events, {checked.labelled:.1%} of them labelled, "
        f"{checked.positive:.2%} of the labels positive, {len(checked.columns)} columns checked",
        highlight=False,
    )
    for note in checked.notes[:_NOTES_MAX]:
        console.print(f"  {note}", highlight=False)
    if (more := len(checked.notes) - _NOTES_MAX) > 0:
        console.print(f"  and {more} more notes: --json has all", highlight=False)


def _say_weights(weighing: Weighing) -> str:
    if not weighing.decided:
        return "weights: every row has 1, as nothing is known of what was decided"
    if not weighing.is_used:
        return "weights: every row has 1, as no sample with a known chance lacks labels of others"
    kinds = {"let through": weighing.let_through, "reviewed": weighing.reviewed}
    stand = [f"{kind.sample} {name} stand for {kind.events - kind.labelled} more" for name, kind in kinds.items()
             if kind.is_used]  # fmt: skip
    return f"weights: of what teaches, {', '.join(stand)}; at most {weighing.largest:.4g}"


def _describe_cost(outcomes: Mapping[str, float]) -> str:
    if "cost_minor" in outcomes:
        return f"{outcomes['cost_minor'] / 100:,.0f} against {outcomes['cost_minor_approving_all'] / 100:,.0f}"
    return f"{outcomes['cost_cases']:,.1f} against {outcomes['cost_cases_approving_all']:,.0f} missed cases"


def build_document(trained: Trained, *, promoted: bool, run_id: str | None) -> dict[str, Any]:
    """Return the run as plain data."""
    results = trained.results
    return {
        "bundle": str(trained.bundle),
        "promoted": promoted,
        "mlflow_run_id": run_id,
        "parity_max_abs_diff": trained.parity_max_abs_diff,
        "trees": results.trees,
        "thresholds": results.thresholds,
        "intervals_ms": {name: [each.from_ms, each.to_ms] for name, each in results.split.intervals.items()},
        "counts": results.counts,
        "weights": {name: each.as_document() for name, each in results.weighing.items()},
        "test": results.metrics,
        "outcomes": results.outcomes,
        "calibration": results.calibration,
    }


def to_json(document: dict[str, Any]) -> str:
    """Return the document as indented JSON with a final newline."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
