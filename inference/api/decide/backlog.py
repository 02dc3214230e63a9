"""How far behind a stream is, as far as this process has seen: what was published through it and is not decided yet.

A partition is decided in order. So an event that is not decided tells of a stream that is behind only until a later
one of its partition is: an event that the stream passed by (a feature row that the scorer could not read) stops telling
as soon as the stream continues. Pure: times are given.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable

PENDING_MAX = 64
"""Events a partition that are kept as evidence: the oldest ones alone say how far behind it is."""


class Backlog:
    """Published events without a decision, by partition."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._pending: dict[int, deque[tuple[float, Hashable]]] = {}
        self._settled_at: dict[int, float] = {}

    def add(self, partition: int, event: Hashable, published_s: float) -> None:
        """Note an event that was published just now; one more than are kept is not noted."""
        pending = self._pending.setdefault(partition, deque())
        if len(pending) < PENDING_MAX:
            pending.append((published_s, event))

    def settle(self, partition: int, published_s: float, now_s: float) -> None:
        """Note that an event was decided: what was published before it is passed."""
        self._settled_at[partition] = now_s
        pending = self._pending.get(partition, ())
        while pending and pending[0][0] <= published_s:
            pending.popleft()

    def forget(self, partition: int, event: Hashable) -> None:
        """Take an event out that nobody looks out for any more."""
        pending = self._pending.get(partition)
        if pending:
            self._pending[partition] = deque(each for each in pending if each[1] is not event)

    def behind_seconds(self, partition: int, now_s: float) -> float:
        """Return the age of the oldest event that is not decided; 0 where there is none.

        >>> backlog = Backlog()
        >>> backlog.add(0, "a", 10.0)
        >>> backlog.add(0, "b", 11.0)
        >>> backlog.behind_seconds(0, 12.0), backlog.behind_seconds(1, 12.0)
        (2.0, 0.0)
        >>> backlog.settle(0, 11.0, 12.5)
        >>> backlog.behind_seconds(0, 13.0), backlog.settled_seconds(0, 13.0), backlog.settled_seconds(1, 13.0)
        (0.0, 0.5, inf)
        """
        pending = self._pending.get(partition)
        return now_s - pending[0][0] if pending else 0.0

    def settled_seconds(self, partition: int, now_s: float) -> float:
        """Return how long ago the last outcome came; infinite where none did."""
        return now_s - self._settled_at.get(partition, -math.inf)
