"""What Weir holds about an entity outside the topics, store by store: counted, and erased.

Numbered steps of an erasure; it may be cut off between any two, and is run again:

1. The list of erasures names it (``weir/gdpr/erasures.py``).
2. Windows, in every view of each stream's group.
3. The decision index, and answers that are kept for idempotency keys.
4. Cases, and the files of their database.
5. The archive.

The topics keep their records until they expire. What comes in later under the same id is new.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from weir.access.audit.pseudonym import load_pseudonyms
from weir.archive.about import each_archived_id
from weir.archive.erase_cli import find_erasure
from weir.archive.run import find_root, list_followed
from weir.archive.table import find_table
from weir.cases.desk import Desk
from weir.cases.erasing import compact, each_key, erase_in_cases
from weir.cases.page import build_link
from weir.cases.queue import Wanted
from weir.gdpr.erasures import Entry, add_entry
from weir.infra.database.engine import open_database
from weir.infra.redis.client import Client, connect
from weir.infra.redis.erasing import each_value, each_window_id, erase_values, erase_windows
from weir.infra.settings import Settings
from weir.schemas.stream import Stream

ARCHIVE, CASES, DECISIONS, ANSWERS, WINDOWS = "archive", "cases", "decision index", "kept answers", "windows"
_DECIDED = "decision_time_ms"
OnStep = Callable[[str], object]
Counts = dict[str, int]


@dataclass(frozen=True)
class Person:
    """An entity of some streams whose data is asked for.

    Attributes:
        kind: of the entity, such as ``card``.
        id: of it.
        streams: that have such an entity.
        until_ms: what came later is not meant; UTC epoch milliseconds.
    """

    kind: str
    id: str
    streams: tuple[Stream, ...]
    until_ms: int

    @property
    def entity(self) -> str:
        """Kind and id, as on the command line."""
        return f"{self.kind}={self.id}"


def build_person(kind: str, entity_id: str, streams: Sequence[Stream], until_ms: int) -> Person:
    """Return an entity of those of some streams that have its kind."""
    return Person(kind, entity_id, tuple(each for each in streams if kind in each.id_field_of), until_ms)


def count(settings: Settings, person: Person) -> Counts:
    """Return how much each store holds about somebody.

    Raises:
        Transient: a store is unreachable.
    """
    found: Counts = {WINDOWS: 0, DECISIONS: 0, ANSWERS: 0, CASES: 0}
    with closing(connect(settings.redis)) as client:
        for own in each_settings(settings, person.streams):
            ids = each_window_id(client, _group_prefix(own))
            found[WINDOWS] += sum(each == (person.kind, person.id) for each in ids)
            found[DECISIONS] += sum(1 for _ in each_decision(client, own, person))
            found[ANSWERS] += sum(_names(value, person.id) for _, value in each_value(client, _answers_prefix(own)))
            found[CASES] += len(read_cases(own, person)) + len(read_links(own, person))
    archived = find_erasure(settings, find_root(settings), person.streams, person.entity, person.until_ms)
    return found | {ARCHIVE: archived.rows}


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no entry, and is erased for all the same
        return ""


def erase(settings: Settings, person: Person, *, why: str, on_step: OnStep) -> Counts:
    """Erase somebody in every store.

    Args:
        settings: of this deployment.
        person: whose data goes.
        why: for the archive's record; it holds no id.
        on_step: called after each numbered step.

    Returns:
        How much each store held.

    Raises:
        Transient: a store cannot be used now; running it again finishes.
    """
    name = load_pseudonyms(settings.home).name(person.entity)
    add_entry(settings.home, Entry(person.until_ms, person.kind, name, _find_user()))
    on_step("listed")
    found: Counts = {WINDOWS: 0, DECISIONS: 0, ANSWERS: 0, CASES: 0}
    with closing(connect(settings.redis)) as client:
        for own in each_settings(settings, person.streams):
            found[WINDOWS] += erase_windows(client, _group_prefix(own), person.kind, person.id)
        on_step(WINDOWS)
        for own in each_settings(settings, person.streams):
            found[DECISIONS] += erase_values(client, _decisions_prefix(own), lambda value: _is_about(value, person))
            found[ANSWERS] += erase_values(client, _answers_prefix(own), lambda value: _names(value, person.id))
        on_step(DECISIONS)
    found[CASES] = _erase_cases(settings, person)
    on_step(CASES)
    archived = find_erasure(settings, find_root(settings), person.streams, person.entity, person.until_ms)
    archived.apply(settings, find_root(settings), why)
    on_step(ARCHIVE)
    return found | {ARCHIVE: archived.rows}


def each_settings(settings: Settings, streams: Sequence[Stream]) -> Iterator[Settings]:
    """Yield the settings of each of some streams."""
    for stream in streams:
        yield settings.of_stream(stream)


def each_decision(client: Client, settings: Settings, person: Person) -> Iterator[dict[str, Any]]:
    """Yield the decisions about somebody that the index has, of the stream of some settings.

    Raises:
        Transient: Redis is unreachable.
    """
    for _, value in each_value(client, _decisions_prefix(settings)):
        if _is_about(value, person):
            yield _read_decision(value) or {}


def read_cases(settings: Settings, person: Person) -> list[Any]:
    """Return the cases of somebody with all that is known of them, of the stream of some settings.

    Raises:
        Transient: the database is unreachable.
    """
    if person.kind != settings.stream.key.name:
        return []
    with closing(Desk(lambda: open_database(settings), settings.stream, lambda: person.until_ms)) as desk:
        found, wanted = [], Wanted(key=person.id, limit=100)
        while True:
            page = desk.page(wanted)
            found += [desk.show(case.id) for case in page.cases if case.opened_ms <= person.until_ms]
            if page.cursor is None:
                return found
            last = page.cases[-1]
            wanted = Wanted(key=person.id, limit=100, after=(last.expected_loss, last.id))


def read_links(settings: Settings, person: Person) -> list[dict[str, Any]]:
    """Return the links of other people's cases to events of somebody, of the stream of some settings.

    Raises:
        Transient: the database is unreachable.
    """
    if person.kind != settings.stream.key.name:
        return []
    with closing(Desk(lambda: open_database(settings), settings.stream, lambda: person.until_ms)) as desk:
        found = desk.show_links_to(person.id, until_ms=person.until_ms)
    return [{"case": case_id, **build_link(link)} for case_id, link in found]


def each_id(settings: Settings, streams: Sequence[Stream]) -> Iterator[tuple[str, str]]:
    """Yield kind and id of entities of which a store holds something, some more than once.

    Raises:
        Transient: a store is unreachable.
    """
    root = find_root(settings)
    for followed in list_followed(settings, streams):
        table = find_table(root.below(followed.topic))
        if table is not None and followed.stream is not None:
            yield from each_archived_id(table, followed.stream)
    with closing(connect(settings.redis)) as client:
        for own in each_settings(settings, streams):
            yield from each_window_id(client, _group_prefix(own))
            field = own.stream.key.field
            for _, value in each_value(client, _decisions_prefix(own)):
                decision = _read_decision(value)
                if decision is not None and isinstance(decision.get(field), str):
                    yield own.stream.key.name, decision[field]
    engine = open_database(settings)
    try:
        for stream in streams:
            for key in each_key(engine, stream.full_name):
                yield stream.key.name, key
    finally:
        engine.dispose()


def _erase_cases(settings: Settings, person: Person) -> int:
    engine = open_database(settings)
    try:
        deleted = 0
        for stream in person.streams:
            is_key = person.kind == stream.key.name
            found, _ = erase_in_cases(engine, stream.full_name, person.id, is_key=is_key, until_ms=person.until_ms)
            deleted += found
        compact(engine)  # also where there was nothing: a run that was cut off before it is run again
    finally:
        engine.dispose()
    return deleted


def _group_prefix(settings: Settings) -> str:
    return f"weir:{settings.cluster}:{settings.processor.group}:"


def _decisions_prefix(settings: Settings) -> str:
    return f"weir:{settings.key_space}:decision:"


def _answers_prefix(settings: Settings) -> str:
    return f"weir:{settings.cluster}:answer:"


def _names(value: bytes, entity_id: str) -> bool:
    """Whether a text of JSON has an id as a whole value."""
    return orjson.dumps(entity_id) in value


def _is_about(value: bytes, person: Person) -> bool:
    if not _names(value, person.id):
        return False
    decision = _read_decision(value)
    return decision is None or int(decision.get(_DECIDED, 0)) <= person.until_ms


def _read_decision(value: bytes) -> dict[str, Any] | None:
    """Return a decision of the index without its seal; nothing where it is none."""
    try:
        found = orjson.loads(value.rpartition(b"\n")[0])
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
