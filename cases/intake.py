"""What the follower writes: cases of decisions for review, and how far the decisions are read, in one transaction.

Delivery: at least once, idempotent by the event's id within its key. Whatever ends the process, the position never
says more than the cases do; a database that was put back from a copy reads the decisions since then again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

import orjson
from sqlalchemy import ColumnElement, Connection, Engine, select

from weir.cases.case import Case, Review, State, add_review, joins, open_case
from weir.cases.tables import ACTS, CASES, EVENTS, POSITIONS, as_case, as_row
from weir.infra.database.engine import translated

FOLLOWER = "weir"
"""Who opens cases."""
_ID_BYTES = 6


class Intake:
    """The decisions for review of one stream, as they arrive."""

    def __init__(self, engine: Engine, *, stream: str, topic_id: str, burst_ms: int) -> None:
        """Bind to a database that is open.

        Args:
            engine: of the database.
            stream: its full name.
            topic_id: of the decisions' topic: another topic of the same name has positions of its own.
            burst_ms: decisions of one key that are no further apart are one case.
        """
        self._engine = engine
        self._stream = stream
        self._topic_id = topic_id
        self._burst_ms = burst_ms

    def position(self, partition: int) -> int | None:
        """Return the offset that a partition is read up to; nothing where it was never read.

        Raises:
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            return self._position(connection, partition)

    def take(
        self, reviews: Sequence[Review], ends: Mapping[int, int], on_step: Callable[[str], None] = lambda _: None
    ) -> int:
        """Keep what is new of some decisions and how far their partitions are read; return how many are new.

        Raises:
            Transient: the database is unreachable; nothing was kept, or all of it and nobody heard.
        """
        with translated(self._engine), self._engine.begin() as connection:
            new = sum(self._add(connection, review) for review in reviews)
            if new:
                on_step("cases_adding")
            self._advance(connection, ends)
            if new:
                on_step("cases_advancing")
        if new:
            on_step("cases_added")
        return new

    def _add(self, connection: Connection, review: Review) -> bool:
        named = (EVENTS.c.stream == self._stream) & (EVENTS.c.key == review.key)
        if connection.execute(select(EVENTS.c.case_id).where(named & (EVENTS.c.event_id == review.event_id))).first():
            return False
        case = self._find(connection, review)
        if case is None:
            case = open_case(secrets.token_hex(_ID_BYTES), self._stream, review)
            connection.execute(CASES.insert().values(as_row(case)))
            opened = {"case_id": case.id, "at_ms": review.decided_ms, "by": FOLLOWER, "act": "opened"}
            connection.execute(ACTS.insert().values(opened))
        else:
            case = add_review(case, review)
            connection.execute(CASES.update().where(CASES.c.id == case.id).values(as_row(case)))
        kept = {"stream": self._stream, "case_id": case.id} | vars(review)
        label = None if review.label is None else orjson.dumps(review.label).decode()
        kept |= {"decision": orjson.dumps(review.decision).decode(), "label": label}
        connection.execute(EVENTS.insert().values(kept))
        return True

    def _find(self, connection: Connection, review: Review) -> Case | None:
        """Return the case that a decision belongs to, locked; an analyst who closes it meanwhile is waited for."""
        undecided = (CASES.c.stream == self._stream) & (CASES.c.key == review.key) & (CASES.c.state != State.CLOSED)
        newest = select(CASES).where(undecided).order_by(CASES.c.newest_ms.desc()).limit(1).with_for_update()
        found = connection.execute(newest).mappings().first()
        case = None if found is None else as_case(found)
        return case if case is not None and joins(case, review, burst_ms=self._burst_ms) else None

    def _advance(self, connection: Connection, ends: Mapping[int, int]) -> None:
        for partition, end in sorted(ends.items()):
            known = self._position(connection, partition)
            named = {"topic_id": self._topic_id, "partition": partition}
            if known is None:
                connection.execute(POSITIONS.insert().values(**named, next_offset=end))
            elif known < end:  # one that was overtaken by another process moves nothing back
                connection.execute(POSITIONS.update().where(self._at(partition)).values(next_offset=end))

    def _position(self, connection: Connection, partition: int) -> int | None:
        found: int | None = connection.scalar(select(POSITIONS.c.next_offset).where(self._at(partition)))
        return found

    def _at(self, partition: int) -> ColumnElement[bool]:
        return (POSITIONS.c.topic_id == self._topic_id) & (POSITIONS.c.partition == partition)
