"""``weir publish FILE``: the user's own events or labels, checked line by line before anything is sent.

What would become a dead letter is refused here, with its line number and field, by the same rules as the processor's.
Delivery: at least once; publishing a file twice sends its records twice, and the processor refuses the repeats.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weir.generators.cli import write_summary
from weir.generators.delivery import Delivery, HeldLabels
from weir.generators.encoding import Encoder
from weir.generators.stream import Stopped, build_encoder, stop_on_signals
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import build_producer
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.infra.user_files.checker import Checker, Outcome
from weir.infra.user_files.door import add_flags, manner_of, open_checked
from weir.infra.user_files.survey import FileRefused
from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.errors import Refused, describe_to_command
from weir.schemas.printable import escape
from weir.schemas.project import find_stream

_OF = {"events": "transactions", "labels": "labels", "transactions": "transactions"}
"""What rows can be, and what the door calls them."""


def main(argv: list[str]) -> int:
    """Run ``weir publish``. Exit codes: 0 all published, 1 some bad, failed or none at all, 2 misused or refused."""
    arguments = build_parser().parse_args(argv[1:])
    started = time.monotonic()
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    manner = manner_of(arguments, settings.placeholders, settings.stream)
    with open_checked(arguments.file, _OF[arguments.kind], manner) as checker, stop_on_signals() as stopped:
        checker.stopped = stopped.is_set
        try:
            checker.judge()
        except FileRefused as refusal:
            sys.stderr.write(f"{escape(describe_to_command(refusal))}\n")
            _summarise(arguments, checker, None, time.monotonic() - started)
            return 2
        sent = None if arguments.dry_run or stopped.is_set() else _publish(settings, arguments, checker, stopped)
        for _ in checker.check() if arguments.dry_run else ():
            pass
    _summarise(arguments, checker, sent, time.monotonic() - started)
    return _conclude(arguments, checker, sent, stopped)


def build_parser() -> argparse.ArgumentParser:
    """Return the flags of ``weir publish``."""
    parser = Parser(
        prog="weir publish",
        description="Publish a CSV, JSON lines or Parquet file, packed by gzip or not, or `-`, the standard input. "
        "Columns are the fields of the Avro schema; those that may be null may be missing, times may be ISO 8601. "
        "docs/publish.md has the columns, and mappings for files of other layouts.",
    )
    parser.add_argument("file", type=Path)
    add_stream_flag(parser)
    parser.add_argument("--kind", choices=_OF, default="events", help="what the rows are (transactions: events)")
    parser.add_argument("--topic", help="where to; by default the stream's topic of that kind")
    parser.add_argument("--dry-run", action="store_true", help="check every line and send nothing")
    parser.add_argument("--skip-bad", action="store_true", help="exit 0 although bad lines were left out")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_flags(parser)
    return parser


@dataclass(frozen=True)
class Sent:
    """What was handed to the broker; ``labels`` is empty where the file has no column that labels its rows."""

    rows: Delivery
    labels: Delivery

    @property
    def failures(self) -> Counter[str]:
        """How many records were not delivered, by reason."""
        return self.rows.failures + self.labels.failures


def _publish(settings: Settings, arguments: argparse.Namespace, checker: Checker, stopped: Stopped) -> Sent:
    """Send what is good, block by block, until the end, a stop, or a broker that takes no more."""
    own = checker.plan.kind
    kinds = {own: arguments.topic or getattr(settings.topics, own)}
    kinds |= {"labels": settings.topics.labels} if checker.plan.label else {}
    _check_topics(settings, kinds)  # before a subject of a misspelt topic is registered
    encoders = _connect(settings, kinds)
    producer = build_producer(settings.kafka, delivery_report_only_error=True)
    sent = Sent(Delivery(producer, stopped=stopped.is_set), Delivery(producer, stopped=stopped.is_set))
    held = HeldLabels(settings.stream)
    for block in checker.check():
        taken = sent.rows.send(kinds[own], encoders[own], block)
        for labels in held.take(block) if taken else ():
            taken = taken and sent.labels.send(kinds["labels"], encoders["labels"], labels)
        if not taken:
            return sent
    for labels in () if stopped.is_set() else held.rest():
        sent.labels.send(kinds["labels"], encoders["labels"], labels)
    return sent


def _check_topics(settings: Settings, kinds: dict[str, str]) -> None:
    """Refuse a topic that is not there.

    Raises:
        Refused: it would be made by nobody; nothing was registered or sent.
    """
    try:
        describe_topics(settings.kafka, list(kinds.values()))
    except Refused as refusal:
        usual = ", ".join(getattr(settings.topics, kind) for kind in kinds)
        raise Refused(f"{refusal}, or check --topic ({usual} by default); nothing was registered or sent") from None


def _connect(settings: Settings, kinds: dict[str, str]) -> dict[str, Encoder]:
    stream, registry = settings.stream, Registry(settings.registry)
    schemas = {"transactions": event_schemas(stream), "labels": label_schemas(stream)}
    try:
        return {kind: build_encoder(registry, schemas[kind], topic) for kind, topic in kinds.items()}
    finally:
        registry.close()


def _summarise(arguments: argparse.Namespace, checker: Checker, sent: Sent | None, seconds: float) -> None:
    outcome, labelled = checker.outcome, checker.plan.label is not None
    summary: dict[str, object] = {
        "file": str(arguments.file),
        "published": sent.rows.published if sent else 0,
        "good": outcome.good,
        "bad": outcome.bad,
        "refused": outcome.refused,
        "failed": sent.failures.total() if sent else 0,
        "lines": outcome.lines,
        "header": outcome.header,
        "blank": outcome.blank,
        "continued": outcome.continued,
        **({"labels": sent.labels.published if sent else outcome.labels} if labelled else {}),
        **({"labels_not_yet_known": outcome.not_yet_known} if labelled else {}),
        "seconds": round(seconds, 2),
    }
    write_summary(summary, as_json=arguments.json)


def _conclude(arguments: argparse.Namespace, checker: Checker, sent: Sent | None, stopped: Stopped) -> int:
    """Say why a run was not whole, and return its exit code."""
    reasons = list(_reasons(checker.outcome, sent, skip_bad=arguments.skip_bad))
    if stopped.is_set():
        reasons.append(f"stopped by signal {stopped.number}; what follows line {checker.outcome.lines} was not read")
    sys.stderr.write("".join(f"{escape(f'{checker.source.name}: {reason}')}\n" for reason in reasons))
    if stopped.is_set():
        return 128 + stopped.number
    return 1 if reasons else 0


def _reasons(outcome: Outcome, sent: Sent | None, *, skip_bad: bool) -> Iterator[str]:
    if outcome.broken:
        yield outcome.broken
    for reason, count in sent.failures.most_common() if sent else ():
        yield f"{count} not delivered: {reason}"
    if outcome.bad and not skip_bad:
        yield f"{outcome.bad} bad of {outcome.good + outcome.bad} rows were left out; --skip-bad accepts that"
    if not outcome.good:
        yield "expected rows, found none; there is nothing to publish" if not outcome.bad else "no row is good"
