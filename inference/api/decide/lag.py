"""How far a stream is behind in time, from the offsets that the health watch sees every few seconds.

A record's age is not known from outside. But what ended the log at an earlier look, and is not committed at this one,
is at least as old as the time between the two. Only the processor is looked at: whether what it commits is decided by
then, or by a scorer after it, differs between deployments, and what was published here shows it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from weir.infra.kafka.positions import GroupPosition

STAGE = "process"
LOOKS_KEPT = 16
"""A minute of looks: who is further behind is behind for every wait there is."""
STALE_SECONDS = 15.0
"""Three looks missed: what was seen says nothing any more."""
SLACK_RECORDS = 64
"""Markers of transactions at the end of a log are never committed as records are; a few aborted ones add up."""


class StreamLag:
    """Notes positions of one stream, from one thread, and answers in any."""

    def __init__(self, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet.

        Args:
            topic: of the stream's events.
            clock: seconds.
        """
        self._topic = topic
        self._clock = clock
        self._ends: dict[int, deque[tuple[float, int]]] = {}
        self._behind: dict[int, float] = {}
        self._noted_at = clock()

    def note(self, positions: Sequence[GroupPosition]) -> None:
        """Note what a look found."""
        now = self._clock()
        for at in positions:
            if (at.stage, at.topic) != (STAGE, self._topic):
                continue
            ends = self._ends.setdefault(at.partition, deque(maxlen=LOOKS_KEPT))
            ends.append((now, at.end))
            while ends and ends[0][1] <= at.committed + SLACK_RECORDS:
                ends.popleft()
            self._behind[at.partition] = now - ends[0][0] if ends else 0.0
        self._noted_at = now

    def seconds(self, partition: int) -> float:
        """Return how old the oldest record is at least that was not processed at the last look.

        >>> at, seen = [0.0], lambda committed, end: [GroupPosition("process", "t", 0, committed, end)]
        >>> lag = StreamLag("t", lambda: at[0])
        >>> lag.note(seen(100, 1_000)); lag.seconds(0)
        0.0
        >>> at[0] = 4.0; lag.note(seen(500, 1_500)); lag.seconds(0)
        4.0
        >>> at[0] = 8.0; lag.note(seen(1_000, 2_000)); lag.seconds(0)
        4.0
        >>> at[0] = 12.0; lag.note(seen(2_000, 2_010)); lag.seconds(0)
        0.0
        """
        return 0.0 if self._clock() - self._noted_at > STALE_SECONDS else self._behind.get(partition, 0.0)
