"""``weir rules``, ``weir lists`` and ``weir thresholds``: publish what decides, show it, and take it back.

Every process that decides takes a version over within five seconds, between two batches. What is published whole is
tried on the past before, by what the command line gives for that. Results go to stdout. Exit
codes: 0 done or shown, 1 failed, 2 refused or misused: nothing was published then.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from weir.inference import rules_cli
from weir.inference.core.lists import SIDES, Lists, Note, parse_lists, write_entry
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.published.act import NONE, Act, Kind
from weir.inference.published.author import add_force_flag, check_said, find_user, may_publish
from weir.inference.published.content import parse_text, read_json, write_json, write_lists
from weir.inference.published.diff import read_content
from weir.inference.published.files import read_file
from weir.inference.published.gate import Trial
from weir.inference.published.lists_change import (
    ListsAction,
    plan_lists_change,
    publish_lists_change,
    read_lists,
    read_lists_in_force,
)
from weir.inference.published.proposals.difference import describe, list_proposals
from weir.inference.published.proposals.record import Proposal
from weir.inference.published.proposals.settling import approve, find_proposal, needs_two, propose, reject
from weir.inference.published.publish import Publisher
from weir.inference.published.view import (
    show_act,
    show_diff,
    show_history,
    show_lists,
    show_lists_change,
    show_proposals,
    show_proposed,
    show_text,
    show_unpublished,
)
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.settings import Settings, load_settings
from weir.monitoring import logs
from weir.schemas.errors import Refused
from weir.schemas.project import find_stream
from weir.schemas.rules import parse_time_ms

_WHAT: dict[Kind, str] = {
    "rules": "the rules of a stream: check and test a file, publish it, show it, and take it back",
    "lists": "the allow, block and watch lists of a stream: publish a file, add and remove entries, take it back",
    "thresholds": "the scores from which on a stream's events are reviewed or declined, for all or by segment",
}
PROPOSALS_MAX = 100
"""Newest ones that are listed."""
Command = Callable[[argparse.Namespace, "Publisher"], int]
Tried = RuleSet | Lists | ThresholdTable


class TryFirst(Protocol):
    """Tries what is to be published."""

    def __call__(self, settings: Settings, kind: str, content: Tried, before: Tried | None, *, quiet: bool) -> Trial:
        """Return what the trial came to."""
        ...


def main(argv: list[str], try_first: TryFirst | None = None) -> int:
    """Run one of the three verbs; without something that tries, what is published is not tried."""
    kind: Kind = argv[0]  # type: ignore[assignment]  # the command line sends these three here
    arguments = _build_parser(kind).parse_args(argv[1:])
    if hasattr(arguments, "of_file"):
        return rules_cli.run(arguments)
    settings = load_settings().of_stream(find_stream(Path.cwd(), arguments.stream))
    logs.configure("warning", settings.monitoring.log_format, kind)
    who, why = getattr(arguments, "who", ""), getattr(arguments, "why", "")
    if hasattr(arguments, "who"):
        who = who or find_user()
        check_said(who, why)
    arguments.kind, arguments.settings, arguments.try_first = kind, settings, try_first
    with Publisher(settings, read_rules, who=who, why=why) as publisher:
        command: Command = arguments.command
        return command(arguments, publisher)


def _publish(arguments: argparse.Namespace, publisher: Publisher) -> int:
    kind, text = arguments.kind, read_file(arguments.file, arguments.kind)
    name, before = _current(arguments, publisher)
    found = parse_text(kind, text, arguments.settings.stream, read_rules, version="", name=str(arguments.file))
    trial = _try(arguments, publisher, found, _find_in_force(arguments, publisher))
    label = "" if found.version == NONE else found.version
    done: Act | Proposal
    if kind == "rules" and kind in arguments.settings.publishing.four_eyes:
        done = _propose(arguments, publisher, [text], trial, label=label)
    else:
        done = publisher.publish(kind, [text], label)
        show_act(done, as_json=arguments.json)
    show_diff(before, text, (name, done.version), as_json=arguments.json)
    return 0


def _publish_lists(arguments: argparse.Namespace, publisher: Publisher) -> int:
    settings = arguments.settings
    document = read_json(read_file(arguments.file, "lists"), str(arguments.file))
    before, after = read_lists_in_force(settings, publisher), parse_lists(document, tuple(settings.stream.id_field_of))
    trial = _try(arguments, publisher, after, before)
    if needs_two(settings, before, after):
        _propose(arguments, publisher, write_lists(after), trial)
    else:
        show_act(publisher.publish("lists", write_lists(after)), as_json=arguments.json)
    show_lists_change(before, after, as_json=arguments.json)
    return 0


def _propose(
    arguments: argparse.Namespace, publisher: Publisher, texts: Sequence[str], trial: Trial | None, **more: Any
) -> Proposal:
    proposal = propose(arguments.settings, publisher, arguments.kind, texts, trial=trial, **more)
    show_proposed(proposal, as_json=arguments.json)
    return proposal


def _try(arguments: argparse.Namespace, publisher: Publisher, content: Tried, before: Tried | None) -> Trial | None:
    """Try what is to be published; None where nothing tries.

    Raises:
        Refused: a gate is not passed, and nothing forces it.
    """
    if arguments.try_first is None:
        return None
    kind = arguments.kind
    trial: Trial = arguments.try_first(arguments.settings, kind, content, before, quiet=arguments.json)
    if not may_publish(publisher, [name for name, _ in trial.failed], arguments.force):
        advice = "change them, or say why they are right with --force WHY"
        raise Refused("\n".join([*(found for _, found in trial.failed), f"{kind}: nothing was published; {advice}"]))
    return trial


def _add(arguments: argparse.Namespace, publisher: Publisher) -> int:
    note = Note(arguments.reason, arguments.source, arguments.until)
    return _change(arguments, publisher, "add", [write_entry(entry, note) for entry in arguments.entry])


def _remove(arguments: argparse.Namespace, publisher: Publisher) -> int:
    return _change(arguments, publisher, "remove", arguments.entry)


def _change(arguments: argparse.Namespace, publisher: Publisher, action: ListsAction, entries: Sequence[object]) -> int:
    change = plan_lists_change(arguments.settings, publisher, action, arguments.list, arguments.entity, entries)
    trial = _try(arguments, publisher, change.after, change.before)
    if needs_two(arguments.settings, change.before, change.after):
        _propose(arguments, publisher, [write_json(change.document)], trial, change=True)
    else:
        show_act(publish_lists_change(publisher, change), as_json=arguments.json)
    show_lists_change(change.before, change.after, as_json=arguments.json)
    return 0


def _list_proposals(arguments: argparse.Namespace, publisher: Publisher) -> int:
    kind, now_ms = arguments.kind, int(time.time() * 1_000)
    if arguments.proposal:
        found = [describe(arguments.settings, publisher, find_proposal(publisher, kind, arguments.proposal), now_ms)]
    else:
        found = list_proposals(arguments.settings, publisher, kind, now_ms, proposals_max=PROPOSALS_MAX)
    show_proposals(found, whole=bool(arguments.proposal), as_json=arguments.json)
    return 0


def _approve(arguments: argparse.Namespace, publisher: Publisher) -> int:
    who, why = publisher.who, publisher.why
    act = approve(arguments.settings, publisher, arguments.kind, arguments.proposal, who=who, why=why)
    show_act(act, as_json=arguments.json)
    return 0


def _reject(arguments: argparse.Namespace, publisher: Publisher) -> int:
    proposal = reject(publisher, arguments.kind, arguments.proposal, who=publisher.who, why=publisher.why)
    show_proposed(proposal, as_json=arguments.json, rejected=True)
    return 0


def _history(arguments: argparse.Namespace, publisher: Publisher) -> int:
    kind = arguments.kind
    in_force = publisher.standing.content(kind)
    show_history(publisher.log.history(kind), in_force, publisher.refused, as_json=arguments.json)
    return 0


def _show(arguments: argparse.Namespace, publisher: Publisher) -> int:
    kind, log = arguments.kind, publisher.log
    content = log.find(kind, arguments.version) if arguments.version else publisher.standing.content(kind)
    if kind == "lists":
        lists = read_lists(arguments.settings, publisher, content)
        show_lists(lists, limit=arguments.limit, as_json=arguments.json)
    elif content == NONE:
        show_unpublished(kind, arguments.settings.stream, as_json=arguments.json)
    else:
        show_text(kind, log.version(kind, content), publisher.read_text(kind, content), as_json=arguments.json)
    return 0


def _diff(arguments: argparse.Namespace, publisher: Publisher) -> int:
    kind = arguments.kind
    in_force = publisher.log.version(kind, publisher.standing.content(kind))
    names = arguments.version or in_force, arguments.other or in_force
    first, second = (_read_side(arguments, name, publisher) for name in names)
    show_diff(first, second, names, as_json=arguments.json)
    return 0


def _read_side(arguments: argparse.Namespace, given: str, publisher: Publisher) -> str:
    kind = arguments.kind
    if Path(given).is_file():
        return read_file(Path(given), kind)
    return _read_content(arguments, publisher.log.find(kind, given), publisher)[1]


def _roll_back(arguments: argparse.Namespace, publisher: Publisher) -> int:
    kind = arguments.kind
    content = publisher.log.find(kind, arguments.version)
    if kind == "lists":
        before = read_lists_in_force(arguments.settings, publisher)
        after = read_lists(arguments.settings, publisher, content)
        show_act(publisher.roll_back(kind, content), as_json=arguments.json)
        show_lists_change(before, after, as_json=arguments.json)
        return 0
    name, before_text = _current(arguments, publisher)
    act = publisher.roll_back(kind, content)
    show_act(act, as_json=arguments.json)
    after_name, after_text = _read_content(arguments, content, publisher)
    show_diff(before_text, after_text, (name, after_name), as_json=arguments.json)
    return 0


def _find_in_force(arguments: argparse.Namespace, publisher: Publisher) -> Tried | None:
    """Return the rules or thresholds that decide now; None where the thresholds are those of the model."""
    if arguments.kind == "rules":
        return publisher.standing.rules or rules_of(arguments.settings.stream)
    return publisher.standing.thresholds


def _current(arguments: argparse.Namespace, publisher: Publisher) -> tuple[str, str]:
    return _read_content(arguments, publisher.standing.content(arguments.kind), publisher)


def _read_content(arguments: argparse.Namespace, content: str, publisher: Publisher) -> tuple[str, str]:
    return read_content(arguments.settings.stream, publisher, arguments.kind, content)


def _build_parser(kind: Kind) -> argparse.ArgumentParser:
    parser = Parser(prog=f"weir {kind}", description=_WHAT[kind])
    actions: dict[str, tuple[Command, str]] = {
        "publish": (_publish_lists if kind == "lists" else _publish, f"put a file of {kind} in force"),
        "rollback": (_roll_back, "put an older version in force again; `none` is what is not published"),
        "history": (_history, "every version, oldest first: who, when and why"),
        "show": (_show, "a version; the one in force by default"),
    }
    if kind == "lists":
        actions["add"] = (_add, "add entries to a list")
        actions["remove"] = (_remove, "take entries out of a list")
    else:
        actions["diff"] = (_diff, "what differs between two versions, or a version and a file")
    if kind != "thresholds":
        actions["proposals"] = (_list_proposals, "what one person proposed, and one of them with what it would change")
        actions["approve"] = (_approve, "put in force what another person proposed")
        actions["reject"] = (_reject, "say no to a proposal")
    of_file = ["check", "test"] if kind == "rules" else []
    verbs = parser.add_subparsers(required=True, metavar="|".join([*of_file, *actions]))
    if of_file:
        rules_cli.add_commands(verbs)
    for name, (command, text) in actions.items():
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(command=command)
        add_stream_flag(verb)
        verb.add_argument("--json", action="store_true", help="JSON on stdout")
        _add_arguments(verb, name, kind)
        if name in {"proposals", "approve", "reject"}:
            optional = "?" if name == "proposals" else None
            verb.add_argument("proposal", metavar="ID", nargs=optional, default="", help="of a proposal, or its start")
    return parser


def _add_arguments(verb: argparse.ArgumentParser, name: str, kind: Kind) -> None:
    if name == "publish":
        verb.add_argument("file", metavar="FILE", type=Path)
    if name in {"add", "remove"}:
        verb.add_argument("list", choices=SIDES)
        verb.add_argument("entity", metavar="ENTITY", help="such as card; of the stream")
        verb.add_argument("entry", metavar="ID", nargs="+")
    if name == "add":
        verb.add_argument("--reason", default="", help="for who reads a decision")
        verb.add_argument("--source", default="", help="where it is known from")
        until = "records that are appended from then on are no longer meant; ISO 8601"
        verb.add_argument("--until", default=0, type=parse_time_ms, metavar="TIME", help=until)
    if name in {"publish", "rollback", "add", "remove", "approve", "reject"}:
        verb.add_argument("--why", required=True, help="for who reads the history")
        verb.add_argument("--who", default="", help="who publishes (default: this machine's user)")
    if name in {"publish", "add", "remove"}:
        add_force_flag(verb)
    if name in {"show", "diff"}:
        verb.add_argument("version", metavar="VERSION", nargs="?", default="", help="or the beginning of one")
    if name == "diff":
        verb.add_argument("other", metavar="VERSION|FILE", nargs="?", default="", help="(default: what is in force)")
    if name == "rollback":
        verb.add_argument(
            "version", metavar="VERSION", help="or the beginning of one; `none` for what is not published"
        )
    if name == "show" and kind == "lists":
        verb.add_argument("--limit", type=int, default=50, help="show so many entries; 0 for all (default 50)")
