"""All changes in one view, each from where it is kept: nothing is written twice for it.

Keys and cases are in the database, what is published in its stream's topic, and calls that change something in the
audit log. A change of a case through the API is in two of them; it is shown as what the database has, unless it failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from weir.access.audit.read import read_calls
from weir.access.store import KeyStore
from weir.cases.acts import list_acts
from weir.inference.published.act import parse_act
from weir.inference.published.topic import PublishedTopic, append_time_ms
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings
from weir.schemas.audit import AuditRecord, Phase
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream

_DONE = "done"
_UNKNOWN = "unknown"
"""The process ended between intent and result, or lost the result."""
_ERRORS_FROM = 400


class Change(NamedTuple):
    """One change.

    Attributes:
        who: name of a user or of a key, or the id of a key; empty where that was not kept.
        what: was done.
        of: the kind and name of what was changed.
        outcome: ``done``, the status of a call that failed, or ``unknown``.
        kept_in: ``database``, ``published`` or ``audit``.
    """

    at_ms: int
    who: str
    what: str
    of: str
    outcome: str
    kept_in: str


def collect_changes(settings: Settings, streams: Sequence[Stream], since_ms: int) -> list[Change]:
    """Return every change from a time on, oldest first.

    Raises:
        Transient: the brokers, the registry or the database did not answer.
    """
    engine = open_database(settings)
    try:
        found = [*_list_keys(engine), *_list_cases(engine, streams, since_ms)]
    finally:
        engine.dispose()
    for stream in streams:
        found += _list_published(settings.of_stream(stream))
    found += _list_calls(settings, {stream.name for stream in streams}, since_ms)
    return sorted(each for each in found if each.at_ms >= since_ms)


def _list_keys(engine: Engine) -> Iterator[Change]:
    for key in KeyStore(engine).list_keys():
        made = "create" if key.replaces is None else f"rotate {key.replaces}"
        yield Change(key.created_ms, key.created_by, made, f"key {key.id}", _DONE, "database")
        if key.revoked_ms is not None:
            yield Change(key.revoked_ms, "", "revoke", f"key {key.id}", _DONE, "database")


def _list_cases(engine: Engine, streams: Sequence[Stream], since_ms: int) -> Iterator[Change]:
    for stream in streams:
        for act in list_acts(engine, stream.full_name, since_ms):
            yield Change(act.at_ms, act.by, act.act, f"case {act.case_id} of {stream.name}", _DONE, "database")


def _list_published(settings: Settings) -> Iterator[Change]:
    topic = PublishedTopic(settings.kafka, settings.topics.published)
    try:
        topic.is_another()
        for message in topic.read_new():
            try:
                act = parse_act(message.value())
            except Refused:
                continue  # no act of ours changes anything
            of = f"{act.kind} {act.version} of {settings.stream.name}"
            yield Change(append_time_ms(message), act.who, act.action, of, _DONE, "published")
    except Refused:
        return  # nothing was ever published
    finally:
        topic.close()


def _list_calls(settings: Settings, streams: set[str], since_ms: int) -> Iterator[Change]:
    try:
        yield from pair_calls(read_calls(settings, since_ms), streams)
    except Refused:
        return  # no call was ever noted


def pair_calls(records: Iterable[AuditRecord], streams: set[str]) -> Iterator[Change]:
    """Yield the changes by calls of some streams that nothing else has: failed ones, and those of no case."""
    intents: dict[tuple[str, str, str, int], AuditRecord] = {}
    for record in records:
        if record.phase == Phase.CALL or (record.stream and record.stream not in streams):
            continue
        named = record.key_id, record.request_id, record.route, record.time_ms  # a client may use an id again
        if record.phase == Phase.INTENT:
            intents[named] = record
            continue
        intents.pop(named, None)
        failed = record.status >= _ERRORS_FROM
        if failed or "/cases/" not in record.route:
            yield _describe(record, str(record.status) if failed else _DONE)
    yield from (_describe(record, _UNKNOWN) for record in intents.values())


def _describe(record: AuditRecord, outcome: str) -> Change:
    return Change(record.time_ms, record.key_id, record.method, record.route, outcome, "audit")
