"""``weir cases``: follow decisions into cases, or open one by hand; list, claim, link and decide these."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from weir.cases.adding import Added
from weir.cases.case import Case, Review, State, Verdict
from weir.cases.desk import Desk, UnknownCase, UnknownEvent
from weir.cases.page import build_case, build_file, print_cases, print_file
from weir.cases.queue import LIMIT, LIMIT_MAX, Wanted, read_cursor
from weir.cases.words import check_text
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings, load_settings
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused, WeirError
from weir.schemas.masking import is_issued_card_number
from weir.schemas.printable import escape, to_json
from weir.schemas.project import find_stream
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

SINCE = "7d"
_MINUTE_MS = 60_000
Archived = Callable[[str, str], bytes | None]
"""Returns the evidence on an event of a stream as JSON bytes, or nothing where it is not archived."""


def main(argv: Sequence[str], archived: Archived | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 not as it is now, or nobody answers, 2 misused or refused.

    Args:
        argv: with the verb first.
        archived: for events that the index has no more; None without an archive.
    """
    arguments = _build_parser().parse_args(argv[1:])
    settings = load_settings()
    settings = settings.of_stream(find_stream(Path.cwd(), arguments.stream))
    if arguments.command == "follow":
        return _follow(settings, arguments)
    with closing(_build_desk(settings, archived)) as desk:
        try:
            _work(desk, arguments)
        except UnknownEvent:
            raise WeirError(
                f"no decision on this {settings.stream.event}: not decided yet, unknown, or too old for the index and "
                f"not archived; `weir inspect decision --stream {settings.stream.name} ID` may say more"
            ) from None
        except UnknownCase:
            raise Refused(
                f"expected the id of a case of {escape(settings.stream.name)}, found another text; "
                "`weir cases list` shows the ids"
            ) from None
    return 0


def _build_desk(settings: Settings, archived: Archived | None) -> Desk:
    past = None if archived is None else partial(archived, settings.stream.name)
    return Desk(
        partial(open_database, settings),
        settings.stream,
        lambda: int(time.time() * 1_000),
        find=partial(_find, settings, past),
        burst_ms=settings.scorer.case_burst_minutes * _MINUTE_MS,
    )


def _find(settings: Settings, past: Callable[[str], bytes | None] | None, event_id: str) -> Review | None:
    """Find the decision on an event; raises as ``Finder.find``."""
    from weir.cases.finding import build_finder  # noqa: PLC0415 - who works on cases that are there needs no Kafka
    from weir.inference.index import DecisionReader  # noqa: PLC0415 - and no Redis
    from weir.infra.redis.client import connect  # noqa: PLC0415

    with closing(connect(settings.redis)) as client:
        return build_finder(settings, DecisionReader(client, space=settings.key_space).read, past).find(event_id)


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
    if arguments.command == "open":
        why = check_text(arguments.why, "--why")
        said = _describe_added(desk.open(_check_id(arguments.event, desk.stream), getpass.getuser(), why))
    else:
        said = _describe(_change(desk, arguments))
    sys.stdout.write(said + "\n")


def _describe_added(added: Added) -> str:
    if added.is_new:
        return _describe(added.case)
    corrected = "; another verdict corrects it" if added.case.verdict is not None else ""
    return f"it is in a case already: {_describe(added.case)}{corrected}"


def _check_id(event_id: str, stream: Stream) -> str:
    """Return the id of an event.

    Raises:
        Refused: no event has such an id.
    """
    # bytes of another encoding come from the command line as surrogates, which no id of ours can hold
    size = len(event_id.encode(errors="ignore"))
    if not 0 < size <= ID_BYTES_MAX or size < len(event_id):
        raise Refused(f"expected the id of a {stream.event} of 1 to {ID_BYTES_MAX} bytes of UTF-8")
    if is_issued_card_number(event_id):
        raise Refused(f"expected the id of a {stream.event}, found a card number")
    return event_id


def _change(desk: Desk, arguments: argparse.Namespace) -> Case:
    by = getpass.getuser()
    if arguments.command == "claim":
        return desk.claim(arguments.id, by)
    if arguments.command == "release":
        return desk.release(arguments.id, by, force=arguments.force)
    if arguments.command == "link":
        event_id = _check_id(arguments.event, desk.stream)
        return desk.link(arguments.id, event_id, by, check_text(arguments.why, "--why"))
    if arguments.command == "unlink":
        return desk.unlink(arguments.id, _check_id(arguments.event, desk.stream), by)
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
    if arguments.event and not arguments.state:
        states = frozenset()  # the one case that it is in, whatever its state
    return Wanted(
        states, holder=holder, key=arguments.key, limit=arguments.limit, after=after, event=arguments.event or None
    )


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir cases", description="Decisions that people look at: follow them, give verdicts.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = _add_reading(commands)
    show = commands.add_parser("show", help="show a case with its decisions and history", description="Show a case.")
    opening = commands.add_parser(
        "open", help="open a case of an event, whatever was decided", description="Open a case of an event."
    )
    claim = commands.add_parser("claim", help="hold a case", description="Hold a case: nobody else can claim it.")
    release = commands.add_parser("release", help="give a case back to the queue", description="Give a case back.")
    release.add_argument("--force", action="store_true", help="also from somebody else who holds it")
    note = commands.add_parser("note", help="add a note", description="Add a note to a case.")
    link = commands.add_parser("link", help="link a case to another event", description="Link a case to another event.")
    unlink = commands.add_parser("unlink", help="take a link away", description="Take a link of a case away.")
    verdict = commands.add_parser(
        "verdict", help="say what it was, or correct that", description="Give a verdict on a case that you hold."
    )
    for command in (show, claim, release, note, link, unlink, verdict):
        command.add_argument("id", metavar="ID", help="of the case; `weir cases list` shows it")
    for command in (opening, link, unlink):
        command.add_argument("event", metavar="EVENT", help="id of the event, such as a transaction")
    note.add_argument("text", metavar="TEXT")
    verdict.add_argument("verdict", choices=list(Verdict), help="what it was")
    for command in (opening, link, verdict):
        command.add_argument("--why", required=True, metavar="TEXT", help="the reason, for those who look later")
    for command in (listing, show):
        command.add_argument("--json", action="store_true", help="for machines")
    for command in (listing, show, opening, claim, release, note, link, unlink, verdict):
        add_stream_flag(command)
    return parser


def _add_reading(commands: Any) -> Parser:
    """Add the follower and the queue; return the latter.

    Args:
        commands: of argparse, whose type has no public name.
    """
    text = "open cases of decisions for review and of alerts, and send verdicts as labels"
    follow = commands.add_parser("follow", help=text, description="Follow decisions.")
    follow.add_argument("--instance", type=int, default=0, metavar="N", help="ordinal, unique per running process")
    follow.add_argument("--metrics-port", type=int, help="serve Prometheus metrics here (default: settings)")
    follow.add_argument(
        "--since", default=SINCE, metavar="TIME", help=f"how far back the first start goes (default: {SINCE})"
    )
    add_stream_flag(follow)
    listing: Parser = commands.add_parser(
        "list", help="show the queue", description="Show the queue, the costliest first."
    )
    listing.add_argument(
        "--state", action="append", choices=list(State), help="again for more (default: open and claimed)"
    )
    listing.add_argument("--mine", action="store_true", help="only those that you hold or decided")
    listing.add_argument("--key", metavar="ID", help="only those of this id of the stream's key")
    listing.add_argument("--event", default="", metavar="ID", help="the case of this event, whatever its state")
    listing.add_argument("--limit", type=int, default=LIMIT, metavar="N", help=f"at most so many (default: {LIMIT})")
    listing.add_argument("--after", default="", metavar="CURSOR", help="the next page")
    return listing
