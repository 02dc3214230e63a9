"""Step 5: the writes to Redis, on threads of their own so that they overlap the next batch's steps 1 to 4.

Units know nothing of each other, so two are written at a time: one is packed while the server executes the other.

Delivery: exactly once. A write whose reply was lost is asked again, and the view answers ``same``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
_WRITES_AT_ONCE = 2
"""More would only take the interpreter from the loop's own thread."""
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
        """Bind to a view; the threads start with the first batch."""
        self._view = view
        self._pool = ThreadPoolExecutor(max_workers=_WRITES_AT_ONCE, thread_name_prefix="apply")
        self._in_flight: list[tuple[Write, Future[Applied | Transient]]] = []
        self._stopping = False
        self._sweep: Iterator[int] | None = None
        self._sweep_at = time.monotonic() + SWEEP_EVERY_SECONDS

    def submit(self, writes: list[Write]) -> None:
        """Start to apply a batch; the one before must have been collected."""
        assert self.idle, "one batch in flight at a time"
        deadline = time.monotonic() + RETRY_SECONDS_MAX
        self._in_flight = [(write, self._pool.submit(self._apply_one, write, deadline)) for write in writes]

    @property
    def finished(self) -> bool:
        """True when ``collect`` would not wait and has something to return."""
        return not self.idle and all(future.done() for _, future in self._in_flight)

    @property
    def idle(self) -> bool:
        """True when no batch is in flight or waits to be collected."""
        return not self._in_flight

    def collect(self, timeout_seconds: float | None = None) -> list[tuple[Write, Applied | Transient]]:
        """Wait for the batch in flight and return what became of each write; empty when there is none.

        Raises:
            TimeoutError: it is still under way.
        """
        if wait([future for _, future in self._in_flight], timeout_seconds).not_done:
            raise TimeoutError
        outcome = [(write, future.result()) for write, future in self._in_flight]
        self._in_flight = []
        return outcome

    def sweep(self) -> None:
        """Do one step of the round that sets TTLs, if it is due and no write is in flight."""
        now = time.monotonic()
        if not self.idle or now < self._sweep_at:
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
        """Stop retrying and end the threads."""
        self._stopping = True
        self._pool.shutdown(wait=True)

    def _apply_one(self, write: Write, deadline: float) -> Applied | Transient:
        left = deadline - time.monotonic()
        if left <= 0:
            return Transient("redis: not tried, the batch's time was used up by the writes before it")
        try:
            return apply_with_retry(self._view, write, give_up=lambda: self._stopping, seconds_max=left)
        except Transient as error:
            return error
