"""Labels that were written with their verdicts and wait to be sent.

A label is named by its event and the verdict's version. It is read, sent, and marked once the broker has it: a process
that ends in between sends it again, with the same bytes. Who reads labels takes one of a name, or the newest time of
an event, as the stream's windows do; for both a copy changes nothing.

Delivery: at least once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, func, select

from weir.cases.tables import OUTBOX
from weir.infra.database.engine import translated

BATCH_MAX = 500


@dataclass(frozen=True)
class Waiting:
    """A label that waits.

    Attributes:
        label: a value for each field of its schema.
    """

    key: str
    event_id: str
    version: int
    label: Mapping[str, Any]


def add_label(connection: Connection, stream: str, waiting: Waiting, *, at_ms: int) -> None:
    """Write a label within the transaction of its verdict."""
    connection.execute(
        OUTBOX.insert().values(
            **{**vars(waiting), "label": orjson.dumps(waiting.label).decode()}, stream=stream, made_ms=at_ms
        )
    )


class Outbox:
    """The labels of one stream that wait."""

    def __init__(self, engine: Engine, *, stream: str) -> None:
        """Bind to a database that is open."""
        self._engine = engine
        self._unsent = (OUTBOX.c.stream == stream) & OUTBOX.c.sent_ms.is_(None)

    def read(self) -> list[Waiting]:
        """Return the oldest labels that wait.

        Raises:
            Transient: the database is unreachable.
        """
        oldest = select(OUTBOX).where(self._unsent).order_by(OUTBOX.c.made_ms, OUTBOX.c.version).limit(BATCH_MAX)
        with translated(self._engine), self._engine.begin() as connection:
            rows = connection.execute(oldest).mappings().all()
        return [Waiting(row["key"], row["event_id"], row["version"], orjson.loads(row["label"])) for row in rows]

    def mark(self, sent: Sequence[Waiting], *, at_ms: int) -> None:
        """Note that labels are with the brokers.

        Raises:
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            for each in sent:
                named = (OUTBOX.c.key == each.key) & (OUTBOX.c.event_id == each.event_id)
                this = self._unsent & named & (OUTBOX.c.version == each.version)
                connection.execute(OUTBOX.update().where(this).values(sent_ms=at_ms))

    def count(self) -> tuple[int, int | None]:
        """Return how many wait, and since when the oldest does.

        Raises:
            Transient: the database is unreachable.
        """
        with translated(self._engine), self._engine.begin() as connection:
            counted = select(func.count(), func.min(OUTBOX.c.made_ms)).where(self._unsent)
            number, oldest_ms = connection.execute(counted).one()
        return number, oldest_ms
