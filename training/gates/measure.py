"""Measures two models for the gates: on labelled rows that neither was taught, on the clock, and on logged vectors."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from weir.inference.bundle import Bundle, Manifest
from weir.inference.core.vector import Matrix, select_columns
from weir.infra.settings import Settings
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream
from weir.training.cli import load_source
from weir.training.dataset import Examples
from weir.training.gates.archived import Logged
from weir.training.gates.figures import Floats, Labels
from weir.training.gates.groups import Groups
from weir.training.gates.judge import Later, Reproduced, Scored
from weir.training.gates.leakage import Taught, measure_inputs
from weir.training.gates.stability import Stability, compare_decisions, leave_out, pick_rows, shake
from weir.training.labels import UNKNOWN, join_labels, labels_of
from weir.training.parts import FRAUDS_MIN
from weir.training.results import BASELINES
from weir.training.split import TRAIN_SHARE, VALIDATION_SHARE
from weir.training.thresholds import Thresholds

BATCH_ROWS: Final = 256
"""As a busy scorer has them."""
_TURNS: Final = 30


@dataclass(frozen=True)
class LaterRows:
    """Labelled rows that are later than what taught some models.

    Attributes:
        features: float32, shape (rows, features of the stream).
        positive: 0 or 1, shape (rows,).
        from_ms: event time, UTC epoch ms.
        to_ms: event time, not included.
        groups: which each row is in, by what the stream declares.
    """

    features: Matrix
    positive: Labels
    from_ms: int
    to_ms: int
    groups: Groups = field(default_factory=dict)


def find_taught_until(manifest: Manifest, stream: Stream) -> int:
    """Return the event time until which rows taught a model or chose its thresholds, as ``training/split.py`` lays it.

    Raises:
        Refused: the manifest does not say what taught it.
    """
    start_ms, end_ms = _read_interval(manifest)
    return int(end_ms + stream.label_hold_ms + (end_ms - start_ms) * VALIDATION_SHARE / TRAIN_SHARE)


def _read_interval(manifest: Manifest) -> tuple[int, int]:
    given = (manifest.model_extra or {}).get("training_interval_ms")
    if not (isinstance(given, list) and len(given) == 2 and all(isinstance(each, int) for each in given)):
        raise Refused(f"the manifest of {manifest.version} has no training_interval_ms, so no row is known to be later")
    return given[0], given[1]


def load_later(arguments: argparse.Namespace, settings: Settings, *models: Bundle) -> LaterRows:
    """Return the labelled rows of history, or of the topics, that are later than what taught any of some models.

    Args:
        arguments: of the source, as ``weir train`` has them.
        settings: of the stream.
        models: that are to be judged.

    Raises:
        Refused: there are none, or too few frauds among them.
        WeirError: the history cannot be read.
    """
    labels_of(settings.stream)
    after_ms = max(find_taught_until(each.manifest, settings.stream) for each in models)
    examples, labels, _ = load_source(arguments, settings)
    maturity_ms = arguments.maturity_days * DAY_MS
    return pick_later(examples, labels, settings.stream, after_ms=after_ms, maturity_ms=maturity_ms)


def pick_later(examples: Examples, labels: pa.Table, stream: Stream, *, after_ms: int, maturity_ms: int) -> LaterRows:
    """Return the rows after a time whose labels are mature.

    Args:
        examples: in event-time order.
        labels: every label that is known.
        stream: whose rows they are.
        after_ms: event time.
        maturity_ms: how old an event is when its label is mostly known.

    Raises:
        Refused: there are too few frauds.
    """
    times = examples.event_time_ms
    newest_ms = int(labels[labels_of(stream).time].to_numpy().max()) if labels.num_rows else 0
    end_ms = max(int(times[-1]), newest_ms)
    until_ms = min(int(times[-1]) + 1, end_ms - maturity_ms + 1)
    known = join_labels(examples.keys, labels, stream, cut_ms=end_ms)
    taken = (times >= after_ms) & (times < until_ms) & (known != UNKNOWN)
    positive = known[taken]
    if not FRAUDS_MIN <= int(positive.sum()) < len(positive):
        raise Refused(
            f"expected {FRAUDS_MIN} or more known frauds later than what taught the models, found "
            f"{int(positive.sum())} in {len(positive):,} rows; give a longer history with --history, or --from-topics"
        )
    later = examples.take(taken)
    return LaterRows(later.features, positive, after_ms, until_ms, later.groups)


def score_rows(bundle: Bundle, rows: Matrix, names: tuple[str, ...]) -> Floats:
    """Score rows; the names are of their columns.

    Raises:
        Refused: a row has no score.
    """
    found = bundle.score(select_columns(rows, names, bundle.names)).astype(np.float64)
    if missing := int(np.count_nonzero(~((found >= 0) & (found <= 1)))):
        raise Refused(f"{bundle.manifest.version} gives no score in [0, 1] for {missing:,} of {len(found):,} rows")
    return found


def measure_later(
    rows: LaterRows,
    stream: Stream,
    challenger: Bundle,
    champion: Bundle | None,
    published: Thresholds | None = None,
) -> Later:
    """Return both models on later rows.

    Args:
        rows: from ``load_later``.
        stream: whose rows they are.
        challenger: that is to decide.
        champion: that decides now.
        published: thresholds that stand before those of both.

    Raises:
        Refused: one gives no score.
    """
    theirs = None if champion is None else _score(champion, rows, stream, published)
    given = select_columns(rows.features, stream.feature_names, challenger.names)
    leak = measure_inputs(given, challenger.names, rows.positive)
    return Later(rows.positive, _score(challenger, rows, stream, published), theirs, leak, rows.groups)


def _score(bundle: Bundle, rows: LaterRows, stream: Stream, published: Thresholds | None) -> Scored:
    own = bundle.manifest.thresholds
    cut = published or Thresholds(own.review, own.decline)
    scores = score_rows(bundle, rows.features, stream.feature_names)
    worth = bundle.calibration
    calibrated = None if worth is None else worth.compute_probabilities(scores)
    return Scored(scores, cut, measure_stability(bundle, rows, stream, cut, scores), calibrated)


def measure_stability(bundle: Bundle, rows: LaterRows, stream: Stream, cut: Thresholds, scores: Floats) -> Stability:
    """Return how steady a model's decisions are on some of the rows.

    Raises:
        Refused: it gives no score to a row that is changed, or lacks inputs.
    """
    tried, names = pick_rows(len(scores)), bundle.names
    given = select_columns(rows.features[tried], stream.feature_names, names)
    shaken = score_rows(bundle, shake(given), names)
    without = {entity: score_rows(bundle, each, names) for entity, each in leave_out(given, names, stream)}
    return compare_decisions(rows.positive[tried], cut, scores[tried], shaken, without)


def find_taught(manifest: Manifest) -> Taught:
    """Return what taught a model, and when it was made.

    Raises:
        Refused: the manifest does not say what taught it.
    """
    return Taught(_read_interval(manifest)[1], manifest.created_time_ms)


def find_own_pr_auc(manifest: Manifest) -> float | None:
    """Return the PR-AUC of a model's own test interval, as ``weir train`` writes it for any kind of model.

    Returns:
        None where there are no figures of a test interval, as of a model that was made elsewhere.

    Raises:
        Refused: there are some, and it is not clear which are of the model.
    """
    metrics: Any = (manifest.model_extra or {}).get("metrics")
    figures = metrics.get("test") if isinstance(metrics, dict) else None
    if figures is None:
        return None
    own = [name for name in figures if name not in BASELINES] if isinstance(figures, dict) else []
    found = figures[own[0]].get("pr_auc") if len(own) == 1 and isinstance(figures[own[0]], dict) else None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise Refused(f"expected the PR-AUC of one model in metrics.test of the manifest of {manifest.version}, next "
                      f"to {' and '.join(BASELINES)}, found {', '.join(map(str, own)) or 'none'}")  # fmt: skip
    return float(found)


def time_row(bundle: Bundle) -> float:
    """Return how long a row takes in a batch, in microseconds: the best of some turns, because others need the CPU."""
    random = np.random.default_rng(0)
    rows = np.tile(np.nan_to_num(bundle.reference), (BATCH_ROWS, 1)) * random.uniform(0, 3, (BATCH_ROWS, 1))
    given = rows.astype(np.float32)
    bundle.score(given)
    turns = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        bundle.score(given)
        turns.append(time.perf_counter() - start)
    return min(turns) / BATCH_ROWS * 1e6


def reproduce(champion: Bundle, logged: Logged) -> Reproduced:
    """Score logged vectors again.

    Raises:
        Refused: there are none, or the champion gives no score now.
    """
    if not len(logged.scores):
        raise Refused(f"the archive has no decision with a score by {champion.manifest.version}")
    found = score_rows(champion, logged.features, logged.names)
    return Reproduced(len(found), float(np.abs(found - logged.scores).max()))
