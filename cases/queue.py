"""The queue: pages of cases, the largest expected loss first.

A cursor is the place of a page's last case. A case whose expected loss grows meanwhile moves up and may be missed or
shown twice in later pages; the first page is always right.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, and_, or_, select

from weir.cases.case import Case, State, Verdict
from weir.cases.tables import CASES, EVENTS, as_case

LIMIT, LIMIT_MAX = 50, 500


@dataclass(frozen=True)
class Wanted:
    """Which cases.

    Attributes:
        states: any of them; all where empty.
        key: of this id of the stream's key entity.
        event: with a decision on this event.
        after: the place of the last case of the page before.
    """

    states: frozenset[State] = field(default_factory=frozenset)
    holder: str | None = None
    key: str | None = None
    verdict: Verdict | None = None
    limit: int = LIMIT
    after: tuple[float, str] | None = None
    event: str | None = None


@dataclass(frozen=True)
class Page:
    """Some cases, and the cursor of the next page where there is one."""

    cases: list[Case]
    cursor: str | None


def read_page(connection: Connection, stream: str, wanted: Wanted) -> Page:
    """Return the cases of a stream that are wanted."""
    asked = [CASES.c.stream == stream]
    if wanted.states:
        asked.append(CASES.c.state.in_(sorted(map(str, wanted.states))))
    given = {CASES.c.holder: wanted.holder, CASES.c.key: wanted.key, CASES.c.verdict: wanted.verdict}
    asked += [column == value for column, value in given.items() if value is not None]
    if wanted.event is not None:
        of_event = (EVENTS.c.stream == stream) & (EVENTS.c.event_id == wanted.event)
        asked.append(CASES.c.id.in_(select(EVENTS.c.case_id).where(of_event)))
    if wanted.after is not None:
        loss, case_id = wanted.after
        asked.append(or_(CASES.c.expected_loss < loss, and_(CASES.c.expected_loss == loss, CASES.c.id > case_id)))
    ordered = select(CASES).where(*asked).order_by(CASES.c.expected_loss.desc(), CASES.c.id).limit(wanted.limit + 1)
    found = [as_case(row) for row in connection.execute(ordered).mappings()]
    page = found[: wanted.limit]
    return Page(page, write_cursor(page[-1]) if len(found) > wanted.limit else None)


def write_cursor(case: Case) -> str:
    """Return a case's place."""
    return base64.urlsafe_b64encode(orjson.dumps([case.expected_loss, case.id])).decode().rstrip("=")


def read_cursor(text: str) -> tuple[float, str] | None:
    """Return the place that a cursor names, or nothing for another text.

    >>> read_cursor("WzEyLjUsImFiIl0"), read_cursor("nonsense")
    ((12.5, 'ab'), None)
    """
    try:
        match orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)):
            case [int() | float() as loss, str() as case_id] if not isinstance(loss, bool) and case_id.isalnum():
                return float(loss), case_id
    except (ValueError, binascii.Error):
        return None
    return None
