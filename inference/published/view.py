"""What the commands print: acts, versions and what differs between them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from weir.inference.core.lists import SIDES, Lists, write_entry
from weir.inference.published.act import Act, Kind, Logged
from weir.inference.published.proposals.record import Proposal
from weir.inference.published.proposals.settling import ID_DIGITS
from weir.inference.rule_sets import rules_of
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.printable import escape, to_json
from weir.schemas.rules_text import write_rules
from weir.schemas.stream import Stream

_UNPUBLISHED: dict[Kind, str] = {
    "rules": "the stream's declared rules are in force",
    "lists": "the lists file is in force",
    "thresholds": "the thresholds of the model in force are used",
    "champion": "the bundle that the champion link names decides",
    "shadow": "no model is scored next to the champion",
    "canary": "the champion decides for all keys",
}
_APPROVES = {"rules": "`weir rules approve ID --why WHY`", "lists": "`weir lists approve ID --why WHY`"}
_HISTORY_COLUMNS = ("version", "at", "who", "action", "state", "why")


def show_act(act: Act, *, as_json: bool) -> None:
    """Say what was done."""
    if as_json:
        _write_json({"kind": act.kind, "version": act.version, "action": act.action, "who": act.who, "why": act.why})
        return
    done = {"publish": "published", "change": "changed", "rollback": "rolled back"}[act.action]
    print_line(f"{act.kind} {act.version} {done}: every process that decides takes it over within 5 s")


def show_proposed(proposal: Proposal, *, as_json: bool, rejected: bool = False) -> None:
    """Say what was proposed, or that it was rejected."""
    kind, version, name = proposal.kind, proposal.version, proposal.id[:ID_DIGITS]
    if as_json:
        action = "reject" if rejected else "propose"
        _write_json({"kind": kind, "version": version, "action": action, "proposal": proposal.id})
    elif rejected:
        print_line(f"{kind} {version}: proposal {name} is rejected")
    else:
        until = _format_time(proposal.until_ms)
        print_line(f"{kind} {version} proposed as {name} and not in force: another person approves it until {until} "
                   f"with {_APPROVES[kind]}")  # fmt: skip


def show_proposals(found: Sequence[Mapping[str, Any]], *, whole: bool, as_json: bool) -> None:
    """Show proposals, one line each; a whole one with what it would change."""
    if as_json:
        for each in found:
            _write_json(dict(each))
        return
    rows = [
        (
            each["id"][:ID_DIGITS],
            each["version"],
            _format_time(each["at_ms"]),
            each["who"],
            each["state"] if each["settled_by"] is None else f"{each['state']} by {each['settled_by']}",
            _format_time(each["until_ms"]),
            each["why"],
        )
        for each in found
    ]
    columns = ("id", "version", "at", "who", "state", "until", "why")
    print_tables([build_table(columns, rows, title="" if rows else "nothing was proposed")])
    for each in found if whole else ():
        _show_trial(each["trial"])
        for line in each["diff"]:
            print_line(escape(line))


def _show_trial(trial: Mapping[str, Any] | None) -> None:
    if trial is None:
        return
    if trial["note"]:
        print_line(f"not tried on the past: {trial['note']}")
    for each in trial["failed"]:
        print_line(f"not passed: {each['found']}")
    if figures := trial["figures"]:
        others = sum(figures["flips"].values())
        print_line(f"tried on {figures['judged']:,} decisions, of which {others:,} would be others")


def show_diff(before: str, after: str, names: tuple[str, str], *, as_json: bool) -> None:
    """Show which lines of a text differ."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    if as_json:
        _write_json({"diff": list(lines)})
        return
    for line in lines:
        print_line(line)


def show_lists_change(before: Lists, after: Lists, *, as_json: bool) -> None:
    """Show how many entries of each list were added and removed."""
    rows = []
    for side in SIDES:
        for entity in sorted({*before.of(side), *after.of(side)}):
            old, new = before.of(side).get(entity, frozenset()), after.of(side).get(entity, frozenset())
            added, removed = len(new - old), len(old - new)
            if old or new:
                rows.append((side, entity, len(new), added, removed))
    columns = ("list", "entity", "entries", "added", "removed")
    if as_json:
        _write_json({"lists": [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        print_tables([build_table(columns, rows)])


def show_history(acts: Sequence[Logged], in_force: str, refused: Mapping[str, str], *, as_json: bool) -> None:
    """Show every act, one line each."""
    used = next(
        (each.act.id for each in reversed(acts) if each.act.hash == in_force and each.act.id not in refused), ""
    )
    rows = [
        (
            each.act.version,
            _format_time(each.at_ms),
            each.act.who,
            each.act.action,
            refused.get(each.act.id) or ("in force" if each.act.id == used else ""),
            each.act.why,
        )
        for each in acts
    ]
    if as_json:
        for row in rows:
            _write_json(dict(zip(_HISTORY_COLUMNS, row, strict=True)))
    else:
        print_tables([build_table(_HISTORY_COLUMNS, rows, title="" if rows else "nothing was published")])


def show_lists(lists: Lists, *, limit: int, as_json: bool) -> None:
    """Show lists: as the document that publishes them, or for people how many entries there are and the first ones."""
    if as_json:
        _write_json({"version": lists.version} | {side: _write_side(lists, side) for side in SIDES})
        return
    counts = [(side, kind, len(listed)) for side in SIDES for kind, listed in sorted(lists.of(side).items()) if listed]
    print_tables([build_table(("list", "entity", "entries"), counts, title=f"lists {lists.version}")])
    entries = list(islice(_list_entries(lists), limit or None))
    if entries:
        print_tables([build_table(("list", "entity", "entry", "reason", "source", "until"), entries)])


def show_text(kind: Kind, version: str, text: str, *, as_json: bool) -> None:
    """Show the text of a version."""
    if as_json:
        _write_json({"kind": kind, "version": version, "text": text})
    else:
        sys.stdout.write(escape(text, keep="\n") + ("" if text.endswith("\n") else "\n"))


def show_unpublished(kind: Kind, stream: Stream, *, as_json: bool) -> None:
    """Say what is in force where nothing is published."""
    if as_json:
        _write_json({"kind": kind, "version": "none", "text": None})
        return
    print_line(f"# nothing is published: {_UNPUBLISHED[kind]}")
    if kind == "rules":  # a file to begin with
        sys.stdout.write(escape(write_rules(rules_of(stream).rules), keep="\n"))


def _list_entries(lists: Lists) -> Iterable[tuple[object, ...]]:
    for side in SIDES:
        for kind, listed in sorted(lists.of(side).items()):
            for entry in sorted(listed):
                note = lists.note(side, kind, entry)
                yield side, kind, entry, note.reason, note.source, _format_time(note.until_ms) if note.until_ms else ""


def _write_side(lists: Lists, side: str) -> dict[str, list[Any]]:
    return {
        kind: [write_entry(entry, lists.note(side, kind, entry)) for entry in sorted(listed)]
        for kind, listed in sorted(lists.of(side).items())
        if listed
    }


def _write_json(document: dict[str, Any]) -> None:
    sys.stdout.write(to_json(document) + "\n")


def _format_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
