"""Other events that people link a case to: what they think belongs to the same story.

A link holds the decision as it was when the link was made. A verdict says nothing of the events that are linked: they
may be of another key, and in a case of their own, whose verdict would be the same label's.

A link that is taken away keeps its row, so that whose event its text in the history names is still known when somebody
is erased.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, RowMapping, func, select

from weir.cases.case import Case, Conflict, Review
from weir.cases.tables import CASES, EVENTS, LINKS

LINKS_MAX: Final = 200
"""Of one case, those that were taken away too: a page of them can be read."""


@dataclass(frozen=True)
class Link:
    """An event that a case is linked to.

    Attributes:
        reason: why, as who linked it says.
        decision: on it, as it was when the link was made.
        case_id: of the case that the event is in itself, where there is one.
    """

    event_id: str
    at_ms: int
    by: str
    reason: str
    decision: Mapping[str, Any]
    case_id: str | None


def read_links(connection: Connection, case: Case) -> list[Link]:
    """Return what a case is linked to, the oldest link first."""
    own = (EVENTS.c.stream == case.stream) & (EVENTS.c.key == LINKS.c.key) & (EVENTS.c.event_id == LINKS.c.event_id)
    found = (
        select(LINKS, EVENTS.c.case_id.label("own_case"))
        .outerjoin(EVENTS, own)
        .where((LINKS.c.case_id == case.id) & LINKS.c.removed_ms.is_(None))
        .order_by(LINKS.c.at_ms, LINKS.c.event_id)
    )
    return [_as_link(row, row["own_case"]) for row in connection.execute(found).mappings()]


def read_links_to(connection: Connection, stream: str, key: str, *, until_ms: int) -> list[tuple[str, Link]]:
    """Return the links of a stream's cases to events of a key, each with the id of its case.

    Those that were taken away are among them. Those of the key's own cases are not: they are shown with these.
    """
    found = (
        select(LINKS)
        .join(CASES, CASES.c.id == LINKS.c.case_id)
        .where((CASES.c.stream == stream) & (CASES.c.key != key) & (LINKS.c.key == key) & (LINKS.c.at_ms <= until_ms))
        .order_by(LINKS.c.case_id, LINKS.c.event_id)
    )
    return [(row["case_id"], _as_link(row, None)) for row in connection.execute(found).mappings()]


def put_link(connection: Connection, case: Case, review: Review, *, by: str, reason: str, at_ms: int) -> bool:
    """Link a case that is locked to an event; return whether it was not linked before.

    Raises:
        Conflict: the event is in the case itself, or the case has as many links as it may.
    """
    named = (EVENTS.c.stream == case.stream) & (EVENTS.c.key == review.key) & (EVENTS.c.event_id == review.event_id)
    if connection.scalar(select(EVENTS.c.case_id).where(named)) == case.id:
        raise Conflict("in_case", "expected an event of another case or of none, found one of this case")
    this = _named(case, review.key, review.event_id)
    known = connection.execute(select(LINKS.c.removed_ms).where(this)).first()
    if known is not None and known.removed_ms is None:
        return False
    row = {"at_ms": at_ms, "by": by, "reason": reason, "removed_ms": None}
    row["decision"] = orjson.dumps(review.decision).decode()
    if known is not None:
        connection.execute(LINKS.update().where(this).values(row))
        return True
    if connection.execute(select(func.count()).where(LINKS.c.case_id == case.id)).scalar_one() >= LINKS_MAX:
        raise Conflict("links_full", f"expected fewer than {LINKS_MAX} links of a case, found as many")
    connection.execute(LINKS.insert().values(case_id=case.id, key=review.key, event_id=review.event_id, **row))
    return True


def remove_link(connection: Connection, case: Case, event_id: str, *, at_ms: int) -> bool:
    """Take a link of a case away; return whether there was one."""
    this = (LINKS.c.case_id == case.id) & (LINKS.c.event_id == event_id) & LINKS.c.removed_ms.is_(None)
    return connection.execute(LINKS.update().where(this).values(removed_ms=at_ms)).rowcount > 0


def _as_link(row: RowMapping, case_id: str | None) -> Link:
    decision = orjson.loads(row["decision"])
    return Link(row["event_id"], row["at_ms"], row["by"], row["reason"], decision, case_id)


def _named(case: Case, key: str, event_id: str) -> ColumnElement[bool]:
    return (LINKS.c.case_id == case.id) & (LINKS.c.key == key) & (LINKS.c.event_id == event_id)
