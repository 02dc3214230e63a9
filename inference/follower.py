"""The loop that the scorer and the decision index share: gather, hand over, advance; after a failure, start again.

Positions are ours. A partition begins at what its group has committed, or at the log's first record if nothing ever
was. When a batch fails because a dependency is away, all that was gathered is forgotten and its partitions go back to
what is committed: neither an aborted Kafka transaction nor a failed write rewinds a consumer by itself.

Delivery: ``handle`` sees each record at least once and in order, and exactly once if it commits the offsets in the
transaction that carries its outputs. Nothing polls while it runs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from weir.infra.kafka.group_position import Standing, read_standing
from weir.infra.kafka.source import IDLE_SECONDS, Gathered, Partition, PartitionedInput
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused, Transient, WeirError
from weir.streaming.metering import meter_turn

BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
AWAY_SECONDS_MAX = 900.0
"""A dependency that stays away this long ends the process: its supervisor should see it."""

CALM_SECONDS = 30.0

log = get_logger(__name__)


@dataclass(frozen=True)
class FollowerConfig:
    """What is followed, for whom, in which bites.

    Attributes:
        topic_id: as the broker has it now; to be committed next to each offset.
        start_over: what an operator does when the topic was created again, for messages.
    """

    topic: str
    topic_id: str
    group: str
    stage: str
    start_over: str
    batch_records_max: int
    linger_seconds: float
    sleep: Callable[[float], None] = field(default=time.sleep)
    monotonic: Callable[[], float] = field(default=time.monotonic)


def begin_at_committed(partition: Partition, found: Standing) -> int:
    """Return what is committed, or the log's first offset if nothing ever was.

    Raises:
        Refused: the log begins above it.
    """
    if found.committed is not None and found.committed < found.low:
        raise Refused(
            f"{partition[0]}[{partition[1]}] starts at {found.low}, above the committed {found.committed}: records "
            "expired undecided; raise the topic's retention, then `weir offsets recover --skip-expired --apply`"
        )
    return found.next_offset


class Behind(Transient):
    """What follows the log is not where it was left: these partitions begin again."""

    def __init__(self, message: str, partitions: list[Partition]) -> None:
        super().__init__(message)
        self.partitions = partitions


class Follower:
    """Follows one topic for one member of a group."""

    def __init__(
        self,
        config: FollowerConfig,
        source: PartitionedInput,
        handle: Callable[[Gathered], None],
        between: Callable[[], object] = lambda: None,
        begin: Callable[[Partition, Standing], int] | None = None,
    ) -> None:
        """Bind to ports; nothing is read before ``run``.

        Args:
            config: topic and sizes.
            source: input that is not subscribed yet.
            handle: processes a batch and commits its offsets; ``Transient`` means that nothing of it counts.
            between: called before each gather; may say that something is ``Behind``.
            begin: says at which offset a partition begins; by default at what is committed.
        """
        self._config = config
        self._source = source
        self._handle = handle
        self._between = between
        self._begin = begin or begin_at_committed
        self._live: set[Partition] = set()
        self._waiting: list[Partition] = []
        self._failures = 0
        self._away_since: float | None = None
        self._failed_at = 0.0

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Follow until told to stop.

        Raises:
            WeirError: a dependency stays away, or ``handle`` cannot go on.
        """
        self._source.subscribe([self._config.topic], on_assigned=self._assigned, on_revoked=self._revoked)
        while not should_stop():
            meter_turn(self._config.stage)
            try:
                if self._turn() or self._is_calm():
                    self._failures, self._away_since = 0, None
            except Transient as error:
                for partition in error.partitions if isinstance(error, Behind) else []:
                    self._forget(partition)
                self._back_off(error)

    def _is_calm(self) -> bool:
        """True when a quiet topic has had no failure for a while: one that comes then is not the same one."""
        return self._away_since is not None and self._config.monotonic() - self._failed_at > CALM_SECONDS

    def _turn(self) -> bool:
        self._between()
        self._resume_waiting()
        gathered = self._source.gather(
            self._config.batch_records_max, timeout_seconds=IDLE_SECONDS, linger_seconds=self._config.linger_seconds
        )
        if gathered.dropped:
            metrics.MISPLACED_RECORDS.labels(stage=self._config.stage).inc(gathered.dropped)
        if not gathered.records:
            return False
        try:
            self._handle(gathered)
        except Transient:
            for partition in gathered.records:
                self._forget(partition)
            raise
        for partition, records in gathered.records.items():
            self._source.advance(partition, records[-1].offset() + 1)
        self._observe(gathered)
        return True

    def _resume_waiting(self) -> None:
        config = self._config
        for partition in list(self._waiting):
            found = read_standing(
                self._source, partition, group=config.group, topic_id=config.topic_id, start_over=config.start_over
            )
            self._source.resume(partition, self._begin(partition, found))
            self._waiting.remove(partition)
            self._live.add(partition)

    def _forget(self, partition: Partition) -> None:
        if partition in self._live:
            self._live.discard(partition)
            self._source.forget(partition)
            self._waiting.append(partition)

    def _assigned(self, partitions: list[Partition]) -> None:
        metrics.REBALANCES.labels(stage=self._config.stage, kind="assigned").inc()
        log.info("assigned", partitions=[f"{topic}-{number}" for topic, number in partitions])
        self._waiting.extend(partition for partition in partitions if partition not in self._waiting)

    def _revoked(self, partitions: list[Partition], lost: bool) -> None:
        metrics.REBALANCES.labels(stage=self._config.stage, kind="lost" if lost else "revoked").inc()
        log.info("revoked", partitions=[f"{topic}-{number}" for topic, number in partitions], lost=lost)
        self._live.difference_update(partitions)
        self._waiting = [partition for partition in self._waiting if partition not in partitions]

    def _back_off(self, error: Transient) -> None:
        now = self._failed_at = self._config.monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > AWAY_SECONDS_MAX:
            raise WeirError(f"gave up after {AWAY_SECONDS_MAX:.0f} s: {error}") from error
        pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)] * random.uniform(0.5, 1.5)
        self._failures += 1
        log.warning("retrying", error=str(error), attempt=self._failures, retry_seconds=round(pause, 3))
        self._config.sleep(pause)

    def _observe(self, gathered: Gathered) -> None:
        stage = self._config.stage
        for (topic, number), records in gathered.records.items():
            end = self._source.end_offset_cached((topic, number))
            if end is not None:
                behind = max(0, end - records[-1].offset() - 1)
                metrics.LAG_RECORDS.labels(stage=stage, topic=topic, partition=str(number)).set(behind)
        metrics.ASSIGNED_PARTITIONS.labels(stage=stage).set(len(self._live) + len(self._waiting))
        metrics.PAUSED_PARTITIONS.labels(stage=stage).set(len(self._waiting))
