"""``weir cases``: follow decisions for review into cases; list, claim and decide these."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from weir.cases.case import Case, State, Verdict
from weir.cases.desk import Desk, UnknownCase
from weir.cases.page import build_case, build_file, print_cases, print_file
from weir.cases.queue import LIMIT, LIMIT_MAX, Wanted, read_cursor
from weir.cases.words import check_text
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings, load_settings
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused
from weir.schemas.printable import escape, to_json
from weir.schemas.project import find_stream

SINCE = "7d"


def main(argv: Sequence[str]) -> int:
    """Run one command. Exit codes: 0 done, 1 not as it is now, or nobody answers, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    settings = settings.of_stream(find_stream(Path.cwd(), arguments.stream))
    if arguments.command == "follow":
        return _follow(settings, arguments)
    desk = Desk(partial(open_database, settings), settings.stream, lambda: int(time.time() * 1_000))
    with closing(desk):
        try:
            _work(desk, arguments)
        except UnknownCase:
            raise Refused(
                f"expected the id of a case of {escape(settings.stream.name)}, found another text; "
                "`weir cases list` shows the ids"
            ) from None
    return 0


def _follow(settings: Settings, arguments: argparse.Namespace) -> int:
    from weir.cases.service import follow  # noqa: PLC0415 - who works on cases needs no Kafka client

    since_ms = parse_ms(arguments.since)
    if not since_ms:
        raise Refused(f"--since: expected a time such as 12h or 7d, found {escape(arguments.since)!r}")
    follow(settings, instance=arguments.instance, since_ms=since_ms, metrics_port=arguments.metrics_port)
    return 0


def _work(desk: Desk, arguments: argparse.Namespace) -> None:
    if arguments.command == "list":
        page = desk.page(_read_wanted(arguments))
        if arguments.json:
            sys.stdout.write(to_json({"cases": list(map(build_case, page.cases)), "next": page.cursor}) + "\n")
        else:
            print_cases(page, desk.stream)
        return
    if arguments.command == "show":
        file = desk.show(arguments.id)
        if arguments.json:
            sys.stdout.write(to_json(build_file(file)) + "\n")
        else:
            print_file(file, desk.stream)
        return
    sys.stdout.write(_describe(_change(desk, arguments)) + "\n")


def _change(desk: Desk, arguments: argparse.Namespace) -> Case:
    by = getpass.getuser()
    if arguments.command == "claim":
        return desk.claim(arguments.id, by)
    if arguments.command == "release":
        return desk.release(arguments.id, by, force=arguments.force)
    if arguments.command == "note":
        return desk.note(arguments.id, by, check_text(arguments.text, "a note"))
    return desk.decide(arguments.id, by, Verdict(arguments.verdict), check_text(arguments.why, "--why"))


def _describe(case: Case) -> str:
    if case.verdict is not None:
        return f"{case.id} is {case.state}: {case.verdict}, version {case.version} of its verdict"
    return f"{case.id} is {case.state}" + (f", held by {escape(case.holder)}" if case.holder else "")


def _read_wanted(arguments: argparse.Namespace) -> Wanted:
    after = None if not arguments.after else read_cursor(arguments.after)
    if arguments.after and after is None:
        raise Refused("--after: expected what the page before ended with, found another text")
    if not 0 < arguments.limit <= LIMIT_MAX:
        raise Refused(f"--limit: expected 1 to {LIMIT_MAX}, found {arguments.limit}")
    states = frozenset(map(State, arguments.state or (State.OPEN, State.CLAIMED)))
    holder = getpass.getuser() if arguments.mine else None
    return Wanted(states, holder=holder, key=arguments.key, limit=arguments.limit, after=after)


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir cases", description="Decisions for review: follow them, look at them, give verdicts.")
    commands = parser.add_subparsers(dest="command", required=True)
    follow = commands.add_parser(
        "follow",
        help="open cases of decisions for review, and send verdicts as labels",
        description="Follow decisions.",
    )
    follow.add_argument("--instance", type=int, default=0, metavar="N", help="ordinal, unique per running process")
    follow.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")
    follow.add_argument(
        "--since", default=SINCE, metavar="TIME", help=f"how far back the first start goes (default: {SINCE})"
    )
    listing = commands.add_parser("list", help="show the queue", description="Show the queue, the costliest first.")
    listing.add_argument(
        "--state", action="append", choices=list(State), help="again for more (default: open and claimed)"
    )
    listing.add_argument("--mine", action="store_true", help="only those that you hold or decided")
    listing.add_argument("--key", metavar="ID", help="only those of this id of the stream's key")
    listing.add_argument("--limit", type=int, default=LIMIT, metavar="N", help=f"at most so many (default: {LIMIT})")
    listing.add_argument("--after", default="", metavar="CURSOR", help="the next page")
    show = commands.add_parser("show", help="show a case with its decisions and history", description="Show a case.")
    claim = commands.add_parser("claim", help="hold a case", description="Hold a case: nobody else can claim it.")
    release = commands.add_parser("release", help="give a case back to the queue", description="Give a case back.")
    release.add_argument("--force", action="store_true", help="also from somebody else who holds it")
    note = commands.add_parser("note", help="add a note", description="Add a note to a case.")
    verdict = commands.add_parser(
        "verdict", help="say what it was, or correct that", description="Give a verdict on a case that you hold."
    )
    for command in (show, claim, release, note, verdict):
        command.add_argument("id", metavar="ID", help="of the case; `weir cases list` shows it")
    note.add_argument("text", metavar="TEXT")
    verdict.add_argument("verdict", choices=list(Verdict), help="what it was")
    verdict.add_argument("--why", required=True, metavar="TEXT", help="the reason, for those who look later")
    for command in (listing, show):
        command.add_argument("--json", action="store_true", help="for machines")
    for command in (follow, listing, show, claim, release, note, verdict):
        add_stream_flag(command)
    return parser
