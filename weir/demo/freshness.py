"""When the view in Redis counted what was sent: until then, nobody who reads features sees it.

Redis follows the log, so a decision may be there before the windows that readers see. A thread looks where the view
stands, often enough for figures of milliseconds, and keeps what it saw for a while.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from weir.infra.kafka.admin import describe_topics
from weir.infra.redis.client import connect
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings
from weir.schemas.errors import WeirError

LOOK_SECONDS = 0.01
"""A hundred reads a second: what is shown is at most so much too old."""
KEPT_MAX, KEPT_AFTER = 4_000, 2_000
"""Positions seen per partition: some minutes of them, more than anybody is late to ask."""


class ViewPositions:
    """Notes when the view passed which offsets, on a thread."""

    def __init__(self, read_applied: Callable[[int], int], partitions: int, clock_ms: Callable[[], float]) -> None:
        """Bind to what is looked at; nothing is before ``begin``.

        Args:
            read_applied: returns the next offset that the view of a partition is to count; may raise ``WeirError``.
            partitions: how many there are.
            clock_ms: UTC epoch milliseconds.
        """
        self._read_applied = read_applied
        self._partitions = range(partitions)
        self._clock_ms = clock_ms
        self._applied: dict[int, list[int]] = defaultdict(list)
        self._seen_ms: dict[int, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="view-positions", daemon=True)

    def begin(self) -> None:
        """Start to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> None:
        """Look once, and note what has changed; a server that does not answer has nothing to say."""
        for number in self._partitions:
            with suppress(WeirError):
                applied = self._read_applied(number)
                with self._lock:
                    self._note(self._applied[number], self._seen_ms[number], applied)

    def passed_ms(self, partition: int, offset: int) -> float | None:
        """Return when the view was first seen to count an offset; ``None`` if it was not yet."""
        with self._lock:
            place = bisect_right(self._applied[partition], offset)
            seen_ms = self._seen_ms[partition]
            return seen_ms[place] if place < len(seen_ms) else None

    def _note(self, applied: list[int], seen_ms: list[float], newest: int) -> None:
        if applied and newest < applied[-1]:  # it is built again
            applied.clear()
            seen_ms.clear()
        if not applied or newest > applied[-1]:
            applied.append(newest)
            seen_ms.append(self._clock_ms())
        if len(applied) > KEPT_MAX:
            del applied[:-KEPT_AFTER], seen_ms[:-KEPT_AFTER]

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()


def open_positions(settings: Settings) -> ViewPositions:
    """Return what looks at a stream's events in the view of its processors.

    Raises:
        Transient: the brokers did not answer in time.
    """
    topic = settings.topics.transactions
    facts = describe_topics(settings.kafka, [topic])[topic]
    view = StateView(
        connect(settings.redis),
        cluster=settings.cluster,
        group=settings.processor.group,
        topic_ids={"t": facts.topic_id},
        declarations_hash=settings.declarations_hash,
    )

    def read_applied(partition: int) -> int:
        position = view.position(Unit("t", partition))
        return 0 if position is None else position.applied

    return ViewPositions(read_applied, facts.partitions, lambda: time.time() * 1_000)
