"""``weir retrain``: train again when something says so, and have the model decide only after every step is passed.

What a scheduler calls: ``weir retrain --if-needed``. It does nothing that other commands do not do: it trains, runs the
gates, publishes a shadow, a canary and the choice, and watches both. Each run leaves a page of evidence.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from weir.archive.run import find_root
from weir.inference.bundle import Bundle
from weir.inference.published import bundles
from weir.inference.published.author import find_user
from weir.inference.published.canary_text import parse_share
from weir.inference.published.content import Standing
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.models import ARCHIVE
from weir.monitor import look_for_drift
from weir.monitoring import logs
from weir.monitoring.terminal import print_line
from weir.quality import measure_quality
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused, WeirError
from weir.schemas.printable import to_json
from weir.schemas.project import find_retrain_config, find_stream, load_gate_bounds
from weir.training.cli import add_training_flags, check_config_flags
from weir.training.labels import labels_of
from weir.training.quality.estimate import DayQuality
from weir.training.retraining.run_log import FOLDER, PAGE_FILE, Run, list_runs, only_run
from weir.training.retraining.steps import Retraining, run_steps
from weir.training.retraining.trigger import Reasons, find_reasons
from weir.training.search.config import Config, load_config
from weir.training.source_flags import add_source_flags, positive

_FREE_MB_MIN: Final = 256
"""A bundle is some megabytes; what reads the topics or replays a history needs no disk, and everybody else does."""
_DECAY_DAYS: Final = 90
_PROMOTED: Final = "promoted"


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 not needed or promoted, 1 trained and not promoted, 2 refused or misused."""
    parser = build_parser()
    arguments = parser.parse_args(argv[1:])
    check_config_flags(parser, arguments)
    config = _load_config(arguments)
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    logs.configure("warning", settings.monitoring.log_format, "retrain")
    labels_of(settings.stream)
    bounds = load_gate_bounds(Path.cwd())
    folder = settings.models_dir / FOLDER
    _check_space(settings)
    with (
        only_run(folder),
        Publisher(settings, read_rules, who=arguments.who or find_user(), why="retraining") as publisher,
    ):
        runs = list_runs(folder)
        _check_topic(runs, publisher, settings)
        run = next((each for each in runs if not each.outcome), None)
        if run is None:
            reasons = _find_reasons(arguments, settings, publisher, runs)
            if not reasons.why:
                return _say_not_needed(reasons, as_json=arguments.json)
            run = Run(folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%S"), list(reasons.why), settings.stream.name)
            run.save()
        console = Console(stderr=True)
        with console.status("retraining") as status:
            work = Retraining(arguments, settings, publisher, ARCHIVE, bounds, run, status.update, config, console)
            work.play = partial(_play, settings, status.update)
            promoted = run_steps(work)
    return _say_done(run, promoted=promoted, as_json=arguments.json)


def build_parser() -> Parser:
    """Return the flags of ``weir retrain``."""
    text = "Train again, and have the model decide after gates, shadow and canary; a run that was killed is continued."
    parser = Parser(prog="weir retrain", description=text)
    add_stream_flag(parser)
    needed = "only when features or score drifted, its figures decayed, the model is too old, or nothing decides yet"
    parser.add_argument("--if-needed", action="store_true", help=needed)
    age = "an older model is trained again (default: %(default)s)"
    parser.add_argument("--max-age-days", type=positive, default=30, metavar="DAYS", help=age)
    add_source_flags(parser)
    config = "search for a model as this YAML file of `weir train` says (default: retrain_config of weir.toml, if any)"
    parser.add_argument("--config", type=Path, metavar="FILE", help=config)
    add_training_flags(parser)
    shadow = "that it is watched for as a shadow (default: %(default)s)"
    parser.add_argument("--shadow-decisions", type=positive, default=5_000, metavar="N", help=shadow)
    canary = "that it makes as a canary (default: %(default)s)"
    parser.add_argument("--canary-decisions", type=positive, default=5_000, metavar="N", help=canary)
    share = "of the keys that the canary decides for (default: 10%%)"
    parser.add_argument("--share", type=parse_share, default=0.1, metavar="SHARE", help=share)
    patience = "how long to wait for those decisions, each time (default: 24h)"
    parser.add_argument("--patience", type=_read_duration, default=parse_ms("24h"), metavar="TIME", help=patience)
    parser.add_argument("--who", default="", help="who publishes (default: this machine's user)")
    parser.add_argument("--json", action="store_true", help="the evidence as JSON on stdout")
    return parser


def _play(settings: Settings, say: Callable[[str], object], standing: Standing, models: Sequence[Bundle]) -> None:
    from weir.redteam import play_and_record  # noqa: PLC0415 - the simulator, which few runs need

    play_and_record(settings, standing, models, say)


def _load_config(arguments: argparse.Namespace) -> Config | None:
    """Return how to search: by the flag, else by the project, unless a flag says how many trees there are."""
    if arguments.config is None and not (arguments.trees or arguments.quick):
        arguments.config = find_retrain_config(Path.cwd())
    return None if arguments.config is None else load_config(arguments.config)


def _find_reasons(arguments: argparse.Namespace, settings: Settings, publisher: Publisher, runs: list[Run]) -> Reasons:
    champion = bundles.find_role(settings, publisher, "champion")
    drift: dict[str, Any] | str
    try:  # of what decides: the days before a promotion are of another model
        drift = look_for_drift(settings, find_root(settings), champion.manifest.version if champion else "")
    except WeirError as error:
        drift = str(error).splitlines()[0]
    return find_reasons(
        drift,
        _find_days(settings, champion.manifest.version) if champion else "nothing decides yet",
        created_ms=champion.manifest.created_time_ms if champion else None,
        ended_ms=max((run.ended_ms for run in runs), default=0),
        now_ms=time.time_ns() // 1_000_000,
        age_days_max=arguments.max_age_days,
        is_asked=not arguments.if_needed,
    )


def _find_days(settings: Settings, version: str) -> Sequence[DayQuality] | str:
    """Return how good the decisions of a model were, day by day, or why that cannot be told."""
    try:
        return measure_quality(settings, find_root(settings), version=version, days=_DECAY_DAYS).days
    except WeirError as error:
        return str(error).splitlines()[0]


def _check_space(settings: Settings) -> None:
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.models_dir).free >> 20
    if free < _FREE_MB_MIN:
        raise Refused(
            f"expected {_FREE_MB_MIN} MB free in {settings.models_dir}, found {free}; `weir clean` shows what takes "
            "the space"
        )


def _check_topic(runs: list[Run], publisher: Publisher, settings: Settings) -> None:
    """Refuse to continue where what an earlier run published is gone: something else decides now than it says."""
    if any(run.outcome == _PROMOTED for run in runs) and not publisher.log.history("champion"):
        promoted = [run.version for run in runs if run.outcome == _PROMOTED][-1]
        raise Refused(
            f"expected the model {promoted} on the topic {settings.topics.published}, found none: the topic was lost "
            f"or replaced; `weir models promote {promoted} --why WHY` publishes it again"
        )


def _say_not_needed(reasons: Reasons, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(to_json({"needed": False, "told": list(reasons.told)}) + "\n")
        return 0
    print_line("no retraining is needed")
    for line in reasons.told:
        print_line(line)
    return 0


def _say_done(run: Run, *, promoted: bool, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(to_json({"needed": True, **run.as_document()}, indent=2) + "\n")
    else:
        for step in run.steps:
            print_line(f"{step['step']:8} {'pass' if step['passed'] else 'FAIL'}  {step['found']}")
        print_line(f"{run.outcome}; evidence: {run.folder / PAGE_FILE}")
    return 0 if promoted else 1


def _read_duration(text: str) -> int:
    found = parse_ms(text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a time such as 24h, found {text!r}")
    return found
