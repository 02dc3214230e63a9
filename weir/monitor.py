"""``weir monitor``: whether what a model sees, and what it says, is still what it was judged on. It reads the archive.

Drift is looked for in the decisions of one model, in each of the last two days that the archive has.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from weir.archive.in_force.bundles import load_bundles
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.run import find_root
from weir.archive.whatif.past import Past
from weir.inference.model_card import DRIFT_FILE
from weir.inference.published.bundles import list_here
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring import metrics
from weir.monitoring.logs import configure, get_logger
from weir.monitoring.terminal import print_line, print_tables
from weir.schemas.durations import DAY_MS, parse_ms
from weir.schemas.errors import Refused, Transient
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream
from weir.streaming.service import open_metrics_page, run_service
from weir.training.drift.histograms import Histograms
from weir.training.drift.judge import DAYS, find_drift
from weir.training.drift.reference import FIELD, Reference, read_reference
from weir.training.drift.view import build_document, build_drift_table, meter_drift, say_drift
from weir.training.labels import labels_of

_LOOK_SECONDS: Final = 1.0
log = get_logger("monitor")


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 nothing drifted or stopped, 1 something drifted, 2 it cannot be told or misused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    labels_of(settings.stream)
    root = find_root(settings, arguments.archive)
    if arguments.every:
        return _follow(settings, root, arguments)
    try:
        document = look_for_drift(settings, root, arguments.model)
        note_drift(settings, document)
    except Transient as error:  # 1 says that something drifted
        raise Refused(str(error)) from error
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables([build_drift_table(document)])
        print_line(say_drift(document))
    return 1 if document["drifted"] else 0


def look_for_drift(settings: Settings, root: Place, version: str = "") -> dict[str, Any]:
    """Compare the newest decisions of a model with the reference in its bundle.

    Args:
        settings: of the stream.
        root: of the archive.
        version: of the model; by default the one that decided most of the newest days.

    Raises:
        Refused: there is no archive, no reference, or too little to tell.
        WeirError: the archive cannot be read.
    """
    past = Past(root, settings.stream, settings.topics.of(settings.stream))
    until_ms = past.newest_decision_ms + 1
    name, version = _find_model(past, until_ms, version)
    reference = _load_reference(settings, root, name, version)
    days = [_count_day(past, reference, version, until_ms - day * DAY_MS) for day in range(DAYS)]
    return build_document(version, reference, days, find_drift(reference, days), until_ms=until_ms)


def note_drift(settings: Settings, document: dict[str, Any]) -> None:
    """Write what was found next to the model's card, where its folder is on this host, for who serves models."""
    for listed in list_here(settings.models_dir):
        if listed.folder is None or listed.manifest.version != document["model_version"]:
            continue
        staging = listed.folder / f".{DRIFT_FILE}.{os.getpid()}"
        try:
            staging.write_text(to_json(document), encoding="utf-8")
            staging.replace(listed.folder / DRIFT_FILE)
        except OSError as error:  # a folder that may only be read; what was found is told all the same
            log.warning("drift_not_noted", detail=(error.strerror or "").lower())


def _find_model(past: Past, until_ms: int, version: str) -> tuple[str, str]:
    """Return name and version of the model that decided most of the newest days, or of the one that is asked for."""
    found: Counter[tuple[str, str]] = Counter()
    for part in past.parts(until_ms - DAYS * DAY_MS, until_ms):
        columns = [part.decisions[each].to_pylist() for each in ("model_name", "model_version")]
        found.update(zip(*columns, strict=True))
    known = [model for model, _ in found.most_common() if not version or model[1] == version]
    if not known:
        wanted = f"decisions of model {version[:80]}" if version else "decisions"
        raise Refused(
            f"expected {wanted} in the last {DAYS} days of the archive, found none; `weir archive` keeps them"
        )
    return known[0]


def _load_reference(settings: Settings, root: Place, name: str, version: str) -> Reference:
    bundles = load_bundles(settings, Objects(root), name, version)
    if not bundles:
        raise Refused(
            f"expected the bundle of model {version[:80]} in {settings.models_dir} or in the archive, found none; "
            "copy its folder there"
        )
    return read_reference((bundles[0].manifest.model_extra or {}).get(FIELD), version)


def _count_day(past: Past, reference: Reference, version: str, until_ms: int) -> Histograms:
    """Count the decisions of a model in the 24 hours before a time."""
    day = Histograms([column.bins for column in reference.columns.values()])
    for part in past.parts(until_ms - DAY_MS, until_ms):
        joined = past.join(part, reference.features, ())
        decisions = joined.decisions
        own = np.array([each == version for each in decisions["model_version"].to_pylist()], np.bool_)
        scores = decisions["score"].to_numpy(zero_copy_only=False).astype(np.float64)
        keys = np.array(decisions[past.stream.key.field].to_pylist(), object)[own]
        day.add([*joined.features[own].T, scores[own]], keys.tolist())
    return day


def _follow(settings: Settings, root: Place, arguments: argparse.Namespace) -> int:
    """Look again and again, and serve what is found as metrics."""
    configure(settings.monitoring.log_level, settings.monitoring.log_format, "monitor")
    open_metrics_page(settings, arguments.metrics_port)
    metrics.DRIFT_LOOKED.labels(settings.stream.name).set_to_current_time()
    every_seconds = arguments.every / 1_000

    def run(should_stop: Callable[[], bool]) -> None:
        due = time.monotonic()
        while not should_stop():
            if time.monotonic() >= due:
                _look_and_tell(settings, root, arguments.model)
                due = time.monotonic() + every_seconds
            time.sleep(_LOOK_SECONDS)

    run_service(run)
    return 0


def _look_and_tell(settings: Settings, root: Place, version: str) -> None:
    """Look once; what cannot be told now is logged, and asked again the next time."""
    try:
        document = look_for_drift(settings, root, version)
        note_drift(settings, document)
    except (Refused, Transient) as error:
        log.warning("drift_unknown", detail=str(error))
        return
    meter_drift(document, settings.stream.name, now_seconds=time.time())
    log.info("looked_for_drift", model=document["model_version"], drifted=document["drifted"])


def _build_parser() -> Parser:
    text = "Look for drift of features and score against the reference in the model's bundle; reads the archive."
    parser = Parser(prog="weir monitor", description=text)
    add_stream_flag(parser)
    parser.add_argument("--model", default="", metavar="VERSION", help="(default: what decided most of the last days)")
    root = "the archive, a folder or URL (default: settings)"
    parser.add_argument("--from", dest="archive", default="", metavar="PATH", help=root)
    every = "look again so often, such as 1h, and serve the figures as metrics"
    parser.add_argument("--every", type=_read_interval, default=0, metavar="TIME", help=every)
    parser.add_argument("--metrics-port", type=int, help="of the metrics with --every (default: settings)")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _read_interval(text: str) -> int:
    interval = parse_ms(text)
    if not interval:
        raise argparse.ArgumentTypeError(f"expected a time such as 1h, found {text!r}")
    return interval
