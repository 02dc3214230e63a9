"""Says to the metrics how the cases of a stream stand: how many wait, for how long, and how long verdicts took."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, func, select

from weir.cases.case import State
from weir.cases.outbox import Outbox
from weir.cases.tables import CASES
from weir.infra.database.engine import translated
from weir.monitoring import metrics
from weir.schemas.errors import Transient

LOOK_SECONDS = 5.0
_SETTLED_MS = 10_000
"""Verdicts are counted so late: one whose transaction took longer than its neighbour's is not passed over."""
_DATABASE = "database"


class CaseMeter:
    """Looks at the cases of one stream once in a while; verdicts are counted from its start on."""

    def __init__(
        self,
        engine: Engine,
        *,
        stream: str,
        label: str,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1_000),
    ) -> None:
        """Bind to a database that is open.

        Args:
            engine: of the database.
            stream: its full name.
            label: what metrics call it.
            monotonic: seconds.
            now_ms: the clock.
        """
        self._engine = engine
        self._stream = stream
        self._label = label
        self._outbox = Outbox(engine, stream=stream)
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._look_at = 0.0
        self._counted_ms = now_ms() - _SETTLED_MS

    def look(self) -> None:
        """Look if it is time.

        Raises:
            Transient: the database is unreachable.
        """
        if self._monotonic() < self._look_at:
            return
        self._look_at = self._monotonic() + LOOK_SECONDS
        up = metrics.DEPENDENCY_UP.labels(dependency=_DATABASE)
        try:
            self._measure(self._now_ms())
            up.set(1)
        except Transient:
            up.set(0)
            raise
        finally:
            metrics.LAST_LOOK.labels(dependency=_DATABASE).set(time.time())

    def _measure(self, now_ms: int) -> None:
        with translated(self._engine), self._engine.begin() as connection:
            self._measure_waiting(connection, now_ms)
            self._count_verdicts(connection, now_ms - _SETTLED_MS)
        waiting, oldest_ms = self._outbox.count()
        metrics.CASE_LABELS_WAITING.labels(stream=self._label).set(waiting)
        metrics.CASE_LABELS_OLDEST_SECONDS.labels(stream=self._label).set(_age(now_ms, oldest_ms))

    def _measure_waiting(self, connection: Connection, now_ms: int) -> None:
        undecided = select(CASES.c.state, func.count(), func.min(CASES.c.opened_ms)).where(
            (CASES.c.stream == self._stream) & (CASES.c.state != State.CLOSED)
        )
        found = {
            state: (number, oldest) for state, number, oldest in connection.execute(undecided.group_by(CASES.c.state))
        }
        for state in (State.OPEN, State.CLAIMED):
            number, _ = found.get(state, (0, None))
            metrics.CASES_UNDECIDED.labels(stream=self._label, state=str(state)).set(number)
        oldest_ms = min((oldest for _, oldest in found.values()), default=None)
        metrics.CASE_OLDEST_SECONDS.labels(stream=self._label).set(_age(now_ms, oldest_ms))

    def _count_verdicts(self, connection: Connection, until_ms: int) -> None:
        closed = select(CASES.c.verdict, CASES.c.closed_ms - CASES.c.opened_ms).where(
            (CASES.c.stream == self._stream) & (CASES.c.closed_ms > self._counted_ms) & (CASES.c.closed_ms <= until_ms)
        )
        for verdict, took_ms in connection.execute(closed):
            told = metrics.CASE_VERDICT_SECONDS.labels(stream=self._label, verdict=verdict)
            told.observe(max(0.0, took_ms / 1_000))
        self._counted_ms = max(self._counted_ms, until_ms)


def _age(now_ms: int, since_ms: int | None) -> float:
    return 0.0 if since_ms is None else max(0.0, (now_ms - since_ms) / 1_000)
