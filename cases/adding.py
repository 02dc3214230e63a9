"""Puts one decision into a case, within a transaction: of the follower, or of a person who asks for it.

A decision is in one case, once. It joins a case of its key that nobody has judged and whose newest event is not far;
else it is the first of a new one. On PostgreSQL those who add to one key wait for each other, so that two of them do
not each open a case; SQLite has one writer at a time.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

import orjson
from sqlalchemy import Connection, select, text

from weir.cases.case import Case, Review, State, add_review, joins, open_case
from weir.cases.tables import ACTS, CASES, EVENTS, as_case, as_row
from weir.schemas.rules import ALERT_TAG

FOLLOWER: Final = "weir"
"""Who opens cases where no person does."""
_ID_BYTES: Final = 6
_LOCK_BYTES: Final = 8


@dataclass(frozen=True)
class Asked:
    """A person who asks for a case.

    Attributes:
        by: who it is.
        why: the reason.
        at_ms: when; a new case is opened then, however old its decision is.
    """

    by: str
    why: str
    at_ms: int


@dataclass(frozen=True)
class Added:
    """The case that a decision is in.

    Attributes:
        is_new: whether the decision was in none before.
    """

    case: Case
    is_new: bool


def put_review(
    connection: Connection, stream: str, review: Review, *, burst_ms: int, asked: Asked | None = None
) -> Added:
    """Return the case that a decision is in, after it is put into one.

    Args:
        connection: of the transaction.
        stream: full name of the decision's.
        review: the decision.
        burst_ms: decisions of one key that are no further apart are one case.
        asked: who asks for a case; None for the follower.
    """
    _lock(connection, stream, review.key)
    found = _find_own(connection, stream, review)
    if found is not None:
        return Added(found, is_new=False)
    case = _find_near(connection, stream, review, burst_ms)
    if case is None:
        case = open_case(secrets.token_hex(_ID_BYTES), stream, review, at_ms=None if asked is None else asked.at_ms)
        connection.execute(CASES.insert().values(as_row(case)))
        _log(connection, case, review, "opened", asked)
    else:
        case = add_review(case, review)
        connection.execute(CASES.update().where(CASES.c.id == case.id).values(as_row(case)))
        if asked is not None:
            _log(connection, case, review, "added", asked)
    kept = {"stream": stream, "case_id": case.id} | vars(review)
    label = None if review.label is None else orjson.dumps(review.label).decode()
    kept |= {"decision": orjson.dumps(review.decision).decode(), "label": label}
    connection.execute(EVENTS.insert().values(kept))
    return Added(case, is_new=True)


def _lock(connection: Connection, stream: str, key: str) -> None:
    if connection.dialect.name == "postgresql":
        digest = hashlib.sha256(orjson.dumps([stream, key])).digest()[:_LOCK_BYTES]
        number = int.from_bytes(digest, signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _find_own(connection: Connection, stream: str, review: Review) -> Case | None:
    """Return the case that a decision is in already."""
    named = (EVENTS.c.stream == stream) & (EVENTS.c.key == review.key) & (EVENTS.c.event_id == review.event_id)
    of_event = select(CASES).join(EVENTS, EVENTS.c.case_id == CASES.c.id).where(named)
    found = connection.execute(of_event).mappings().first()
    return None if found is None else as_case(found)


def _find_near(connection: Connection, stream: str, review: Review, burst_ms: int) -> Case | None:
    """Return the case that a decision joins, locked; an analyst who closes it meanwhile is waited for."""
    undecided = (CASES.c.stream == stream) & (CASES.c.key == review.key) & (CASES.c.state != State.CLOSED)
    newest = select(CASES).where(undecided).order_by(CASES.c.newest_ms.desc()).limit(1).with_for_update()
    found = connection.execute(newest).mappings().first()
    case = None if found is None else as_case(found)
    return case if case is not None and joins(case, review, burst_ms=burst_ms) else None


def _log(connection: Connection, case: Case, review: Review, act: str, asked: Asked | None) -> None:
    """Write who put a decision into a case, and why: a person's reason, or the alerts of rules."""
    if asked is None:
        alerts = [word for word in review.decision.get("tags") or () if word.startswith(ALERT_TAG)]
        row = {"at_ms": review.decided_ms, "by": FOLLOWER, "text": ", ".join(alerts) or None}
    else:
        row = {"at_ms": asked.at_ms, "by": asked.by, "text": asked.why}
    connection.execute(ACTS.insert().values(row | {"case_id": case.id, "act": act}))
