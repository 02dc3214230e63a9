"""The verb ``weir dlq``: list, show, count, replay or discard dead letters, or replay what heals by itself.

``replay`` and ``discard`` show their plan and change nothing without ``--apply``. Results go to stdout, a progress bar
to stderr. Exit codes: 0 done, 1 failed (also: some letters cannot be repaired), 2 misused.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from weir.infra.arguments import Parser, add_stream_flag, nearest
from weir.infra.heap import freeze_gc
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.monitoring import logs
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import Refused, Transient
from weir.schemas.masking import mask
from weir.schemas.printable import to_json
from weir.schemas.project import find_stream, load_streams
from weir.schemas.stream import Topics
from weir.streaming.dlq.auto import AutoOptions, AutoReplayer
from weir.streaming.dlq.checking import build_checked_repair
from weir.streaming.dlq.field_names import refuse_unknown_fields
from weir.streaming.dlq.letter import COORDINATES_ONLY, HEALABLE, UNDECODED, DeadLetter
from weir.streaming.dlq.log import DeadLetterLog, Selection, Settlement
from weir.streaming.dlq.plan import ATTEMPTS_MAX, Options, Repair, Step
from weir.streaming.dlq.repair import SchemaSource, build_field_repair, build_hook_repair, parse_assignments
from weir.streaming.dlq.replay import Replay, Report, plan_steps
from weir.streaming.dlq.step_view import describe_step, step_line
from weir.streaming.dlq.view import count_letters, iso_time, letter_details, letter_fields
from weir.streaming.health.checks import start_watch
from weir.streaming.service import open_metrics_page

_LIST_COLUMNS = (
    "at",
    "source",
    "key",
    "appended",
    "reason",
    "stage",
    "state",
    "replay_count",
    "value_bytes",
    "message",
)
_OF_RUNBOOKS = COORDINATES_ONLY | HEALABLE | UNDECODED
_STAGES = frozenset({"decode", "validate", "deduplicate", "score"})
"""Where records of ours are found to be dead; others write stages of their own."""
_REASONS_SHOWN = 40
"""There are fewer of ours; a topic that others write to may have any number."""
_STATS_COLUMNS = ("reason", "stage", "state", "letters", "first", "last")


def main(argv: list[str]) -> int:
    """Run ``weir dlq``. Exit codes: 0 done, 1 failed, 2 misused."""
    arguments = _parser().parse_args(argv[1:])
    settings = _find_settings(arguments.stream, arguments.topic)
    logs.configure(settings.monitoring.log_level, settings.monitoring.log_format, "dlq")
    command: Callable[[argparse.Namespace, Settings, DeadLetterLog], int] = arguments.command
    try:
        with DeadLetterLog(settings, arguments.topic or settings.topics.dlq) as log:
            freeze_gc()
            return command(arguments, settings, log)
    except KafkaException as error:
        raise Transient(f"kafka: {error.args[0].str()}") from error


def _find_settings(name: str, topic: str | None) -> Settings:
    """Return the settings of the stream that is named, or else of the one that the topic is of.

    Raises:
        Refused: there is no such stream, or the topic is of another one: its settlements are kept there.
    """
    settings, streams = load_settings(), load_streams(Path.cwd())[0]
    own = {dlq: stream for stream in streams.values() for dlq in _dead_letter_topics(settings.topics.of(stream))}
    owner = own.get(topic or "")
    if owner is None or name in ("", owner.name):
        return settings.of_stream(owner or find_stream(Path.cwd(), name))
    of_stream = find_stream(Path.cwd(), name)
    there = ", ".join(_dead_letter_topics(settings.topics.of(of_stream)))
    raise Refused(f"--topic: expected one of {name} ({there}), found {topic} of {owner.name}")


def _dead_letter_topics(topics: Topics) -> tuple[str, ...]:
    return topics.dlq, topics.labels_dlq, topics.features_dlq


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir dlq", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="list|show|stats|replay|discard|auto")
    for name, command, text in (
        ("list", _list, "one line per dead letter, oldest first"),
        ("show", _show, "everything about dead letters: headers, bytes, decoded value"),
        ("stats", _stats, "counts by reason, stage and state"),
        ("replay", _replay, "send dead letters back to their source topic, each once for ever"),
        ("discard", _discard, "settle dead letters without replaying; nothing is deleted"),
        ("auto", _auto, "replay with back-off what heals by itself (unknown schema ids)"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(command=command)
        verb.add_argument("--topic", help="dead letter topic (default: that of the stream's events)")
        add_stream_flag(verb)
        verb.add_argument("--json", action="store_true", help="JSON lines on stdout")
        _ADD_FLAGS[name](verb)
    return parser


def _add_filters(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--reason", action="append", default=[], help="this reason; may be repeated")
    verb.add_argument("--stage", action="append", default=[], help="this stage; may be repeated")
    verb.add_argument("--from", dest="from_ms", type=_time_ms, help="written at or after, ISO 8601 or epoch ms")
    verb.add_argument("--to", dest="to_ms", type=_time_ms, help="written before, ISO 8601 or epoch ms")
    verb.add_argument("--partition", type=int, help="partition of the dead letter, which is that of its source")
    verb.add_argument("--offset", type=int, help="offset of the dead letter; needs --partition")


def _add_list_flags(verb: argparse.ArgumentParser) -> None:
    _add_view_flags(verb)
    verb.add_argument("--all", action="store_true", help="also repeats of what was decided once (duplicate)")


def _add_view_flags(verb: argparse.ArgumentParser) -> None:
    _add_filters(verb)
    verb.add_argument("--limit", type=int, default=50, help="at most so many; 0 for all (default 50)")


def _add_replay_flags(verb: argparse.ArgumentParser) -> None:
    _add_discard_flags(verb)
    verb.add_argument("--attempts-max", type=int, default=ATTEMPTS_MAX, help="park after so many replays (default 5)")
    verb.add_argument("--parked", action="store_true", help="take up parked letters again")
    change = verb.add_mutually_exclusive_group()
    change.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="set a field in each chosen letter's record; `null` empties it; may be repeated",
    )
    change.add_argument(
        "--hook",
        metavar="FILE.py:FUNCTION",
        help="change each record by function(key: bytes, value: bytes, letter) -> (key, value)",
    )


def _add_discard_flags(verb: argparse.ArgumentParser) -> None:
    _add_filters(verb)
    verb.add_argument("--apply", action="store_true", help="do it; without this the plan is shown")


def _add_auto_flags(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--seconds", type=float, default=0.0, help="stop after so long; 0 runs until interrupted")
    verb.add_argument("--base-seconds", type=float, default=5.0, help="first wait, doubled each time (default 5)")
    verb.add_argument("--attempts-max", type=int, default=ATTEMPTS_MAX, help="park after so many replays (default 5)")
    verb.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")


_ADD_FLAGS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "list": _add_list_flags,
    "show": _add_view_flags,
    "stats": _add_filters,
    "replay": _add_replay_flags,
    "discard": _add_discard_flags,
    "auto": _add_auto_flags,
}


def _time_ms(text: str) -> int:
    if text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


def _selection(arguments: argparse.Namespace, log: DeadLetterLog) -> Selection:
    if arguments.offset is not None and arguments.partition is None:
        raise Refused("--offset: expected --partition with it, found none")
    _check_asked("reason", set(arguments.reason) - _OF_RUNBOOKS, log)
    _check_asked("stage", set(arguments.stage) - _STAGES, log)
    return Selection(
        reasons=frozenset(arguments.reason),
        stages=frozenset(arguments.stage),
        from_ms=arguments.from_ms,
        to_ms=arguments.to_ms,
        partition=arguments.partition,
        offset=arguments.offset,
    )


def _check_asked(what: Literal["reason", "stage"], missing: set[str], log: DeadLetterLog) -> None:
    """Refuse a reason or a stage that no letter has: a mistyped one would select nothing and look as if all were well.

    Reasons that a runbook names and stages of ours are not asked about: that there is no such letter is good news.
    """
    found = set[str]()
    if not missing:
        return
    with closing(log.scan(Selection(), log.ends())) as letters:
        for letter in letters:
            found.add(letter.reason if what == "reason" else letter.stage)
            if missing <= found:
                return
    missing = missing - found
    shown = sorted(found)[:_REASONS_SHOWN]
    more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    there = ", ".join(shown) or "it has no letter"
    named = ", ".join(map(repr, sorted(missing)))
    message = f"--{what}: expected one that a letter of {log.topic} has ({there}{more}), found {named}"
    raise Refused(mask(message) + nearest(min(missing), shown))


def _selected(
    arguments: argparse.Namespace, log: DeadLetterLog, keep: Callable[[DeadLetter], bool] = lambda _: True
) -> Iterator[tuple[DeadLetter, Settlement | None]]:
    """Yield the letters that are meant, oldest first, as many as the limit says."""
    selection, limit = _selection(arguments, log), getattr(arguments, "limit", 0) or None
    log.done.refresh()
    letters: list[DeadLetter] = []
    for number, end in log.ends().items():
        if selection.partition in (None, number):
            # a partition is in order of time, so the first ones of each hold the first ones of all
            with closing(log.scan(replace(selection, partition=number), {number: end})) as scan:
                letters += islice(filter(keep, scan), limit)
    for letter in sorted(letters, key=lambda each: (each.appended_ms, each.at))[:limit]:
        yield letter, log.done.settlement(letter)


def _list(arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog) -> int:
    passed_over: Counter[str] = Counter()

    def keep(letter: DeadLetter) -> bool:
        is_noise = letter.reason in COORDINATES_ONLY and not (arguments.all or arguments.json or arguments.reason)
        passed_over[letter.reason] += is_noise
        return not is_noise

    rows = [letter_fields(letter, settlement) for letter, settlement in _selected(arguments, log, keep)]
    _write(arguments, rows, _LIST_COLUMNS, title=_title(settings, log))
    for reason, count in passed_over.items():
        if count:
            hint = "`weir dlq list --all` lists them, `weir dlq stats` counts all of them"
            print_line(f"not listed: {count} letters of {reason} among these, decided once each; {hint}", sys.stderr)
    return 0


def _show(arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog) -> int:
    with closing(Registry(settings.registry)) as schemas:
        for letter, settlement in _selected(arguments, log):
            details = letter_details(letter, settlement, schemas)
            _write_json(details, indent=None if arguments.json else 2)
    return 0


def _stats(arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog) -> int:
    selection = _selection(arguments, log)
    log.done.refresh()
    letters = ((letter, log.done.settlement(letter)) for letter in log.scan(selection, log.ends()))
    _write(arguments, count_letters(letters), _STATS_COLUMNS, title=_title(settings, log))
    return 0


def _replay(arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog) -> int:
    with closing(Registry(settings.registry)) as schemas:
        if names := parse_assignments(arguments.assignments):
            refuse_unknown_fields(names, settings, log, _selection(arguments, log), schemas)
        repair = _repair(arguments, settings, schemas)
        options = Options(attempts_max=arguments.attempts_max, parked=arguments.parked, repair=repair)
        return _settle(arguments, settings, log, options, schemas)


def _discard(arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog) -> int:
    with closing(Registry(settings.registry)) as schemas:
        return _settle(arguments, settings, log, Options(discard=True), schemas)


def _repair(arguments: argparse.Namespace, settings: Settings, schemas: SchemaSource) -> Repair | None:
    if arguments.hook:
        repair = build_hook_repair(arguments.hook)
    elif arguments.assignments:
        assignments = parse_assignments(arguments.assignments)
        repair = build_field_repair(assignments, schemas, key_field=settings.stream.key.field)
    else:
        return None
    return build_checked_repair(repair, settings, schemas, clock_ms=_now_ms)


def _settle(
    arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog, options: Options, schemas: SchemaSource
) -> int:
    selection = _selection(arguments, log)
    log.done.refresh()
    # a hook is somebody's code: with --apply it is called once for each letter, so the letters are only counted first
    planned, as_planned = Report(), replace(options, repair=None) if arguments.apply else options
    for step in plan_steps(log, settings.processor.dlq_header_prefix, selection, as_planned, log.ends()):
        planned.add(step)
    report = planned
    if arguments.apply:
        report = _apply(settings, log, selection, options, planned.outcomes.total())
    shown = [describe_step(step, schemas, settings.stream.id) for step in report.steps]
    _write_report(arguments, report, shown, applied=arguments.apply)
    return 1 if report.outcomes["unrepairable"] else 0


def _apply(settings: Settings, log: DeadLetterLog, selection: Selection, options: Options, total: int) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("dead letters", total=total)

        def advance(_step: Step) -> None:
            progress.advance(task)

        return Replay(settings, log, clock_ms=_now_ms).run(selection, options, on_step=advance)


def _auto(arguments: argparse.Namespace, settings: Settings, log: DeadLetterLog) -> int:
    open_metrics_page(settings, arguments.metrics_port)
    options = AutoOptions(base_ms=int(arguments.base_seconds * 1_000), attempts_max=arguments.attempts_max)
    deadline = time.monotonic() + arguments.seconds if arguments.seconds > 0 else float("inf")
    replayer = AutoReplayer(settings, log, options, clock_ms=_now_ms)
    with closing(start_watch(settings, stages=(), redis=False, registry=False)):
        report = replayer.run(lambda: time.monotonic() >= deadline)
    _write_report(arguments, report, [], applied=True)
    return 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _write_report(arguments: argparse.Namespace, report: Report, shown: list[dict[str, Any]], *, applied: bool) -> None:
    if arguments.json:
        counts = dict(report.outcomes)
        _write_json({"applied": applied, "letters": counts, "steps": shown, "notes": report.notes})
        return
    head = "done" if applied else "plan (nothing was changed; --apply does it)"
    counts_text = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    print_line(f"{head}: {counts_text or 'no dead letter'}")
    for line in [*map(step_line, shown), *report.notes]:
        print_line(line)
    unseen = report.outcomes.total() - report.outcomes["settled"] - len(shown) - len(report.notes)
    if shown and unseen > 0:
        print_line(f"... and {unseen} more")
    if report.outcomes["settled"]:
        print_line("settled: replayed or discarded before, and left alone")


def _title(settings: Settings, log: DeadLetterLog) -> str:
    """Say whose letters they are: a topic's name may be set to anything."""
    return f"dead letters of {settings.stream.full_name}, in {log.topic}"


def _write(
    arguments: argparse.Namespace, rows: list[dict[str, Any]], columns: tuple[str, ...], *, title: str = ""
) -> None:
    if arguments.json:
        for row in rows:
            _write_json(row)
        return
    cells = [[_cell(row, column) for column in columns] for row in rows]
    # what a program reads has rows alone
    print_tables([build_table(columns, cells, title=title if sys.stdout.isatty() else "", box=False)])


def _cell(row: dict[str, Any], column: str) -> str:
    value = iso_time(row[f"{column}_ms"]) if column in {"appended", "first", "last"} else row[column]
    return "-" if value is None else str(value)


def _write_json(value: Any, indent: int | None = None) -> None:
    sys.stdout.write(to_json(value, indent=indent) + "\n")
