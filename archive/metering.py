"""What an archiver tells of itself: how far it is behind, in records and in seconds, and what its tables hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from weir.archive.follower import Follower
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient

STAGE = "archive"
LOOK_SECONDS = 10.0
"""Ends of logs and numbers of files are asked for this often."""
Ends = Callable[[str], Mapping[int, int]]
log = get_logger(__name__)


class Meter:
    """Counts for one process.

    Attributes:
        ends: of each topic's partitions, as the brokers said last.
    """

    def __init__(self, ends: Ends, retention_ms: Mapping[str, int]) -> None:
        """Bind to the brokers.

        Args:
            ends: the end of each partition of a topic.
            retention_ms: of each topic; one that keeps everything has none.
        """
        self._ask_ends = ends
        self._look_at = 0.0
        self.ends: dict[str, Mapping[int, int]] = {}
        for topic, kept_ms in retention_ms.items():
            metrics.ARCHIVE_RETENTION_SECONDS.labels(topic=topic).set(kept_ms / 1_000)

    def turn(self, followers: Mapping[str, Follower]) -> bool:
        """Say that the loop turned, and how it stands where it is time to; return whether it was."""
        now = time.monotonic()
        metrics.LAST_TURN.labels(stage=STAGE).set(time.time())
        for topic, follower in followers.items():
            oldest_ms = follower.oldest_ms
            behind = 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1_000)
            metrics.ARCHIVE_BEHIND_SECONDS.labels(topic=topic).set(behind)
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        for topic, follower in followers.items():
            self._look(topic, follower)
        return True

    def read(self, records: int) -> None:
        """Count records that were read."""
        metrics.RECORDS_CONSUMED.labels(stage=STAGE).inc(records)

    def retried(self) -> None:
        """Count a wait for a store or the registry."""
        metrics.DEPENDENCY_RETRIES.labels(dependency=STAGE).inc()

    @contextmanager
    def committing(self, follower: Follower) -> Iterator[None]:
        """Count and time a commit of the rows in hand, if there are any."""
        count, began = follower.rows, time.monotonic()
        yield
        if count:
            seconds = time.monotonic() - began
            metrics.ARCHIVE_COMMITS.labels(topic=follower.table.topic).inc()
            metrics.ARCHIVE_ROWS.labels(topic=follower.table.topic).inc(count)
            metrics.STAGE_SECONDS.labels(stage=STAGE, step="commit").observe(seconds)
            log.info("archived", topic=follower.table.topic, rows=count, batch=follower.table.batch, seconds=seconds)

    def _look(self, topic: str, follower: Follower) -> None:
        metrics.ARCHIVE_FILES.labels(topic=topic).set(follower.table.count_files())
        try:
            ends = self.ends[topic] = self._ask_ends(topic)
        except Transient as error:
            log.warning("waiting", error=str(error))
            return
        for partition, position in follower.positions.items():
            lag = max(0, ends.get(partition, 0) - position)
            metrics.LAG_RECORDS.labels(stage=STAGE, topic=topic, partition=str(partition)).set(lag)
