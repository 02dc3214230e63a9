"""The part of ``weir train`` that a config file asks for: what it shows, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.console import Console

from weir.monitoring.terminal import build_table
from weir.training.dataset import Examples
from weir.training.pipeline import Options, Progress, Trained
from weir.training.search.config import PARITY_MAX, Config
from weir.training.tracking import Trial

if TYPE_CHECKING:
    from weir.training.search.run import Search
    from weir.training.search.study import Tried

SEARCHES_FILE = "searches.db"
"""Of every search, in the home folder."""


def run_configured(
    examples: Examples,
    labels: pa.Table,
    options: Options,
    config: Config,
    home: Path,
    console: Console,
    progress: Progress,
) -> tuple[Trained, Search]:
    """Search and train as a config says, and show each trial when it has ended; raises as ``run.run_search``."""
    from weir.training.search.run import run_search  # noqa: PLC0415 - Optuna: half a second, and only here

    shown = 0

    def tell(tried: Sequence[Tried], wanted: int) -> None:
        nonlocal shown
        if not shown and len(tried) > 1:
            console.print(f"continues after {len(tried) - 1} trials of an earlier run", highlight=False)
        shown += 1
        console.print(_describe(tried, wanted), highlight=False)
        progress(f"searching: {len(tried)} of {wanted} trials")

    options = replace(options, difference_max=PARITY_MAX)
    return run_search(examples, labels, options, config, home / SEARCHES_FILE, progress, tell)


def show_search(console: Console, search: Search) -> None:
    """Print the best trial of each contender, and what cannot be exported."""
    rows = []
    for each in search.best_of_each():
        count = sum(other.contender == each.contender for other in search.tried)
        by_fold = " ".join(f"{value:.4f}" for value in each.folds)
        name = f"{each.contender} (chosen)" if each == search.winner else each.contender
        rows.append((name, count, f"{each.value:.4f}", by_fold, each.number))
    title = f"mean PR-AUC of {len(search.winner.folds)} folds, {len(search.tried)} trials"
    console.print(build_table(("contender", "trials", "best", "by fold", "trial"), rows, title=title))
    for sentence in search.refused:
        console.print(sentence, highlight=False)


def say_search(search: Search) -> str:
    """Return in a line what was chosen, of which trials, and with which parameters."""
    winner = search.winner
    best = ", ".join(f"{each.contender} {each.value:.4f}" for each in search.best_of_each())
    parameters = ", ".join(f"{name} {value:.6g}" for name, value in winner.parameters.items())
    return (
        f"{winner.contender} of trial {winner.number}, chosen by the mean PR-AUC of {len(winner.folds)} folds among "
        f"{len(search.tried)} trials ({best}), with {parameters}"
    )


def build_search_document(search: Search) -> dict[str, Any]:
    """Return a search as plain data."""
    return {
        "trials": len(search.tried),
        "chosen": _build_tried(search.winner),
        "best_of_each": [_build_tried(each) for each in search.best_of_each()],
        "refused": list(search.refused),
    }


def list_trials(search: Search) -> Sequence[Trial]:
    """Return the trials as they are recorded."""
    return [
        Trial(
            name=f"trial-{each.number}-{each.contender}",
            parameters={"contender": each.contender, "ended_early": not each.is_whole, **each.parameters},
            metrics={"pr_auc": each.value} | {f"pr_auc_fold_{at}": value for at, value in enumerate(each.folds, 1)},
        )
        for each in search.tried
    ]


def _describe(tried: Sequence[Tried], wanted: int) -> str:
    """Return the newest trial in a line."""
    *before, newest = tried
    is_best = newest.is_whole and all(newest.value > each.value for each in before if each.is_whole)
    ended = "best so far" if is_best else "" if newest.is_whole else f"ended after fold {len(newest.folds)}"
    return f"trial {newest.number:>3} of {wanted}  {newest.contender:<20} PR-AUC {newest.value:.4f}  {ended}".rstrip()


def _build_tried(tried: Tried) -> dict[str, Any]:
    return {
        "trial": tried.number,
        "contender": tried.contender,
        "parameters": dict(tried.parameters),
        "pr_auc": tried.value,
        "pr_auc_by_fold": list(tried.folds),
    }
