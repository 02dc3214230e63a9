"""Lists of a stream for a process that serves: shown, tried on the past and changed entry by entry, and taken back.

It is the code of ``weir lists``. A change that was tried is made on top of what others changed meanwhile: who changes
lists all the time must not keep another one from it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from weir.inference.core.lists import SIDES, Lists, Note, write_entry
from weir.inference.published.act import NONE
from weir.inference.published.author import check_said
from weir.inference.published.change_desk import ChangeDesk
from weir.inference.published.content import write_json
from weir.inference.published.gate import show_trial
from weir.inference.published.lists_change import (
    ListsAction,
    ListsChange,
    plan_lists_change,
    publish_lists_change,
    read_lists,
    read_lists_in_force,
)
from weir.inference.published.opened import (
    NOTHING_DONE,
    describe_act,
    describe_proposal,
    find_version,
    list_acts,
)
from weir.inference.published.proposals.settling import needs_two, propose
from weir.inference.published.trials import check_passed
from weir.schemas.errors import Refused

KIND: Final = "lists"
SHOWN_MAX = 500
"""Entries of an answer."""
CHANGED_MAX = 1_000
"""Entries of a change; ``weir lists`` takes more."""


class ListsDesk(ChangeDesk):
    """The lists of a stream."""

    kind: ClassVar = KIND

    def show(
        self, side: str = "", entity: str = "", begins: str = "", limit: int = 100, version: str = ""
    ) -> dict[str, Any]:
        """Return the lists in force or those of a version: how many entries, the first that fit, and every act.

        Args:
            side: one of ``SIDES``; all without it.
            entity: likewise, of the stream.
            begins: what the entries begin with.
            limit: of the entries that are shown, at most ``SHOWN_MAX``.
            version: or the beginning of one.

        Raises:
            UnknownVersion: there is no such version.
            Refused: the lists file is not right.
            Transient: the brokers did not answer in time.

        Cost: one look at each entry of the lists that fit; an older version is read from the topic for it.
        """
        with self._opened.use() as publisher:
            in_force = content = publisher.standing.content(KIND)
            if version:
                content = find_version(publisher, KIND, version)
            shown_now = content == in_force
            lists = (read_lists_in_force(self._settings, publisher) if shown_now
                     else read_lists(self._settings, publisher, content))  # fmt: skip
            acts = list_acts(publisher, KIND)
        limit = min(limit, SHOWN_MAX)
        wanted = [(name, kind) for name, kind in _list_kinds(lists) if side in ("", name) and entity in ("", kind)]
        found = _find_entries(lists, wanted, begins, limit + 1)
        return {
            "version": lists.version,
            "in_force": shown_now,
            "published": content != NONE,
            "counts": [
                {"side": name, "entity": kind, "count": len(lists.of(name)[kind])} for name, kind in _list_kinds(lists)
            ],
            "entries": found[:limit],
            "more": len(found) > limit,
            "history": acts,
        }

    def change(
        self,
        action: ListsAction,
        side: str,
        entity: str,
        entries: Sequence[str],
        note: Note,
        *,
        who: str,
        why: str,
        force: str,
    ) -> dict[str, Any]:
        """Add entries to a list, or take them out, tried first; an entry that is there takes the note given here.

        Where the project asks for two people, what adds to an allow list is proposed.

        Args:
            action: which of the two.
            side: one of ``SIDES``.
            entity: of the stream.
            entries: ids, 1 to ``CHANGED_MAX``.
            note: of each entry that is added.
            who: changes them.
            why: for who reads the history.
            force: why it is done though it goes too far.

        Returns:
            What was done; of a trial that is not done yet, that alone: ask again with the same change.

        Raises:
            NotPassed: it goes too far, and nothing forces it.
            Refused: an entry or the entity is not right, there are too many, or who or why is empty or too long.
            Transient: the brokers did not take it, or something else is being tried.
        """
        check_said(who, why)
        if not 0 < len(entries) <= CHANGED_MAX:
            raise Refused(f"lists: expected 1 to {CHANGED_MAX:,} entries, found {len(entries):,}")
        documents = [write_entry(entry, note if action == "add" else Note()) for entry in entries]
        with self._opened.use() as publisher:
            change = plan_lists_change(self._settings, publisher, action, side, entity, documents)
            before = publisher.standing.content(KIND)
        trial = self._trials.wait(KIND, write_json(change.document), before)
        if trial is None:
            return NOTHING_DONE | {"trial": show_trial(None)}
        with self._opened.use() as publisher:
            if publisher.standing.content(KIND) != before:
                change = plan_lists_change(self._settings, publisher, action, side, entity, documents)
            publisher.who, publisher.why = who, why
            check_passed(publisher, trial, force)
            if needs_two(self._settings, change.before, change.after):
                texts = [write_json(change.document)]
                done = describe_proposal(propose(self._settings, publisher, KIND, texts, change=True, trial=trial))
            else:
                done = describe_act(publish_lists_change(publisher, change))
            self._trials.forget()
            changed = _count_changed(change, side, entity, entries)
            return done | {"changed": changed, "trial": show_trial(trial)}


def _list_kinds(lists: Lists) -> Iterator[tuple[str, str]]:
    """Yield list and entity kind of all that has entries, in the order in which they are shown."""
    for side in SIDES:
        for kind, listed in sorted(lists.of(side).items()):
            if listed:
                yield side, kind


def _find_entries(lists: Lists, wanted: Sequence[tuple[str, str]], begins: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for side, kind in wanted:
        fit = (entry for entry in lists.of(side)[kind] if entry.startswith(begins))
        # millions are not sorted for a page of them, which would hold up every other request
        for entry in heapq.nsmallest(limit - len(found), fit):
            note = lists.note(side, kind, entry)
            found.append(
                {
                    "side": side,
                    "entity": kind,
                    "entry": entry,
                    "reason": note.reason,
                    "source": note.source,
                    "until_ms": note.until_ms or None,
                }
            )
    return found


def _count_changed(change: ListsChange, side: str, entity: str, entries: Sequence[str]) -> int:
    """Return how many of the entries are others than before."""

    def read(lists: Lists, entry: str) -> tuple[bool, Note]:
        return entry in lists.of(side).get(entity, ()), lists.note(side, entity, entry)

    return sum(read(change.before, entry) != read(change.after, entry) for entry in set(entries))
