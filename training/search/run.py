"""One run of ``weir train --config``: search on folds, fit the best of each kind, judge the winner once.

The winner is the best trial of the folds. It is fitted on the train interval, its thresholds are chosen on the
validation interval, and the test interval is looked at once, after everything is chosen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from weir.schemas.errors import WeirError
from weir.schemas.stream import Stream
from weir.training.dataset import Examples, hash_examples
from weir.training.models import Deployable
from weir.training.parts import Part, build_parts, set_calibration_apart
from weir.training.pipeline import Exported, Options, Progress, Trained, export, finish
from weir.training.search.config import Config
from weir.training.search.folds import build_folds, build_rolls
from weir.training.search.spaces import STACK
from weir.training.search.stack import Lesson, fit
from weir.training.search.study import Tell, Tried, open_study


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        tried: every trial.
        winner: the best of them whose export equals the model.
        refused: what was better by validation and cannot be exported, in sentences.
    """

    tried: Sequence[Tried]
    winner: Tried
    refused: Sequence[str]

    def best_of_each(self) -> list[Tried]:
        """Return the best whole trial of each kind, the best kind first."""
        return rank(self.tried)


def run_search(
    examples: Examples,
    labels: pa.Table,
    options: Options,
    config: Config,
    file: Path,
    progress: Progress,
    tell: Tell,
) -> tuple[Trained, Search]:
    """Search, fit, judge, export and write a bundle.

    Args:
        examples: in event-time order.
        labels: every label of the history.
        options: what was asked for.
        config: how to search.
        file: of the searches.
        progress: told what begins, in a few words.
        tell: told when a trial has ended.

    Raises:
        Refused: the history is too short or holds too little known fraud, or another process searches.
        WeirError: no contender can be exported.
    """
    stream = options.stream
    intervals = build_parts(examples, labels, options.maturity_ms, stream)
    split, parts = set_calibration_apart(*intervals, examples)
    folds = build_folds(examples, labels, split, config, stream, options.maturity_ms)
    progress("searching")
    with open_study(file, name_study(examples, labels, options, config), config) as study:
        study.run(folds, examples.features, stream.feature_names, tell)
        tried = study.list_tried()
    model, graph, winner, refused = _fit_winner(tried, parts, options, config, progress)
    trained = finish(winner.contender, model, graph, (split, parts), examples, options, progress)
    return trained, Search(tried, winner, refused)


def name_study(examples: Examples, labels: pa.Table, options: Options, config: Config) -> str:
    """Return what a search is called: the same data and the same ranges continue, with more trials or minutes too."""
    asked = asdict(config) | {"trials": 0, "budget_minutes": 0, "maturity_ms": options.maturity_ms}
    asked["spaces"] = list(asked["spaces"].items())  # in the order of the file, which is that of the first trials
    asked |= {"data": hash_examples(examples, labels), "declarations": options.declarations_hash}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return f"{options.stream.full_name} {digest[:16]}"


def rank(tried: Sequence[Tried]) -> list[Tried]:
    """Return the best whole trial of each kind, the best kind first; of equal ones the earlier."""
    best: dict[str, Tried] = {}
    for each in tried:
        if each.is_whole and (each.contender not in best or each.value > best[each.contender].value):
            best[each.contender] = each
    return sorted(best.values(), key=lambda each: -each.value)


def _fit_winner(
    tried: Sequence[Tried], parts: dict[str, Part], options: Options, config: Config, progress: Progress
) -> tuple[Deployable, Exported, Tried, list[str]]:
    refused: list[str] = []
    for each in rank(tried):
        progress(f"fitting {each.contender} of trial {each.number}")
        try:
            lesson = _build_lesson(each.contender, parts["train"], options.stream)
            model = fit(each.contender, lesson, each.parameters, options.stream.feature_names, config.seed)
            return model, export(model, parts, options), each, refused
        except WeirError as error:
            refused.append(f"{each.contender}: {error}")
    raise WeirError(f"search: expected a contender that can be exported, found none: {'; '.join(refused)}")


def _build_lesson(contender: str, part: Part, stream: Stream) -> Lesson:
    rolls = build_rolls(part.event_time_ms, part.positive, stream) if contender == STACK else ()
    return Lesson(*part.pair, rolls, part.weights)
