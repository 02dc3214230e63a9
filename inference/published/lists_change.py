"""A change of lists: what ``weir lists add`` and ``remove`` do, and the desk of lists for a process that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from weir.inference.bundle import load_lists
from weir.inference.core.lists import SIDES, Lists
from weir.inference.published.act import NONE, Act
from weir.inference.published.content import change_lists, read_json, write_lists
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

ListsAction = Literal["add", "remove"]
LISTS_ACTIONS: tuple[ListsAction, ...] = get_args(ListsAction)


@dataclass(frozen=True)
class ListsChange:
    """A change that is not made yet.

    Attributes:
        document: that the act holds.
        before: the lists in force.
        after: what the change makes of them.
    """

    document: dict[str, Any]
    before: Lists
    after: Lists


def read_lists_in_force(settings: Settings, publisher: Publisher) -> Lists:
    """Return the published lists, or where none are published those of the lists file.

    Raises:
        Refused: the file is not right.
    """
    published = publisher.standing.lists
    return load_lists(settings) if published is None else published


def read_lists(settings: Settings, publisher: Publisher, content: str) -> Lists:
    """Return the lists of a content; of ``none`` those of the lists file.

    Raises:
        Refused: the file is not right, or a text is no longer there.
        Transient: the brokers did not answer in time.
    """
    return load_lists(settings) if content == NONE else publisher.build_lists(content)


def read_changed(settings: Settings, text: str, content: str) -> tuple[Lists, Lists]:
    """Return what a change makes of a content, and what the content is; what is published is read for it.

    Args:
        settings: of the stream.
        text: of the change, as JSON.
        content: that is changed.

    Raises:
        Refused: as ``read_lists``, or the change is not right.
        Transient: as ``read_lists``.
    """
    if content == NONE:
        before = load_lists(settings)
    else:
        with Publisher(settings, read_rules) as publisher:
            before = publisher.build_lists(content)
    return change_lists(before, read_json(text, "lists"), settings.stream.id_field_of), before


def plan_lists_change(
    settings: Settings, publisher: Publisher, action: ListsAction, side: str, entity: str, entries: Sequence[object]
) -> ListsChange:
    """Return what a change would make of the lists in force; nothing is published.

    Args:
        settings: of the stream.
        publisher: that has read what is published.
        action: whether the entries come or go.
        side: one of ``SIDES``.
        entity: of the stream.
        entries: as a document of lists holds them.

    Raises:
        Refused: an entry or the entity is not right, or the lists become too long.
    """
    return plan_document(settings, publisher, {action: {side: {entity: list(entries)}}})


def plan_document(settings: Settings, publisher: Publisher, document: dict[str, Any]) -> ListsChange:
    """Return what the document of a change would make of the lists in force; raises as ``plan_lists_change``."""
    before = read_lists_in_force(settings, publisher)
    return ListsChange(document, before, change_lists(before, document, settings.stream.id_field_of))


def publish_lists_change(publisher: Publisher, change: ListsChange, act_id: str = "") -> Act:
    """Make a change; the first published lists hold what the lists file does.

    Args:
        publisher: that has read what is published.
        change: of the lists in force.
        act_id: of the proposal that is approved; by default the act has one of its own.

    Raises:
        Refused: the change is too long, or somebody else published the first lists meanwhile.
        Transient: the brokers did not take it.
    """
    if publisher.standing.lists is None:
        return publisher.publish("lists", write_lists(change.after), act_id=act_id)
    return publisher.change(change.document, act_id)


def cut_to_change(lists: Lists, document: Any) -> Lists:
    """Return of lists, whichever they are, the entries that a change names.

    Args:
        lists: which stay as they are.
        document: of the change; see ``content.apply_change``.

    Raises:
        Refused: it is none.
    """
    named: dict[str, set[str]] = {}
    try:
        for part in document.values():
            for listed in part.values():
                for entity, entries in listed.items():
                    ids = (entry if isinstance(entry, str) else entry["entry"] for entry in entries)
                    named.setdefault(entity, set()).update(ids)
    except (AttributeError, KeyError, TypeError):
        raise Refused("lists: expected a change with add and remove, found another shape") from None
    cut = {
        side: {entity: listed & named[entity] for entity, listed in lists.of(side).items() if entity in named}
        for side in SIDES
    }
    notes = {
        where: {entry: known[entry] for entry in known.keys() & cut[where[0]].get(where[1], ())}
        for where, known in lists.notes.items()
    }
    return Lists(allow=cut["allow"], block=cut["block"], watch=cut["watch"], notes=notes)
