"""Says that Redis takes no writes: a line as that begins, fewer and fewer while it lasts, and one when it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from weir.infra.redis.unit import Unit
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 300.0
"""After the first line the next one comes so much later; each pause is twice the one before, up to the longest."""

log = get_logger(__name__)


class Outage:
    """What the threads that write know of it together; a cluster may refuse some units and take others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin well; ``clock`` gives seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._failing: set[Unit] = set()
        self._told: set[str] = set()
        self._since: float | None = None
        self._tell_at = 0.0
        self._pause = FIRST_SECONDS
        self._failures = 0

    def note_failure(self, unit: Unit, cause: str, error: Transient) -> None:
        """Take down that a write had no answer, and say so where it is time, or where the cause is another one."""
        with self._lock:
            now = self._clock()
            if self._since is None:
                self._since, self._tell_at, self._pause = now, now, FIRST_SECONDS
            self._failing.add(unit)
            self._failures += 1
            if now < self._tell_at and cause in self._told:
                return
            self._told.add(cause)
            log.warning(f"redis_{cause}", error=str(error), **self._describe(now))
            if now >= self._tell_at:
                self._tell_at = now + self._pause
                self._pause = min(2 * self._pause, LONGEST_SECONDS)

    def note_success(self, unit: Unit) -> None:
        """Take down that a write was made; it is over when no other unit still has none."""
        if self._since is None:
            return
        with self._lock:
            self._failing.discard(unit)
            if self._since is None or self._failing:
                return
            log.info("redis_back", **self._describe(self._clock()))
            self._since, self._failures = None, 0
            self._told.clear()

    def give_up(self, unit: Unit) -> None:
        """Wait for no write of this unit: it begins again, here or elsewhere."""
        with self._lock:
            self._failing.discard(unit)

    def _describe(self, now: float) -> dict[str, float]:
        return {"failed_writes": self._failures, "away_seconds": round(now - (self._since or now), 1)}
