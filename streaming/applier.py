"""Step 5: the write to Redis, on a thread of its own so that it overlaps the next batch's steps 1 to 4.

Delivery: exactly once. A write whose reply was lost is asked again, and the script answers ``same``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from infra.redis_view import Applied, Unit
from monitoring import metrics
from monitoring.logs import get_logger
from schemas.errors import Transient
from streaming.partials import Changed

RETRY_SECONDS_MAX = 20.0
"""For all writes of a batch together: who waits for them must poll Kafka again within ``max.poll.interval.ms`` (300 s).

After this their units are forgotten and caught up once Redis is back: the log has everything.
"""
SWEEP_EVERY_SECONDS = 0.5
_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)

log = get_logger(__name__)


class View(Protocol):
    """The part of ``infra.redis_view.StateView`` that writes."""

    def apply(self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes]) -> Applied:
        """Write partials and move the position, if it is at ``start``."""
        ...

    def sweep(self) -> Iterator[int]:
        """Give partials that have no TTL one, in steps."""
        ...


@dataclass(frozen=True)
class Write:
    """One unit's part of a committed batch: input offsets ``[start, end)`` and what they changed."""

    unit: Unit
    start: int
    end: int
    changed: list[Changed]


def apply_with_retry(
    view: View, write: Write, *, give_up: Callable[[], bool] = lambda: False, seconds_max: float = RETRY_SECONDS_MAX
) -> Applied:
    """Apply one write, asking again while no answer comes.

    Raises:
        Transient: no answer within the bound, or told to give up.
    """
    keys = [f"{part.entity}:{entity_id}" for part in write.changed for entity_id in part.ids]
    partials = [partial for part in write.changed for partial in part.partials]
    deadline = time.monotonic() + seconds_max
    attempt = 0
    while True:
        try:
            with metrics.REDIS_SECONDS.labels(operation="apply").time():
                applied = view.apply(write.unit, start=write.start, end=write.end, keys=keys, partials=partials)
        except Transient as error:
            metrics.DEPENDENCY_RETRIES.labels(dependency="redis").inc()
            if give_up() or time.monotonic() > deadline:
                raise
            pause = _BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)]
            log.warning("redis_away", unit=write.unit.tag, error=str(error), retry_seconds=pause)
            time.sleep(pause * random.uniform(0.5, 1.5))
            attempt += 1
        else:
            return applied


class Applier:
    """Applies one committed batch at a time in the background."""

    def __init__(self, view: View) -> None:
        """Bind to a view; the thread starts with the first batch."""
        self._view = view
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="apply")
        self._future: Future[list[tuple[Write, Applied | Transient]]] | None = None
        self._stopping = False
        self._sweep: Iterator[int] | None = None
        self._sweep_at = time.monotonic() + SWEEP_EVERY_SECONDS

    def submit(self, writes: list[Write]) -> None:
        """Start to apply a batch; the one before must have been collected."""
        assert self._future is None, "one batch in flight at a time"
        self._future = self._pool.submit(self._apply_all, writes)

    @property
    def finished(self) -> bool:
        """True when ``collect`` would not wait and has something to return."""
        return self._future is not None and self._future.done()

    @property
    def idle(self) -> bool:
        """True when no batch is in flight or waits to be collected."""
        return self._future is None

    def collect(self, timeout_seconds: float | None = None) -> list[tuple[Write, Applied | Transient]]:
        """Wait for the batch in flight and return what became of each write; empty when there is none.

        Raises:
            TimeoutError: it is still under way.
        """
        if self._future is None:
            return []
        outcome = self._future.result(timeout_seconds)
        self._future = None
        return outcome

    def sweep(self) -> None:
        """Do one step of the round that sets TTLs, if it is due and no write is in flight."""
        now = time.monotonic()
        if self._future is not None or now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_EVERY_SECONDS
        try:
            if self._sweep is None:
                self._sweep = self._view.sweep()
            if next(self._sweep, None) is None:
                self._sweep = None
        except Transient:
            self._sweep = None  # only garbage collection: the next round does it

    def close(self) -> None:
        """Stop retrying and end the thread."""
        self._stopping = True
        self._pool.shutdown(wait=True)

    def _apply_all(self, writes: list[Write]) -> list[tuple[Write, Applied | Transient]]:
        deadline = time.monotonic() + RETRY_SECONDS_MAX
        return [(write, self._apply_one(write, deadline)) for write in writes]

    def _apply_one(self, write: Write, deadline: float) -> Applied | Transient:
        left = deadline - time.monotonic()
        if left <= 0:
            return Transient("redis: not tried, the batch's time was used up by the writes before it")
        try:
            return apply_with_retry(self._view, write, give_up=lambda: self._stopping, seconds_max=left)
        except Transient as error:
            return error
