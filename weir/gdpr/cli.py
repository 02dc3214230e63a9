"""``weir gdpr export | erase | again | check``: what is held about somebody, and its end. See docs/privacy.md."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from weir.access.audit.pseudonym import load_pseudonyms
from weir.archive.erase_cli import check_entity
from weir.gdpr.erasures import read_entries
from weir.gdpr.export import build_export, find_keys
from weir.gdpr.stores import Counts, Person, build_person, count, each_id, erase
from weir.gdpr.topics import each_published_with, read_kept
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import Refused
from weir.schemas.printable import to_json
from weir.schemas.project import find_streams
from weir.schemas.stream import Stream

_AGAIN = "erased before; it came back from a copy or from the log"


def main(argv: Sequence[str]) -> int:
    """Run one command. Exit codes: 0 done, 1 not all of it, or a store does not answer, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    streams = find_streams(Path.cwd(), arguments.stream).streams
    if arguments.command == "check":
        return _check(settings, streams)
    if arguments.command == "again":
        return _again(settings, streams, apply=arguments.apply)
    asked = _read_person(streams, arguments)
    people = [asked] if arguments.entity else [*find_keys(settings, asked, streams), asked]
    if arguments.command == "export":
        return _export(settings, people, Path(arguments.out))
    return _erase(settings, people, why=arguments.why, apply=arguments.apply)


def _read_person(streams: Sequence[Stream], arguments: argparse.Namespace) -> Person:
    given = [*filter(None, [arguments.entity, arguments.customer and f"customer={arguments.customer}"])]
    if len(given) != 1:
        raise Refused(f"expected one of --entity KIND=ID and --customer ID, found {'both' if given else 'neither'}")
    kind, _, entity_id = given[0].partition("=")
    check_entity(streams, kind, entity_id)
    return build_person(kind, entity_id, streams, int(time.time() * 1_000))


def _export(settings: Settings, people: Sequence[Person], out: Path) -> int:
    document = build_export(settings, people)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(to_json(document, indent=2) + "\n")
    rows = [(part["kind"], part["where"], len(part["found"])) for part in document["held"]]
    print_tables([build_table(("of", "where", "found"), rows, title="what is held")])
    print_line(f"written to {out}, which you alone can read")
    return 0


def _erase(settings: Settings, people: Sequence[Person], *, why: str, apply: bool) -> int:
    if any(person.id in why for person in people):
        raise Refused("expected a reason without the id that is erased, found one with it: the record of it stays")
    if not apply:
        for person in people:
            _show(count(settings, person), person)
        print_line("nothing was changed; --apply erases these for good")
        return 0
    if not why:
        raise Refused("expected --why TEXT with --apply: the archive's record of the erasure says it")
    for person in people:  # who was asked for comes last: by its records the others are found, if this is cut off
        _show(erase(settings, person, why=why, on_step=_do_nothing), person)
    print_line("erased; topics keep their records until they expire, and `weir gdpr check` shows how long that is")
    return max(_tell_published(settings, person) for person in people)


def _tell_published(settings: Settings, person: Person) -> int:
    left = list(each_published_with(settings, person.streams, person.id))
    for topic in left:
        print_line(f"not erased: a list in {topic} has this id in some version; see docs/privacy.md")
    return 1 if left else 0


def _again(settings: Settings, streams: Sequence[Stream], *, apply: bool) -> int:
    names = load_pseudonyms(settings.home)
    entries = {entry.name: entry for entry in read_entries(settings.home)}
    named = {names.name(f"{kind}={text}"): (kind, text) for kind, text in each_id(settings, streams)}
    back = {name: who for name, who in named.items() if name in entries}
    for name, (kind, text) in back.items():
        person = build_person(kind, text, streams, entries[name].at_ms)
        _show(erase(settings, person, why=_AGAIN, on_step=_do_nothing) if apply else count(settings, person), person)
    ending = "erased again" if apply else "back; --apply erases what is older than their erasure"
    print_line(f"of {len(entries)} erased ids {len(back)} are {ending}")
    return 0


def _check(settings: Settings, streams: Sequence[Stream]) -> int:
    kept = read_kept(settings, streams)
    rows = [
        (each.topic, "for good" if each.days is None else f"{each.days:g} d", f"{each.roll_days:g} d", each.why or "ok")
        for each in kept
    ]
    print_tables([build_table(("topic", "kept for", "longer by up to", "found"), rows, box=False)])
    return 0 if all(each.is_in_bounds for each in kept) else 1


def _show(counts: Counts, person: Person) -> None:
    print_tables([build_table(("where", "found"), list(counts.items()), title=f"held about this {person.kind}")])


def _do_nothing(_: str) -> None:
    """A step of an erasure is done."""


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir gdpr", description="Export and erase what is held about somebody.")
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser(
        "export",
        help="write all that is held to a file",
        description="Write all that is held about an entity to a file.",
    )
    export.add_argument("--out", required=True, metavar="FILE", help="a new file, which its owner alone can read")
    erasing = commands.add_parser(
        "erase", help="erase it in every store", description="Erase an entity in windows, index, cases and archive."
    )
    erasing.add_argument("--why", default="", metavar="TEXT", help="for the archive's record, without the id")
    again = commands.add_parser(
        "again", help="erase what came back", description="Erase ids that were erased before and came back."
    )
    check = commands.add_parser("check", help="show how long topics keep records", description="Show retention.")
    for command in (export, erasing):
        command.add_argument("--entity", default="", metavar="KIND=ID", help="whose, such as card=card-000017")
        command.add_argument(
            "--customer",
            default="",
            metavar="ID",
            help="a customer with all of their cards",
        )
    for command in (erasing, again):
        command.add_argument("--apply", action="store_true", help="do it; without it the plan is shown")
    for command in (export, erasing, again, check):
        add_stream_flag(command, default="every stream", again=True)
    return parser
