"""Proposes, approves and rejects: what commands do, and what a process that serves does.

A proposal may be approved while what it was made for is in force. Of rules and of lists that are published as a whole
that is the content; of a change of lists it is what the lists say of its entries, as others change lists all day.
"""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Sequence
from typing import Final, Literal

from weir.inference.core.lists import Lists
from weir.inference.published.act import Act, Kind, compute_hash
from weir.inference.published.author import check_said
from weir.inference.published.content import read_json, write_lists
from weir.inference.published.gate import Trial, show_trial
from weir.inference.published.lists_change import (
    cut_to_change,
    plan_document,
    publish_lists_change,
    read_lists_in_force,
)
from weir.inference.published.proposals.book import Proposed
from weir.inference.published.proposals.record import Proposal, Rejection
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused

Cause = Literal["unknown_proposal", "own_proposal", "proposal_closed", "proposal_outdated"]
SETTLED_WHY_MAX: Final = 500
"""Characters of why something is approved or rejected: the act has it next to why it was proposed."""
_WHY_MAX: Final = 1_000
ID_DIGITS: Final = 8
"""Of a proposal's id, in commands."""
_WAITS_MS: Final = 7 * DAY_MS
"""Then it ends: nobody approves what they were asked for long ago."""


class NotSettled(Refused):
    """A proposal that is neither approved nor rejected; the message says why.

    Attributes:
        cause: stable machine-readable word.
    """

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def needs_two(settings: Settings, before: Lists, after: Lists) -> bool:
    """Tell whether a change of lists needs two people: each does, or what adds to an allow list."""
    asked = settings.publishing.four_eyes
    return "lists" in asked or ("allow" in asked and _adds_to_allow(before, after))


def _adds_to_allow(before: Lists, after: Lists) -> bool:
    """Tell whether an allow list gets an entry, or has one for longer than before.

    Cost: of long allow lists a comparison of two sets.
    """
    for kind, listed in after.allow.items():
        if listed - before.allow.get(kind, frozenset()):
            return True
        for entry in listed & before.notes.get(("allow", kind), {}).keys():  # others had no end
            ended, ends = (lists.note("allow", kind, entry).until_ms for lists in (before, after))
            if ended and (not ends or ends > ended):
                return True
    return False


def propose(
    settings: Settings,
    publisher: Publisher,
    kind: Literal["rules", "lists"],
    texts: Sequence[str],
    *,
    change: bool = False,
    label: str = "",
    trial: Trial | None = None,
) -> Proposal:
    """Propose what was checked and tried; nothing of it is in force.

    Args:
        settings: of the stream.
        publisher: who and why are its.
        kind: of the text.
        texts: its parts, or one document of a change of lists.
        change: whether it is one.
        label: what decisions will call it.
        trial: for who approves it.

    Raises:
        Refused: it is too long.
        Transient: the brokers did not take it.
    """
    placed = publisher.place(kind, texts)
    if change and placed.text is None:
        raise Refused("lists: expected a change that fits into a record, found a longer one; publish the lists whole")
    proposal = Proposal(
        id=uuid.uuid4().hex,
        kind=kind,
        action="change" if change else "publish",
        hash=placed.content,
        label=label,
        base=_find_base(settings, publisher, kind, texts[0] if change else ""),
        until_ms=int(time.time() * 1_000) + _WAITS_MS,
        who=publisher.who,
        why=publisher.why,
        text=placed.text,
        parts=placed.parts,
        trial=None if trial is None else show_trial(trial),
    )
    publisher.write_record(proposal)
    return proposal


def approve(settings: Settings, publisher: Publisher, kind: Kind, named: str, *, who: str, why: str) -> Act:
    """Put a proposal in force.

    Args:
        settings: of the stream.
        publisher: that has read what is published.
        kind: of the proposal.
        named: its id, or the beginning of one.
        who: approves it.
        why: for who reads the history.

    Raises:
        NotSettled: there is no such proposal, it is their own, it waits no more, or its base is another one.
        Refused: it is not right for the stream as it is declared now, or who or why is empty or too long.
        Transient: the brokers did not take it.
    """
    check_said(who, why, why_max=SETTLED_WHY_MAX)
    proposal = _find_approvable(settings, publisher, kind, named, who)
    publisher.who, publisher.why = who, _say_both(proposal, why)
    try:
        if proposal.action == "change":
            planned = plan_document(settings, publisher, read_json(proposal.text or "", kind))
            act = publish_lists_change(publisher, planned, act_id=proposal.id)
        else:
            act = publisher.put(proposal)
    except Refused:
        _find_approvable(settings, publisher, kind, proposal.id, who)  # it says who was quicker
        raise
    if act not in (logged.act for logged in reversed(publisher.log.history(kind))):
        raise _say_closed(proposal, "approved")  # by somebody who was quicker
    return act


def reject(publisher: Publisher, kind: Kind, named: str, *, who: str, why: str) -> Proposal:
    """Say no to a proposal, which its author may do too; raises as ``approve``."""
    check_said(who, why, why_max=SETTLED_WHY_MAX)
    proposal = _find_waiting(publisher, kind, named)
    rejection = Rejection(id=uuid.uuid4().hex, of=proposal.id, kind=proposal.kind, who=who, why=why)
    publisher.write_record(rejection)
    found = publisher.log.proposals.find(kind, proposal.id)
    if found is None or found.rejected is None or found.rejected[0].id != rejection.id:
        raise _say_closed(proposal, "settled")
    return proposal


def is_outdated(settings: Settings, publisher: Publisher, proposal: Proposal) -> bool:
    """Tell whether what a proposal was made for is no longer in force.

    Raises:
        Refused: a change of lists is none.
    """
    text = (proposal.text or "") if proposal.action == "change" else ""
    return _find_base(settings, publisher, proposal.kind, text) != proposal.base


def find_proposal(publisher: Publisher, kind: Kind, named: str) -> Proposed:
    """Return the proposal that an id, or the beginning of one, names.

    Raises:
        NotSettled: none or several.
    """
    found = publisher.log.proposals.find(kind, named)
    if found is None:
        there = ", ".join(each.proposal.id[:ID_DIGITS] for each in publisher.log.proposals.list(kind)[:10])
        raise NotSettled("unknown_proposal", f"expected the id of a proposal of {kind} ({there or 'there is none'}), "
                         "found another")  # fmt: skip
    return found


def _find_approvable(settings: Settings, publisher: Publisher, kind: Kind, named: str, who: str) -> Proposal:
    proposal = _find_waiting(publisher, kind, named)
    if _is_same(who, proposal.who):
        raise NotSettled("own_proposal", f"expected another person than {proposal.who} to approve what they proposed, "
                         "found the same; ask a colleague")  # fmt: skip
    if is_outdated(settings, publisher, proposal):
        raise NotSettled("proposal_outdated", f"expected in force what {proposal.version} was proposed for, found "
                         f"other {kind}: look at them, then propose it once more")  # fmt: skip
    return proposal


def _find_waiting(publisher: Publisher, kind: Kind, named: str) -> Proposal:
    found = find_proposal(publisher, kind, named)
    if (state := publisher.log.proposals.state(found, int(time.time() * 1_000))) != "waiting":
        raise _say_closed(found.proposal, state)
    return found.proposal


def _say_closed(proposal: Proposal, state: str) -> NotSettled:
    said = f"expected a proposal that waits, found {proposal.id[:ID_DIGITS]} {state}"
    return NotSettled("proposal_closed", f"{said}; propose it once more if it is still wanted")


def _say_both(proposal: Proposal, why: str) -> str:
    """Return why something is in force: what its author said, as far as it fits, and who approves it."""
    end = f" (proposed by {proposal.who}; approved: {why})"
    room = _WHY_MAX - len(end)
    said = proposal.why if len(proposal.why) <= room else f"{proposal.why[: room - 1]}…"
    return said + end


def _is_same(one: str, other: str) -> bool:
    """Tell whether two names are of one person: case, width and spaces make no other."""
    first, second = (unicodedata.normalize("NFKC", name).casefold().split() for name in (one, other))
    return first == second


def _find_base(settings: Settings, publisher: Publisher, kind: Kind, change: str) -> str:
    """Return what a proposal is made for: a content, or of a change what the lists say of its entries."""
    if not change:
        return publisher.standing.content(kind)
    lists = read_lists_in_force(settings, publisher)
    return compute_hash(write_lists(cut_to_change(lists, read_json(change, kind))))
