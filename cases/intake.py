"""What the follower writes: cases of decisions for review, and how far the decisions are read, in one transaction.

Delivery: at least once, idempotent by the event's id within its key. Whatever ends the process, the position never
says more than the cases do; a database that was put back from a copy reads the decisions since then again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, Engine, select

from weir.cases.adding import put_review
from weir.cases.case import Review
from weir.cases.tables import POSITIONS
from weir.infra.database.engine import translated


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
            put = partial(put_review, connection, self._stream, burst_ms=self._burst_ms)
            new = sum(put(review).is_new for review in reviews)
            if new:
                on_step("cases_adding")
            self._advance(connection, ends)
            if new:
                on_step("cases_advancing")
        if new:
            on_step("cases_added")
        return new

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
