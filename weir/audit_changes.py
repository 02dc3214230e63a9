"""All changes in one view, each from where it is kept: nothing is written twice for it.

Keys and cases are in the database, what is published in its stream's topic, and calls that change something in the
audit log. Who was erased is in the home's list of erasures, by a pseudonym. A change of a key, a case or of what is
published that was made through the API is in two of them; it is shown as the first two have it, unless it failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from weir.access.store import KeyStore
from weir.cases.acts import list_acts
from weir.gdpr.erasures import read_entries
from weir.inference.published.act import Act
from weir.inference.published.proposals.record import Proposal, Rejection, parse_record
from weir.inference.published.topic import PublishedTopic, append_time_ms
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings
from weir.schemas.audit import AuditRecord, Phase
from weir.schemas.errors import Refused
from weir.schemas.stream import Stream

_DONE = "done"
_BEGUN = "begun"
"""An erasure is listed before it is done; `weir gdpr check` and the archive's own record say whether it was."""
_UNKNOWN = "unknown"
"""The process ended between intent and result, or lost the result."""
_ERRORS_FROM = 400
_KEPT_ELSEWHERE = frozenset({"cases", "keys", "lists", "models", "rules"})
"""What the paths are of whose changes the database or the stream's own topic has."""
_CHECK = "/check"
"""The end of paths that ask for the scope of a change and make none."""
_NAME_SHOWN = 12
"""Characters of a pseudonym, as `weir audit calls` shows them."""


class Change(NamedTuple):
    """One change.

    Attributes:
        who: name of a user or of a key, or the id of a key; empty where that was not kept.
        what: was done.
        of: the kind and name of what was changed.
        outcome: ``done``, ``begun``, the status of a call that failed, or ``unknown``.
        kept_in: ``database``, ``published``, ``audit`` or ``erasures``.
    """

    at_ms: int
    who: str
    what: str
    of: str
    outcome: str
    kept_in: str


def collect_changes(
    settings: Settings, streams: Sequence[Stream], since_ms: int, calls: Iterable[AuditRecord]
) -> list[Change]:
    """Return every change from a time on, oldest first.

    Args:
        settings: of this deployment.
        streams: whose changes are wanted.
        since_ms: UTC epoch ms.
        calls: from then on, of the audit log; a topic of it that was never made is no error.

    Raises:
        Transient: the brokers, the registry or the database did not answer.
    """
    engine = open_database(settings)
    try:
        found = [*_list_keys(engine), *_list_cases(engine, streams, since_ms)]
    finally:
        engine.dispose()
    found += list_erasures(settings.home)
    for stream in streams:
        found += _list_published(settings.of_stream(stream))
    found += _list_calls(calls, {stream.name for stream in streams})
    return sorted(each for each in found if each.at_ms >= since_ms)


def _list_keys(engine: Engine) -> Iterator[Change]:
    for key in KeyStore(engine).list_keys():
        made = "create" if key.replaces is None else f"rotate {key.replaces}"
        yield Change(key.created_ms, key.created_by, made, f"key {key.id}", _DONE, "database")
        if key.revoked_ms is not None:
            yield Change(key.revoked_ms, key.revoked_by or "", "revoke", f"key {key.id}", _DONE, "database")


def _list_cases(engine: Engine, streams: Sequence[Stream], since_ms: int) -> Iterator[Change]:
    for stream in streams:
        for act in list_acts(engine, stream.full_name, since_ms):
            yield Change(act.at_ms, act.by, act.act, f"case {act.case_id} of {stream.name}", _DONE, "database")


def list_erasures(home: Path) -> Iterator[Change]:
    """Yield the erasures of a home; of one that was repeated the newest."""
    for entry in read_entries(home):
        of = f"{entry.kind} {entry.name[:_NAME_SHOWN]}"
        yield Change(entry.at_ms, entry.by, "erase", of, _BEGUN, "erasures")


def _list_published(settings: Settings) -> Iterator[Change]:
    topic = PublishedTopic(settings.kafka, settings.topics.published)
    try:
        topic.is_another()
        for message in topic.read_new():
            try:
                record = parse_record(message.value())
            except Refused:
                continue  # no act of ours changes anything
            action, what = describe_published(record)
            of = f"{record.kind} {what} of {settings.stream.name}"
            yield Change(append_time_ms(message), record.who, action, of, _DONE, "published")
    except Refused:
        return  # nothing was ever published
    finally:
        topic.close()


def describe_published(record: Act | Proposal | Rejection) -> tuple[str, str]:
    """Return what was done, and to what."""
    if isinstance(record, Act):
        return record.action, record.version
    return ("propose", record.version) if isinstance(record, Proposal) else ("reject", f"proposal {record.of[:8]}")


def _list_calls(calls: Iterable[AuditRecord], streams: set[str]) -> Iterator[Change]:
    try:
        yield from pair_calls(calls, streams)
    except Refused:
        return  # no call was ever noted


def pair_calls(records: Iterable[AuditRecord], streams: set[str]) -> Iterator[Change]:
    """Yield the changes by calls of some streams that nothing else has: failed ones, and those kept nowhere else."""
    intents: dict[tuple[str, str, str, int], AuditRecord] = {}
    for record in records:
        if record.phase == Phase.CALL or (record.stream and record.stream not in streams):
            continue
        if record.route.endswith(_CHECK):
            continue
        if record.phase == Phase.INTENT:
            intents[record.call] = record
            continue
        intents.pop(record.call, None)
        failed = record.status >= _ERRORS_FROM
        if failed or not is_kept_elsewhere(record.route):
            yield _describe(record, str(record.status) if failed else _DONE)
    yield from (_describe(record, _UNKNOWN) for record in intents.values())


def is_kept_elsewhere(route: str) -> bool:
    """Return whether what a path changes is kept where this view reads it too, when it is done.

    >>> is_kept_elsewhere("/v1/streams/refunds/rules"), is_kept_elsewhere("/v1/keys/{key_id}/revoke")
    (True, True)
    >>> is_kept_elsewhere("/v1/labels"), is_kept_elsewhere("/v1/streams/rules/labels")
    (False, False)
    """
    _, _, *parts = route.split("/")
    return (parts[2] if parts[0] == "streams" else parts[0]) in _KEPT_ELSEWHERE


def _describe(record: AuditRecord, outcome: str) -> Change:
    return Change(record.time_ms, record.key_id, record.method, record.route, outcome, "audit")
