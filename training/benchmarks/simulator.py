"""Weir's own simulator as a benchmark: by scenario, in money, and what each kind of feature adds.

A simulated history goes through the kernel. Its intervals are those of ``weir train`` (``training/split.py``): what
teaches and chooses is labelled as it was known by the cut. What judges is the simulator's truth, which knows all fraud
and which scenario made it, so nothing depends on labels that never came.

The same trees are trained four times, each time with more columns: the payment alone, windows of its card, windows of
what cards share, and the risk that labels give. What a step adds is what a stream adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import precision_recall_curve

from weir.schemas.entity import Aggregate
from weir.schemas.errors import WeirError
from weir.schemas.stream import Stream
from weir.training import thresholds as pricing
from weir.training.dataset import Examples
from weir.training.evaluate import compute_metrics
from weir.training.labels import labels_of
from weir.training.models import Matrix, Scores, fit_trees
from weir.training.parts import Part, build_parts
from weir.training.split import MATURITY_MS

Progress = Callable[[str], object]

PRECISIONS: Final = (0.5, 0.9)
FALSE_POSITIVE_RATE: Final = 0.005
"""At which recall is told by scenario and in money."""


@dataclass(frozen=True)
class Truth:
    """The simulator's truth of the payments that judge.

    Attributes:
        fraud: 0 or 1, shape (n,).
        scenario: its name, an empty text for an honest payment.
        stakes: base minor units.
    """

    fraud: npt.NDArray[np.int8]
    scenario: npt.NDArray[np.str_]
    stakes: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """What one set of columns came to.

    Attributes:
        figures: of all fraud, by name.
        by_scenario: recall at ``FALSE_POSITIVE_RATE``.
    """

    columns: int
    figures: Mapping[str, float]
    by_scenario: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a run found; steps by name, in the order in which columns are added."""

    counts: Mapping[str, Mapping[str, int]]
    payments: int
    scenarios: Mapping[str, int]
    steps: Mapping[str, Step]


def run_benchmark(examples: Examples, labels: pa.Table, truth: pa.Table, stream: Stream, progress: Progress) -> Outcome:
    """Train and judge each step.

    Args:
        examples: the whole history in event-time order.
        labels: those that are known by its end.
        truth: ids and scenarios of the payments, in the same order.
        stream: whose payments they are.
        progress: told what begins.
    """
    split, parts = build_parts(examples, labels, MATURITY_MS, stream)
    inside = split.test.mask(examples.event_time_ms)
    judged = examples.take(inside).features
    plain = {stream.id: "id", labels_of(stream).verdict: "fraud"}
    named = truth.rename_columns([plain.get(name, name) for name in truth.column_names])
    known = read_truth(examples, named, inside, pricing.read_stakes(stream, judged))
    names = np.array(stream.feature_names)
    steps = {}
    for name, columns in list_steps(stream):
        progress(f"training on {name}: {len(columns)} columns")
        train, validation = (_pair(parts[part], columns) for part in ("train", "validation"))
        trees = fit_trees(train, validation, names[columns].tolist())
        flagged_above = pricing.choose_thresholds(
            validation[1], trees.score(validation[0]), parts["validation"].stakes, prices=pricing.prices_of(stream)
        )
        steps[name] = measure_step(len(columns), known, trees.score(judged[:, columns]), flagged_above)
    ids, counts = np.unique(known.scenario[known.fraud == 1], return_counts=True)
    return Outcome(
        counts={name: part.counts for name, part in parts.items() if name != "test"},
        payments=int(inside.sum()),
        scenarios=dict(zip(ids.tolist(), counts.tolist(), strict=True)),
        steps=steps,
    )


def list_steps(stream: Stream) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Yield the steps' names and columns, each with those of the one before."""
    features = stream.all_features
    stateless = np.array([feature.aggregate == Aggregate.VALUE for feature in features])
    own = np.array([feature.entity == stream.key.name for feature in features])
    risk = np.array([feature.aggregate == Aggregate.RISK for feature in features])
    yield f"the {stream.event} alone", np.flatnonzero(stateless)
    yield f"and windows of the {stream.key.name}", np.flatnonzero(stateless | own)
    yield "and windows of shared entities", np.flatnonzero(~risk)
    yield "and label risk", np.arange(len(features))


def read_truth(examples: Examples, truth: pa.Table, inside: npt.NDArray[np.bool_], stakes: Any) -> Truth:
    """Return the truth of the payments of an interval, of a table with the columns id, fraud and scenario.

    Raises:
        WeirError: the truth is not that of the examples.
    """
    ids = pc.list_element(pc.split_pattern(examples.keys, "\x1f"), 1)
    if len(ids) != truth.num_rows or not pc.all(pc.equal(ids, truth["id"].combine_chunks())).as_py():
        raise WeirError("benchmark: expected the truth of these payments in their order, found that of others")
    fraud = truth["fraud"].to_numpy()[inside].astype(np.int8)
    scenario = pc.fill_null(truth["scenario"], "").to_numpy()[inside].astype(np.str_)
    return Truth(fraud, scenario, stakes)


def measure_step(columns: int, truth: Truth, scores: Scores, chosen: pricing.Thresholds) -> Step:
    """Return what scores are worth."""
    fraud = truth.fraud == 1
    figures = compute_metrics(truth.fraud, scores)
    precision, recall, _ = precision_recall_curve(truth.fraud, scores)
    for wanted in PRECISIONS:
        figures[f"recall_at_precision_{wanted * 100:g}pct"] = float(recall[precision >= wanted].max())
    flagged = scores >= find_threshold(truth.fraud, scores, FALSE_POSITIVE_RATE)
    figures["money_stopped"] = float(truth.stakes[fraud & flagged].sum() / truth.stakes[fraud].sum())
    outcomes = pricing.compute_outcomes(truth.fraud, scores, truth.stakes, chosen)
    figures["cost_share"] = outcomes["cost_minor"] / outcomes["cost_minor_approving_all"]
    names = np.unique(truth.scenario[fraud]).tolist()
    return Step(columns, figures, {name: float(flagged[fraud & (truth.scenario == name)].mean()) for name in names})


def find_threshold(fraud: npt.NDArray[np.int8], scores: Scores, rate: float) -> float:
    """Return the smallest score from which on no more than a share of honest payments is flagged.

    >>> find_threshold(np.array([0, 0, 1, 0], np.int8), np.array([0.1, 0.2, 0.3, 0.9]), 0.4)
    0.3
    """
    honest = np.sort(scores[fraud == 0])[::-1]
    allowed = int(rate * len(honest))
    above = scores[scores > honest[allowed]] if allowed < len(honest) else scores
    return float(above.min()) if len(above) else float("inf")


def _pair(part: Part, columns: npt.NDArray[np.int64]) -> tuple[Matrix, npt.NDArray[np.int8]]:
    return part.features[:, columns], part.positive
