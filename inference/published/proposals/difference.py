"""What a proposal would change: lines for who approves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weir.inference.core.lists import SIDES, Lists, ListsBuilder, write_entry
from weir.inference.published.content import change_lists, read_json
from weir.inference.published.diff import cut_lines, diff_texts, read_content
from weir.inference.published.lists_change import cut_to_change, read_lists_in_force
from weir.inference.published.proposals.book import Proposed
from weir.inference.published.proposals.record import Proposal
from weir.inference.published.proposals.settling import is_outdated
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings


def list_proposals(
    settings: Settings, publisher: Publisher, kind: Any, now_ms: int, *, proposals_max: int
) -> list[dict[str, Any]]:
    """Return the proposals of a kind, the newest first, those that wait with what they would change.

    Raises:
        Refused: a text is no longer there.
        Transient: the brokers did not answer in time.
    """
    found = publisher.log.proposals.list(kind)[:proposals_max]
    return [describe(settings, publisher, each, now_ms) for each in found]


def describe(settings: Settings, publisher: Publisher, proposed: Proposed, now_ms: int) -> dict[str, Any]:
    """Return how a proposal stands; raises as ``list_proposals``."""
    proposal, rejected = proposed.proposal, proposed.rejected
    state = publisher.log.proposals.state(proposed, now_ms)
    waits = state == "waiting"
    approved = next((each for each in publisher.log.history(proposal.kind) if each.act.id == proposal.id), None)
    settled: dict[str, Any] = {"settled_by": None, "settled_why": None, "settled_ms": None}
    if approved is not None:
        settled = {"settled_by": approved.act.who, "settled_why": approved.act.why, "settled_ms": approved.at_ms}
    elif rejected is not None:
        settled = {"settled_by": rejected[0].who, "settled_why": rejected[0].why, "settled_ms": rejected[1]}
    return {
        "id": proposal.id,
        "version": proposal.version,
        "action": proposal.action,
        "state": "outdated" if waits and is_outdated(settings, publisher, proposal) else state,
        "at_ms": proposed.at_ms,
        "until_ms": proposal.until_ms,
        "who": proposal.who,
        "why": proposal.why,
        "trial": proposal.trial,
        "diff": _list_difference(settings, publisher, proposal) if waits else [],
        **settled,
    }


def _list_difference(settings: Settings, publisher: Publisher, proposal: Proposal) -> list[str]:
    """Return what a proposal would change of what is in force; raises as ``list_proposals``."""
    if proposal.kind == "rules":
        name, before = read_content(settings.stream, publisher, "rules", publisher.standing.content("rules"))
        return diff_texts(before, "".join(publisher.read_proposed(proposal)), name, proposal.version)
    if proposal.action == "change":
        document = read_json(proposal.text or "", "lists")
        cut = cut_to_change(read_lists_in_force(settings, publisher), document)
        return cut_lines(_compare(cut, change_lists(cut, document, settings.stream.id_field_of)))
    builder = ListsBuilder(tuple(settings.stream.id_field_of))
    for text in publisher.read_proposed(proposal):
        builder.add(read_json(text, "lists"))
    return cut_lines(_compare(read_lists_in_force(settings, publisher), builder.build(proposal.version)))


def _compare(before: Lists, after: Lists) -> Iterator[str]:
    """Yield every entry that goes, comes, or gets another note."""
    for side in SIDES:
        for entity in sorted({*before.of(side), *after.of(side)}):
            old, new = (lists.of(side).get(entity, frozenset()) for lists in (before, after))
            noted = {*before.notes.get((side, entity), ()), *after.notes.get((side, entity), ())} & old & new
            others = {entry for entry in noted if before.note(side, entity, entry) != after.note(side, entity, entry)}
            for sign, lists, entries in (("-", before, (old - new) | others), ("+", after, (new - old) | others)):
                for entry in sorted(entries):
                    yield f"{sign} {side} {entity} {_write_entry(write_entry(entry, lists.note(side, entity, entry)))}"


def _write_entry(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    notes = [entry.get("reason", ""), entry.get("source", ""), f"until {entry['until']}" if "until" in entry else ""]
    return f"{entry['entry']} ({'; '.join(filter(None, notes))})"
