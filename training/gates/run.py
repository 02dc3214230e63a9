"""Runs the gates and comparisons of ``weir models`` for one stream: loads the models, measures, judges."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import Console

from weir.inference.bundle import Bundle
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.published.bundles import Listed, load
from weir.inference.published.gate import Gate
from weir.infra.settings import Settings
from weir.schemas.errors import WeirError
from weir.schemas.gate_bounds import GateBounds
from weir.schemas.streams.payments import payments
from weir.training.gates import measure
from weir.training.gates.adversarial import Attacked
from weir.training.gates.archived import Archive
from weir.training.gates.figures import compare_means, compare_pr_auc, compute_figures
from weir.training.gates.judge import Later, Measured, Reproduced, judge, judge_latency
from weir.training.redteam.record import Recorded, read_record
from weir.training.thresholds import Thresholds

T = TypeVar("T")


def run_gates(
    arguments: argparse.Namespace,
    settings: Settings,
    challenger: Bundle,
    champion: Listed | None,
    archive: Archive,
    thresholds: ThresholdTable | None,
    bounds: GateBounds,
) -> list[Gate]:
    """Return the gates before a model decides.

    Args:
        arguments: of the command, with the flags of labelled rows.
        settings: of the stream.
        challenger: that is to decide.
        champion: that decides now; None where nothing does.
        archive: of the deployment.
        thresholds: that are published, where some are.
        bounds: of the project.
    """
    cut = None
    if thresholds is not None:
        cut = Thresholds(float(thresholds.others.review), float(thresholds.others.decline))
    with Console(stderr=True).status("running the gates on later rows"):
        decides, lacking = _load_champion(settings, champion)
        later = _tell_why(lambda: _measure(arguments, settings, challenger, decides, cut), lacking)
        microseconds = measure.time_row(challenger), measure.time_row(decides) if decides else None
        parity = (challenger.manifest.model_extra or {}).get("parity_max_abs_diff")
        measured = Measured(
            later=later,
            parity=float(parity) if isinstance(parity, int | float) else None,
            own_pr_auc=_tell_why(lambda: measure.find_own_pr_auc(challenger.manifest), ""),
            microseconds=microseconds,
            taught=_tell_why(lambda: measure.find_taught(challenger.manifest), ""),
            reproduced=_tell_why(lambda: _reproduce(settings, decides, archive), lacking),
            redteam=_read_attacked(settings, challenger, decides or lacking or None, thresholds),
        )
    return judge(measured, tuple(settings.stream.groups), bounds)


def run_shadow_gates(challenger: Bundle, bounds: GateBounds) -> list[Gate]:
    """Return the gates before a model is scored next to what decides: it decides nothing, but its time is spent."""
    return [judge_latency(measure.time_row(challenger), None, bounds)]


def compare(arguments: argparse.Namespace, settings: Settings, first: Bundle, second: Bundle) -> dict[str, Any]:
    """Return the figures of two models on the same later rows, and what of the difference is more than noise.

    Raises:
        Refused: there are no rows that are later than what taught both.
        WeirError: the history cannot be read.
    """
    with Console(stderr=True).status("scoring later rows by both"):
        rows = measure.load_later(arguments, settings, first, second)
        later = measure.measure_later(rows, settings.stream, first, second)
        scored = [each for each in (later.challenger, later.champion) if each is not None]
        figures = [
            compute_figures(rows.positive, each.scores, each.thresholds, each.probabilities)
            | {"microseconds_per_row": measure.time_row(by)}
            for each, by in zip(scored, (first, second), strict=True)
        ]
        ours, theirs = (each.scores for each in scored)
        squares = [(each.probabilities - rows.positive) ** 2 for each in scored]
    return {
        "models": [first.manifest.version, second.manifest.version],
        "rows": len(rows.positive),
        "frauds": int(rows.positive.sum()),
        "from_ms": rows.from_ms,
        "to_ms": rows.to_ms,
        "figures": {name: [figures[0][name], figures[1][name]] for name in figures[0]},
        "differences": {
            "pr_auc": _as_list(compare_pr_auc(rows.positive, ours, theirs)),
            "brier": _as_list(compare_means(squares[0], squares[1])),
        },
    }


def _as_list(interval: Any) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _load_champion(settings: Settings, found: Listed | None) -> tuple[Bundle | None, str]:
    """Return what decides now, or why it cannot be measured."""
    if found is None:
        return None, ""
    try:
        return load(settings, found), ""
    except WeirError as error:
        return None, f"the champion: {str(error).splitlines()[0]}"


def _measure(
    arguments: argparse.Namespace,
    settings: Settings,
    challenger: Bundle,
    champion: Bundle | None,
    cut: Thresholds | None,
) -> Later:
    models = [challenger] if champion is None else [challenger, champion]
    rows = measure.load_later(arguments, settings, *models)
    return measure.measure_later(rows, settings.stream, challenger, champion, cut)


def _read_attacked(
    settings: Settings, challenger: Bundle, champion: Bundle | str | None, thresholds: ThresholdTable | None
) -> Attacked | None:
    if settings.stream.full_name != payments.name:
        return None
    theirs = _read_played(champion) if isinstance(champion, Bundle) else champion
    return Attacked(_read_played(challenger), theirs, "" if thresholds is None else thresholds.version)


def _read_played(model: Bundle) -> Recorded | str:
    return _tell_why(lambda: read_record(model.directory, model.manifest.version), "")


def _reproduce(settings: Settings, champion: Bundle | None, archive: Archive) -> Reproduced | None:
    if champion is None:
        return None
    return measure.reproduce(champion, archive.read_logged(settings, champion.manifest))


def _tell_why(measure_it: Callable[[], T], lacking: str) -> T | str:
    """Return what is measured, or why it cannot be: what is lacking already, or what it lacks."""
    if lacking:
        return lacking
    try:
        return measure_it()
    except WeirError as error:
        return str(error).splitlines()[0]
