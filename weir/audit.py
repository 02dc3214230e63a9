"""``weir audit calls | changes``: who called the API, and who changed what, by whichever way."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

from weir.access.audit.kept import list_kept, read_kept
from weir.access.audit.pseudonym import key_path, load_pseudonyms
from weir.access.audit.read import read_calls
from weir.audit_changes import Change, collect_changes
from weir.backup.calls import find_in_archive, find_in_topic
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import build_table, print_tables
from weir.schemas.audit import AuditRecord
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused
from weir.schemas.printable import escape, to_json
from weir.schemas.project import find_streams

_CALL_COLUMNS = ("at", "who", "from", "method", "route", "about", "status", "ms", "phase")
_CHANGE_COLUMNS = ("at", "who", "what", "of", "outcome", "where it is kept")
_ABOUT_SHOWN = 12
"""Digits of a pseudonym in a table: a person tells two apart by them; --json has all."""


def main(argv: Sequence[str]) -> int:
    """Run one command. Exit codes: 0 shown, 1 brokers or database do not answer, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    back_ms = parse_ms(arguments.since)
    if not back_ms:
        raise Refused(f"--since: expected a time such as 1h or 7d, found {escape(arguments.since)!r}")
    since_ms = int(time.time() * 1_000) - back_ms
    calls = _read(settings, since_ms, arguments.archive)
    if arguments.command == "calls":
        _show_calls(settings, calls, arguments)
    else:
        streams = find_streams(Path.cwd(), arguments.stream).streams
        found = collect_changes(settings, streams, since_ms, calls)
        _show_changes([each for each in found if arguments.who in {"", each.who}], as_json=arguments.json)
    return 0


def _read(settings: Settings, since_ms: int, archive: str) -> Iterator[AuditRecord]:
    """Yield calls that a backup put back, and after these what the topic or the archive has."""
    if not archive:
        calls, find = read_calls(settings, since_ms, _tell_forgotten), find_in_topic
    else:
        from weir.archive.audit import read_archived_calls  # noqa: PLC0415 - delta-rs, which only this needs
        from weir.archive.features.source import ARCHIVE  # noqa: PLC0415
        from weir.archive.run import find_root  # noqa: PLC0415

        root = "" if archive == ARCHIVE else archive
        calls = read_archived_calls(find_root(settings, root), settings.topics.audit, since_ms)
        find = partial(find_in_archive, root=root)
    if list_kept(settings.home):
        kept = read_kept(settings.home, since_ms, find(settings))
        calls = chain((each.record for each in kept), calls)
    return calls


def _tell_forgotten() -> None:
    sys.stderr.write("the topic may have forgotten calls since then; with --from archive the archived ones are shown\n")


def _show_calls(settings: Settings, calls: Iterable[AuditRecord], arguments: argparse.Namespace) -> None:
    about = _name(settings, arguments.about) if arguments.about else ""
    records = [each for each in calls if arguments.who in {"", each.key_id} and about in {"", each.about}]
    missed = sum(each.missed for each in records)
    if arguments.json:
        for each in records:
            sys.stdout.write(to_json({name: getattr(each, name) for name in AuditRecord.__slots__}) + "\n")
    elif records:
        print_tables([build_table(_CALL_COLUMNS, list(map(_as_row, records)), box=False)])
    else:
        sys.stdout.write("no call of this kind since then\n")
    if missed:
        sys.stderr.write(f"{missed:,} records could not be written between these\n")


def _name(settings: Settings, text: str) -> str:
    path = key_path(settings.home)
    if not path.exists():  # a new one would find nothing, and look as if there was nothing
        raise Refused(f"--about: expected the key {path}, found none; copy it from a host that serves the API")
    return load_pseudonyms(settings.home).name(text)


def _as_row(record: AuditRecord) -> tuple[object, ...]:
    return (
        _time(record.time_ms),
        record.key_id or "-",
        record.address,
        record.method,
        record.route or "-",
        record.about[:_ABOUT_SHOWN] or "-",
        record.status or "-",
        f"{record.micros / 1_000:.1f}",
        record.phase,
    )


def _show_changes(changes: Iterable[Change], *, as_json: bool) -> None:
    found = list(changes)
    if as_json:
        for each in found:
            sys.stdout.write(to_json({**each._asdict(), "at": _time(each.at_ms)}) + "\n")
    elif found:
        rows = [(_time(each.at_ms), each.who or "-", each.what, each.of, each.outcome, each.kept_in) for each in found]
        print_tables([build_table(_CHANGE_COLUMNS, rows, box=False)])
    else:
        sys.stdout.write("no change of this kind since then\n")


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir audit", description="Show who called the API, and who changed what.")
    commands = parser.add_subparsers(dest="command", required=True)
    calls = commands.add_parser("calls", help="calls of the API, one a line", description="Show calls of the API.")
    calls.add_argument("--who", default="", metavar="KEY", help="id of the key; `weir keys list` shows it")
    calls.add_argument(
        "--about",
        default="",
        metavar="ID",
        help="of an event or a case, or an entity such as card=ID; asks for <home>/keys/audit.key",
    )
    changes = commands.add_parser(
        "changes", help="changes of keys, rules, lists, models and cases", description="Show who changed what."
    )
    changes.add_argument("--who", default="", metavar="NAME", help="as the table shows it")
    add_stream_flag(changes, default="every stream", again=True)
    for command, since in ((calls, "1h"), (changes, "7d")):
        command.add_argument("--since", default=since, metavar="TIME", help=f"how far back (default: {since})")
        archive = (
            "read calls of an archive: `archive`, the one of the settings, or a folder or URL (default: the topic)"
        )
        command.add_argument("--from", dest="archive", default="", metavar="ARCHIVE", help=archive)
        command.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser
