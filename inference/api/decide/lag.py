"""How far streams are behind in time, from the offsets that the health watch sees every few seconds.

A record's age is not known from outside. But what ended the log at an earlier look, and is not committed at this one,
is at least as old as the time between the two. Only the processor is looked at: whether what it commits is decided by
then, or by a scorer after it, differs between deployments, and what was published here shows it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from weir.infra.kafka.positions import GroupPosition
from weir.infra.kafka.source import Partition

STAGE = "process"
LOOKS_KEPT = 16
"""A minute of looks: who is further behind is behind for every wait there is."""
STALE_SECONDS = 15.0
"""Three looks missed: what was seen says nothing any more."""
SLACK_RECORDS = 64
"""Markers of transactions at the end of a log are never committed as records are; a few aborted ones add up."""


class StreamLag:
    """Notes positions, from one thread, and answers in any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet; ``clock`` is seconds."""
        self._clock = clock
        self._ends: dict[Partition, deque[tuple[float, int]]] = {}
        self._behind: dict[Partition, float] = {}
        self._noted_at = clock()

    def note(self, positions: Sequence[GroupPosition]) -> None:
        """Note what a look found."""
        now = self._clock()
        for at in positions:
            if at.stage != STAGE:
                continue
            partition = (at.topic, at.partition)
            ends = self._ends.setdefault(partition, deque(maxlen=LOOKS_KEPT))
            ends.append((now, at.end))
            while ends and ends[0][1] <= at.committed + SLACK_RECORDS:
                ends.popleft()
            self._behind[partition] = now - ends[0][0] if ends else 0.0
        self._noted_at = now

    def seconds(self, topic: str, partition: int) -> float:
        """Return how old a topic's oldest record is at least that was not processed at the last look.

        >>> at, seen = [0.0], lambda committed, end: [GroupPosition("process", "t", 0, committed, end)]
        >>> lag = StreamLag(lambda: at[0])
        >>> lag.note(seen(100, 1_000)); lag.seconds("t", 0)
        0.0
        >>> at[0] = 4.0; lag.note(seen(500, 1_500)); lag.seconds("t", 0)
        4.0
        >>> at[0] = 8.0; lag.note(seen(1_000, 2_000)); lag.seconds("t", 0)
        4.0
        >>> at[0] = 12.0; lag.note(seen(2_000, 2_010)); lag.seconds("t", 0)
        0.0
        """
        return 0.0 if self._clock() - self._noted_at > STALE_SECONDS else self._behind.get((topic, partition), 0.0)
