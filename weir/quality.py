"""``weir quality``: precision, recall and money lost per day, while labels are late. It reads the archive."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.archive.place import Place
from weir.archive.run import find_root
from weir.archive.whatif.again import read_outcomes
from weir.archive.whatif.fraud_times import FraudTimes
from weir.archive.whatif.labels import find_append_ms, hash_events, hash_keys, scan_labels
from weir.archive.whatif.past import PROPENSITY, ROW, Part, Past
from weir.inference.model_card import QUALITY_FILE
from weir.infra.arguments import Parser, add_stream_flag, at_least
from weir.infra.settings import Settings, load_settings
from weir.monitoring.logs import configure, get_logger
from weir.monitoring.terminal import print_tables
from weir.schemas.durations import DAY_MS, parse_ms
from weir.schemas.errors import Refused, Transient
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream
from weir.schemas.stakes import find_stake
from weir.streaming.service import open_metrics_page, run_service
from weir.training.labels import labels_of
from weir.training.quality.estimate import Quality, estimate_quality
from weir.training.quality.page import build_page
from weir.training.quality.tally import Decisions, Tally
from weir.training.quality.view import build_document, build_quality_table, meter_quality

DAYS: Final = 35
MATURITY: Final = "60d"
"""Nine of ten chargebacks are there by then."""
_CURVE_MS: Final = 30 * DAY_MS
"""Of decisions older than the maturity: their labels had all the time, so they tell how many come late."""
_LOOK_SECONDS: Final = 1.0
log = get_logger("quality")


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 told or stopped, 2 it cannot be told or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    labels_of(settings.stream)
    root = find_root(settings, arguments.archive)
    if arguments.every:
        return _follow(settings, root, arguments)
    try:
        quality = measure_quality(
            settings, root, version=arguments.model, days=arguments.days, maturity_ms=arguments.maturity
        )
    except Transient as error:
        raise Refused(str(error)) from error
    document = build_document(quality)
    _note(settings, arguments, document)
    if arguments.html:
        title = f"quality of decisions: {settings.stream.full_name}"
        arguments.html.write_text(build_page(document, title=title), encoding="utf-8")
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables([build_quality_table(document)])
    return 0


def measure_quality(
    settings: Settings, root: Place, *, version: str = "", days: int = DAYS, maturity_ms: int = 60 * DAY_MS
) -> Quality:
    """Estimate how good the decisions of the newest days were; the newest record that is archived counts as now.

    Args:
        settings: of the stream.
        root: of the archive.
        version: only decisions of this model; by default all.
        days: how many.
        maturity_ms: how old a decision is when it has a label, if it ever gets one.

    Raises:
        Refused: there is no archive, or no label or decision in it.
        Transient: the archive cannot be read.
    """
    past = Past(root, settings.stream, settings.topics.of(settings.stream))
    now_ms = past.newest_ms
    labels = FraudTimes(scan_labels(past.labels, settings.stream, now_ms=now_ms))
    tally = Tally(now_ms=now_ms, maturity_ms=maturity_ms)
    since_ms = max(0, now_ms - max(maturity_ms + _CURVE_MS, days * DAY_MS))
    for part in past.parts(since_ms, now_ms + 1):
        tally.add(_read_decisions(past, part, labels, version))
    if not tally.days:
        of = f"decisions of model {version[:80]}" if version else "decisions"
        raise Refused(f"expected {of} in the archive, found none; `weir archive` keeps them")
    return estimate_quality(tally, days=days)


def _read_decisions(past: Past, part: Part, labels: FraudTimes, version: str) -> Decisions:
    """Return the decisions of a part, with what became known of them."""
    if version:
        own = np.array([each == version for each in part.decisions["model_version"].to_pylist()], np.bool_)
        part = replace(part, decisions=part.decisions.filter(own))
    rows = part.decisions
    keys = hash_keys(rows[past.stream.key.field])
    fraud_ms, labelled = labels.find(hash_events(keys, rows["id_hash"]))
    stakes = _read_stakes(past, part, fraud_ms >= 0)
    return Decisions(
        find_append_ms(rows), read_outcomes(rows), keys, fraud_ms, labelled, stakes, _read_propensities(rows)
    )


def _read_propensities(rows: pa.Table) -> npt.NDArray[np.float64]:
    """Return the share of such events that is let through; an archive of an older release knows of none."""
    if PROPENSITY not in rows.column_names:
        return np.full(rows.num_rows, np.nan)
    found: npt.NDArray[np.float64] = rows[PROPENSITY].to_numpy().astype(np.float64)
    return found


def _read_stakes(past: Past, part: Part, frauds: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return what is at stake in the fraud of a part, base minor units; not a number for all else."""
    found = np.full(len(frauds), np.nan)
    stake = find_stake(past.stream)
    if stake is None or not frauds.any():
        return found
    joined = past.join(replace(part, decisions=part.decisions.filter(frauds)), [past.stream.feature_names[stake]], ())
    there = np.isin(part.decisions[ROW].to_numpy(), joined.decisions[ROW].to_numpy())
    found[there] = np.abs(joined.features[:, 0].astype(np.float64))
    return found


def _follow(settings: Settings, root: Place, arguments: argparse.Namespace) -> int:
    """Look again and again, and serve what is found as metrics."""
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "quality")
    open_metrics_page(settings, arguments.metrics_port)

    def run(should_stop: Callable[[], bool]) -> None:
        due = time.monotonic()
        while not should_stop():
            if time.monotonic() >= due:
                _look_and_tell(settings, root, arguments)
                due = time.monotonic() + arguments.every / 1_000
            time.sleep(_LOOK_SECONDS)

    run_service(run)
    return 0


def _look_and_tell(settings: Settings, root: Place, arguments: argparse.Namespace) -> None:
    """Look once; what cannot be told now is logged, and asked again the next time."""
    try:
        quality = measure_quality(
            settings, root, version=arguments.model, days=arguments.days, maturity_ms=arguments.maturity
        )
    except (Refused, Transient) as error:
        log.warning("quality_unknown", detail=str(error))
        return
    meter_quality(quality, settings.stream.name)
    _note(settings, arguments, build_document(quality))
    log.info("looked_at_quality", days=len(quality.days))


def _note(settings: Settings, arguments: argparse.Namespace, document: dict[str, Any]) -> None:
    """Keep what was found of all decisions of this deployment, for who serves it."""
    if arguments.model or arguments.archive:
        return
    staging = settings.models_dir / f".{QUALITY_FILE}.{os.getpid()}"
    try:
        settings.models_dir.mkdir(parents=True, exist_ok=True)
        staging.write_text(to_json(document), encoding="utf-8")
        staging.replace(settings.models_dir / QUALITY_FILE)
    except OSError as error:  # a folder that may only be read; what was found is told all the same
        log.warning("quality_not_noted", detail=(error.strerror or "").lower())


def _build_parser() -> Parser:
    text = "Tell precision, recall and money lost per day of decision, completed for labels to come; reads the archive."
    parser = Parser(prog="weir quality", description=text)
    add_stream_flag(parser)
    parser.add_argument("--model", default="", metavar="VERSION", help="only what it decided (default: all decisions)")
    parser.add_argument("--days", type=at_least(1), default=DAYS, help="how many (default: %(default)s)")
    maturity = "fraud is what is labelled as such within this time of the decision (default: %(default)s)"
    parser.add_argument("--maturity", type=_read_time, default=MATURITY, metavar="TIME", help=maturity)
    root = "the archive, a folder or URL (default: settings)"
    parser.add_argument("--from", dest="archive", default="", metavar="PATH", help=root)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots as well")
    every = "look again so often, such as 1h, and serve the figures as metrics"
    parser.add_argument("--every", type=_read_time, default=0, metavar="TIME", help=every)
    parser.add_argument("--metrics-port", type=int, help="of the metrics with --every (default: settings)")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _read_time(text: str) -> int:
    found = parse_ms(text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a time such as 60d or 1h, found {text!r}")
    return found
