"""Whether one more request would be answered in time, judged before anything is done for it.

One thread answers all requests, so a request waits for those that were read before it: as many as are under way, times
what one costs. Beyond ``WAIT_SECONDS_MAX`` a request is refused at once. Without that, each waits longer than the one
before it while more come than are answered, until all are answered too late for anybody.

What a request costs is the processor time of the thread for each answer, with whatever else the thread does; so what
refusing costs counts too. A request that is under way for a second waits for something else, such as a decision or the
next event of a live stream: it is in nobody's way, and does not count.

**Cost:** O(1) a request, less than a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
"""However many ask: a supervisor that gets no answer would kill a process that is only busy."""
WAIT_SECONDS_MAX = 0.1
"""What is expected of the wait; other processes on the same cores make it longer."""
REQUESTS_LEAST = 64
"""Under way are never refused: a cost that was measured on a few large requests says nothing of small ones."""
_MEASURED = 32
"""Answers between two looks at the thread's processor time."""
_NEWEST_SHARE = 0.2
"""Of the last look in the average: a few hundred answers decide."""


class Load:
    """The requests that one event loop is answering."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
        wait_seconds_max: float = WAIT_SECONDS_MAX,
        elsewhere_seconds: float = 1.0,
    ) -> None:
        """Start with none.

        Args:
            clock: seconds.
            spent: seconds of processor time of the calling thread, the loop's.
            wait_seconds_max: beyond it a request is refused.
            elsewhere_seconds: a request that is under way for so long waits for something else.
        """
        self._clock = clock
        self._spent = spent
        self._wait_seconds_max = wait_seconds_max
        self._elsewhere_seconds = elsewhere_seconds
        self._begun: dict[Hashable, float] = {}  # oldest first
        self._answered = 0
        self._looked_at = 0.0
        self._cost_seconds = 0.0

    def __len__(self) -> int:
        return len(self._begun)

    @property
    def is_over(self) -> bool:
        """Whether a request that comes now should be refused."""
        begun_after = self._clock() - self._elsewhere_seconds
        while self._begun and self._begun[oldest := next(iter(self._begun))] <= begun_after:
            del self._begun[oldest]
        return len(self) >= REQUESTS_LEAST and len(self) * self._cost_seconds > self._wait_seconds_max

    def begin(self, request: Hashable) -> None:
        """Note that a request is under way."""
        self._begun[request] = self._clock()

    def leave(self, request: Hashable) -> None:
        """Note that the client has gone; of a request that is answered already, that says nothing."""
        self._begun.pop(request, None)

    def end(self, request: Hashable) -> None:
        """Note that a request is answered."""
        self._begun.pop(request, None)
        self._answered += 1
        if self._answered % _MEASURED:
            return
        spent = self._spent()
        if self._answered > _MEASURED:
            cost = (spent - self._looked_at) / _MEASURED
            self._cost_seconds += _NEWEST_SHARE * (cost - self._cost_seconds)
        self._looked_at = spent
