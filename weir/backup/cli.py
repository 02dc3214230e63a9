"""``weir backup`` and ``weir restore``: cases, keys and the audit log in one file, and back. See docs/backup.md."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from weir.backup.calls import ALL, CALLS, NONE, Wanted
from weir.backup.gather import gather, refuse_no_database, staging
from weir.backup.manifest import AUDIT_KEY, ERASURES, Manifest
from weir.backup.pack import read_pack, refuse_taken, write_pack
from weir.backup.put_back import check_place, put_back
from weir.infra.arguments import Parser, since_ms
from weir.infra.home import ensure_home
from weir.infra.setting_listing import list_set
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.printable import to_json
from weir.schemas.project import find_project, load_project

_LACKS = (
    "not in it: records of topics and their schemas, models, the archive but for its audit log, and secrets; "
    "docs/backup.md says how to copy these"
)


def main(argv: Sequence[str]) -> int:
    """Run one command. Exit codes: 0 done, 1 a server does not answer, or a damaged file, 2 misused or refused."""
    is_backup = argv[0] == "backup"
    arguments = (_build_backup_parser() if is_backup else _build_restore_parser()).parse_args(argv[1:])
    settings = load_settings()
    folder = find_project(Path.cwd())
    project = load_project(folder).name if folder else ""
    return _back_up(settings, project, arguments) if is_backup else _restore(settings, project, arguments)


def _back_up(settings: Settings, project: str, arguments: argparse.Namespace) -> int:
    target = _name_file(Path(arguments.file))
    refuse_taken(target)
    refuse_no_database(settings)
    with staging(ensure_home(settings.home)) as folder:
        members = folder / "members"
        members.mkdir()
        wanted = Wanted(arguments.calls, arguments.since)
        manifest = write_pack(target, gather(settings, project, members, wanted, _do_nothing), members)
    if arguments.json:
        print_line(to_json({"file": str(target), **asdict(manifest)}))
        return 0
    print_line(f"{target}: {target.stat().st_size:,} bytes, which you alone can read")
    _show(manifest)
    if arguments.calls != NONE and not manifest.calls.sources:
        where = "neither its topic nor the archive" if arguments.calls == ALL else "the archive"
        print_line(f"of the audit log, {where} has anything")
    print_line(_LACKS)
    return 0


def _name_file(given: Path) -> Path:
    name = datetime.fromtimestamp(int(time.time()), UTC).strftime("weir-%Y%m%dT%H%M%SZ.tar.xz")
    return given / name if given.is_dir() else given


def _restore(settings: Settings, project: str, arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    read_pack(path)  # before a home is made for it
    with staging(ensure_home(settings.home)) as folder:
        manifest = read_pack(path, folder)
        check_place(settings, project, manifest, folder)
        if arguments.apply:
            put_back(settings, manifest, folder, _do_nothing)
    if arguments.json:
        print_line(to_json({"file": str(path), "applied": arguments.apply, **asdict(manifest)}))
        return 0
    _show(manifest)
    _show_settings(settings, manifest)
    if not arguments.apply:
        print_line("the backup is whole, and nothing was changed; --apply puts it back")
        return 0
    print_line(f"put back into {settings.home}; next:")
    for line in _list_next(manifest):
        print_line(f"  {line}")
    return 0


def _show(manifest: Manifest) -> None:
    rows: list[tuple[str, str, object]] = [("database", name, count) for name, count in manifest.rows.items()]
    rows.append(("audit log", ", ".join(manifest.calls.sources) or "none", manifest.calls.count))
    rows += [("file", each.name, each.size) for each in manifest.of_home]
    title = f"of {_time(manifest.made_ms)}, by weir {manifest.weir}, tables {manifest.revision}"
    print_tables([build_table(("what", "of", "rows or bytes"), rows, title=title, box=False)])


def _show_settings(settings: Settings, manifest: Manifest) -> None:
    here = list_set(settings)
    for name, value in manifest.settings.items():
        if here.get(name) != value:
            print_line(f"setting {name}: {value} there, {here.get(name, 'the default')} here")


def _list_next(manifest: Manifest) -> list[str]:
    lines = ["`weir keys list`: a key that was revoked after the copy is valid again; revoke it again"]
    if any(each.name in {ERASURES, AUDIT_KEY} for each in manifest.of_home):
        lines.append("`weir gdpr again --apply`, with the lines of the newest erasures.jsonl in that of this home")
    lines.append(
        "`weir cases follow`: it sends verdicts that were not sent, and opens cases of decisions since the copy"
    )
    return lines


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _do_nothing(_: str) -> None:
    """A step is done."""


def _build_backup_parser() -> Parser:
    parser = Parser(prog="weir backup", description="Copy cases, keys and the audit log into one file, of one moment.")
    parser.add_argument("file", metavar="FILE", help="a new file, or a folder in which it is named by the time")
    calls = "of the audit log: all calls, those of the archive, which needs no brokers, or none (default: all)"
    parser.add_argument("--calls", choices=CALLS, default=ALL, help=calls)
    since = "calls of the audit log from then on, such as 90d (default: all there are)"
    parser.add_argument("--since", type=since_ms, default=0, metavar="TIME", help=since)
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _build_restore_parser() -> Parser:
    parser = Parser(prog="weir restore", description="Put a backup back into an empty database and home.")
    parser.add_argument("file", metavar="FILE", help="of a backup")
    parser.add_argument("--apply", action="store_true", help="do it; without it the file is checked and shown")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser
