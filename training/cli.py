"""``weir train``: replay history through the kernel, fit, judge, export, promote.

The wall clock is read here once; everything below takes ``now_ms``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console

from weir.infra.arguments import Parser, add_stream_flag, since_ms
from weir.infra.settings import Settings, load_settings
from weir.infra.user_files.door import manner_of
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused, Transient
from weir.schemas.project import find_stream
from weir.schemas.streams.payments import payments
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.kernels import kernel_of
from weir.training import report
from weir.training.bundle import promote, read_last_reference
from weir.training.dataset import Examples
from weir.training.dataset_checks import check_dataset
from weir.training.dataset_report import DatasetReport
from weir.training.history import load_history
from weir.training.labels import labels_of
from weir.training.models import LIGHTGBM_PARAMETERS, TREES, TREES_QUICK
from weir.training.pipeline import Options, Trained, run_training
from weir.training.search.cli import build_search_document, list_trials, run_configured, show_search
from weir.training.search.config import DEFAULTS, load_config
from weir.training.source_flags import add_source_flags, positive
from weir.training.thresholds import FLAGGED_SHARE_MAX
from weir.training.topics import ReadTopic, load_logged, load_topics
from weir.training.tracking import track_run

if TYPE_CHECKING:
    from weir.training.search.run import Search

OpenArchive = Callable[[Settings, str, int], ReadTopic]
"""Opens an archive, which this folder does not import: settings, what ``--from`` names, and ``--since``."""


def main(argv: list[str], open_archive: OpenArchive) -> int:
    """Run ``weir train``. Exit codes: 0 done, 1 failed, 2 misused or refused.

    Args:
        argv: the verb, and its flags.
        open_archive: called for ``--from``.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv[1:])
    check_config_flags(parser, arguments)
    if arguments.defaults:
        sys.stdout.write(DEFAULTS)
        return 0
    if arguments.since and not arguments.archive:
        raise Refused("--since: expected --from with it, found none; only an archive is read from a time on")
    config = load_config(arguments.config) if arguments.config else None
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    labels_of(settings.stream)
    console = Console(stderr=True)
    with console.status("reading history through the kernel") as status:
        if arguments.archive:
            examples, labels = load_logged(settings, open_archive(settings, arguments.archive, arguments.since))
            source = "the archived features and labels"
        else:
            examples, labels, source = load_source(arguments, settings)
        options = build_options(arguments, settings, source)
        status.update("checking the dataset")
        last = read_last_reference(settings.models_dir)
        checked = check_dataset(examples, labels, options.stream, now_ms=options.now_ms, last=last)
        options = replace(options, dataset=checked.as_manifest())
        search = None
        if config is None:
            trained = run_training(examples, labels, options, status.update)
        else:
            given = examples, labels, options, config
            trained, search = run_configured(*given, settings.home, console, status.update)
        if arguments.promote:
            promote(trained.bundle)
        run_id, why = None, ""
        if arguments.track:
            status.update("recording the run in MLflow")
            run_id, why = record_run(settings, options, trained, search)
        if why:
            console.print(f"the run is not recorded: {why}", highlight=False, markup=False)
    report.show_dataset(console, checked)
    if search is not None:
        show_search(console, search)
    report.show_table(console, trained, settings.stream)
    _write_result(arguments, trained, checked, search, run_id)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the flags of ``weir train``."""
    parser = Parser(prog="weir train", description="Train, check parity, export a model bundle.")
    add_stream_flag(parser)
    source = add_source_flags(parser)
    archive = "read features and labels of an archive: `archive`, the one of the settings, or a folder or URL"
    source.add_argument("--from", dest="archive", default="", metavar="ARCHIVE", help=archive)
    since = "with --from: only events whose features were appended since then, such as 90d, or an ISO 8601 time"
    parser.add_argument("--since", type=since_ms, default=0, metavar="TIME", help=since)
    search = parser.add_mutually_exclusive_group()
    search.add_argument("--config", type=Path, metavar="FILE", help="search for a model as this YAML file says")
    search.add_argument("--defaults", action="store_true", help="print a config file with every default, and end")
    add_training_flags(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="models folder; default <home>/models")
    parser.add_argument("--promote", action=argparse.BooleanOptionalAction, default=True, help="make it the champion")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    return parser


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of what is trained."""
    parser.add_argument("--name", help="model name (default: fraud, or the stream's name)")
    parser.add_argument("--trees", type=positive, help=f"at most this many trees (default: {TREES})")
    most = f"at most this share is reviewed or declined (default: {FLAGGED_SHARE_MAX})"
    parser.add_argument("--flagged-share", type=_share, default=FLAGGED_SHARE_MAX, metavar="SHARE", help=most)
    parser.add_argument("--quick", action="store_true", help=f"at most {TREES_QUICK} trees, for a first model")
    parser.add_argument("--track", action=argparse.BooleanOptionalAction, default=True, help="record it in MLflow")


def check_config_flags(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where flags and a config file both say how many trees."""
    if arguments.config and (arguments.trees or arguments.quick):
        parser.error("--config says how many trees, in ranges; leave --trees and --quick out")


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0, up to 1, found {text}")
    return value


def load_source(arguments: argparse.Namespace, settings: Settings) -> tuple[Examples, pa.Table, str]:
    """Return labelled events by the flags of a command, and what they are called.

    Raises:
        Refused: there are none, or a file cannot be taken.
        WeirError: rows are bad.
    """
    if arguments.from_topics:
        examples, labels = load_topics(settings)
        return examples, labels, "the features and labels topics"
    kernel = kernel_of(settings.stream)
    compile_kernel(kernel, tell_on_stderr)
    folder = arguments.history or settings.history_dir
    manner = manner_of(arguments, settings.placeholders, settings.stream)
    examples, labels = load_history(kernel, folder, manner, skip_bad=arguments.skip_bad)
    return examples, labels, "history replayed through the kernel"


def build_options(arguments: argparse.Namespace, settings: Settings, source: str) -> Options:
    """Turn flags into what a run is asked to do, as of now."""
    return Options(
        name=arguments.name or ("fraud" if settings.stream.full_name == payments.name else settings.stream.name),
        trees=arguments.trees or (TREES_QUICK if arguments.quick else TREES),
        source=source,
        models_dir=getattr(arguments, "out", None) or settings.models_dir,
        now_ms=time.time_ns() // 1_000_000,
        maturity_ms=arguments.maturity_days * DAY_MS,
        declarations_hash=settings.declarations_hash,
        stream=settings.stream,
        flagged_share_max=arguments.flagged_share,
    )


def record_run(settings: Settings, options: Options, trained: Trained, search: Search | None) -> tuple[str | None, str]:
    """Record a run in MLflow, with the trials of its search below it; the bundle is there all the same.

    Returns:
        The id of the run, or None and why it is not recorded.
    """
    try:
        return _track(settings, options, trained, search), ""
    except Transient as error:
        return None, str(error)


def _track(settings: Settings, options: Options, trained: Trained, search: Search | None) -> str:
    counts = {f"rows.{name}": figures["known"] for name, figures in trained.results.counts.items()}
    parameters: dict[str, object] = {"source": options.source, "maturity_ms": options.maturity_ms}
    if search is None:
        parameters |= {"trees_max": options.trees} | LIGHTGBM_PARAMETERS
    else:
        parameters |= {"contender": search.winner.contender, **search.winner.parameters}
    return track_run(
        settings,
        name=trained.bundle.name,
        now_ms=options.now_ms,
        parameters=parameters | counts,
        metrics=trained.results.as_flat_metrics() | {"parity_max_abs_diff": trained.parity_max_abs_diff},
        bundle=trained.bundle,
        trials=list_trials(search) if search else (),
    )


def _write_result(
    arguments: argparse.Namespace, trained: Trained, checked: DatasetReport, search: Search | None, run_id: str | None
) -> None:
    if arguments.json:
        document = report.build_document(trained, promoted=arguments.promote, run_id=run_id)
        document["dataset"] = checked.as_document()
        sys.stdout.write(report.to_json(document | ({"search": build_search_document(search)} if search else {})))
        return
    sys.stdout.write(f"{trained.bundle}{' (champion)' if arguments.promote else ''}\n")
