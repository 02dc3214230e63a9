"""The loop of ``weir archive``: reads all topics as they come, and commits each one's rows at its own pace.

A store or a registry that does not answer is waited for, with what is in hand; the log keeps the rest. What lasts
longer than a few minutes ends the process, and the next one begins where the tables end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from weir.archive.follower import Follower
from weir.archive.log import LogReader
from weir.archive.metering import Meter
from weir.archive.table import ArchiveTable, OnStep
from weir.infra.kafka.source import Partition
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient

READ_RECORDS_MAX = 5_000
READ_SECONDS = 0.2
ALL_BYTES_MAX = 36 << 20
"""Rows in hand of all topics together; above it the topic with the most is committed."""
AWAY_SECONDS_MAX = 300.0
"""A store or registry that does not answer for longer is no hiccup: the supervisor should see it."""
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.25, 10.0
T = TypeVar("T")
log = get_logger(__name__)


def do_nothing(*_: object) -> None:
    """Do nothing; that of ``weir.streaming`` would bring a compiler with it, and 70 MB."""


class Archiver:
    """Follows topics until told to stop, or until some offsets are reached."""

    def __init__(
        self,
        followers: Mapping[str, Follower],
        reader: LogReader,
        meter: Meter,
        *,
        takes_added: bool,
        should_stop: Callable[[], bool],
        on_step: OnStep,
        after_commit: Callable[[ArchiveTable], None] = do_nothing,
        upkeep: Callable[[], None] = do_nothing,
    ) -> None:
        """Bind the followers to what reads for them.

        Args:
            followers: by the name of their topic; they have begun.
            reader: assigned to where they begin.
            meter: of this process.
            takes_added: whether partitions that are added to a topic are followed too.
            should_stop: asked between reads.
            on_step: called at each numbered step.
            after_commit: given a table that has new rows, and at the start each one; called again after ``Transient``.
            upkeep: takes a step, if one is due, when the log has no more than was read.
        """
        self._followers = followers
        self._reader = reader
        self._meter = meter
        self._takes_added = takes_added
        self._should_stop = should_stop
        self._on_step = on_step
        self._after_commit = after_commit
        self._upkeep = upkeep

    def run(self, until: Mapping[Partition, int] | None = None) -> None:
        """Archive; what is in hand at the end is committed.

        Args:
            until: stop when these offsets are reached; None to continue until told to stop.

        Raises:
            Overtaken: another archiver follows a partition of ours.
            Transient: a store or the registry stayed away.
            KafkaException: the log no longer has what is next.
        """
        for follower in self._followers.values():
            self._wait_for(partial(self._after_commit, follower.table))
        while not self._should_stop():
            self._turn()
            if until is not None and self._has_reached(until):
                break
        for follower in self._followers.values():
            self._commit(follower)

    def _turn(self) -> None:
        if self._meter.turn(self._followers) and self._takes_added:
            self._take_added()
        read = self._reader.read(READ_RECORDS_MAX, READ_SECONDS)
        for topic, messages in read.records.items():
            follower = self._followers[topic]
            self._wait_for(partial(follower.take, messages))
            self._meter.read(len(messages))
        for (topic, partition), offset in read.ends.items():
            self._followers[topic].reach(partition, offset)
        self._on_step("archive_read")
        for follower in self._followers.values():
            if follower.is_due():
                self._commit(follower)
        if sum(each.nbytes for each in self._followers.values()) > ALL_BYTES_MAX:
            self._commit(max(self._followers.values(), key=lambda each: each.nbytes))
        if sum(map(len, read.records.values())) < READ_RECORDS_MAX:
            self._upkeep()

    def _take_added(self) -> None:
        """Follow partitions that were added, as the meter's last look shows them."""
        found = False
        for topic, ends in self._meter.ends.items():
            added = sorted(ends.keys() - self._followers[topic].positions.keys())
            if added:
                log.info("partitions_added", topic=topic, partitions=added)
                self._followers[topic].begin_added(added)
                found = True
        if found:
            positions = {topic: follower.positions for topic, follower in self._followers.items()}
            self._reader.assign(
                {(topic, number): at for topic, each in positions.items() for number, at in each.items()}
            )

    def _commit(self, follower: Follower) -> None:
        with self._meter.committing(follower):
            count = self._wait_for(partial(follower.commit, self._on_step))
        if count:
            self._wait_for(partial(self._after_commit, follower.table))

    def _has_reached(self, until: Mapping[Partition, int]) -> bool:
        return all(self._followers[topic].positions.get(number, 0) >= end for (topic, number), end in until.items())

    def _wait_for(self, call: Callable[[], T]) -> T:
        """Call again until a dependency answers; a stop meanwhile raises what it last said."""
        pause, deadline = _PAUSE_SECONDS, time.monotonic() + AWAY_SECONDS_MAX
        while True:
            try:
                return call()
            except Transient as error:
                if self._should_stop() or time.monotonic() > deadline:
                    raise
                log.warning("waiting", error=str(error))
                self._meter.retried()
                self._meter.turn(self._followers)
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
