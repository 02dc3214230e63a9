"""A group's committed offsets, read and written by hand: only while nobody is a member of it.

A static member that was stopped in order is still a member until its session times out: the broker keeps its
partitions for its next start, and refuses offsets meanwhile. So a tool that writes here waits that long first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from weir.infra.kafka.group_owners import describe_group
from weir.infra.kafka.leaders import ask_leader
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Refused, WeirError

TIMEOUT_SECONDS = 10.0
STILL_SECONDS = 1.0
"""A group with something to do commits many times within it."""
_SLACK_SECONDS = 5.0
"""A broker looks for sessions that have ended once in a while, and may be a little late."""
_ASK_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Row:
    """One partition of an input: its log, what is committed, what Redis has, and what is proposed.

    Attributes:
        drop: the unit in Redis is above what is proposed, so it is dropped and built again by the next start.
    """

    topic: str
    partition: int
    log_start: int
    log_end: int
    committed: int | None
    applied: int | None
    proposed: int | None = None
    drop: bool = False

    @property
    def changes(self) -> bool:
        """True when what is proposed is not what is committed."""
        return self.proposed is not None and self.proposed != self.committed


class GroupOffsets:
    """Reads and writes what a group committed."""

    def __init__(self, consumer: Consumer, topic_ids: dict[str, str]) -> None:
        """Wrap a consumer of the group that is not subscribed; ``topic_ids`` are committed next to the offsets."""
        self._consumer = consumer
        self._topic_ids = topic_ids

    def watermarks(self, at: TopicPartition) -> tuple[int, int]:
        """Return the log's first offset and its end.

        Raises:
            WeirError: the brokers did not answer.
        """
        try:
            low, high = ask_leader(lambda: self._consumer.get_watermark_offsets(at, timeout=TIMEOUT_SECONDS))
        except KafkaException as error:
            raise WeirError(f"kafka: {error}") from error
        return low, high

    def committed(self, at: TopicPartition) -> int | None:
        """Return the committed offset, or ``None`` without one.

        Raises:
            WeirError: the brokers did not answer.
        """
        try:
            found = self._consumer.committed([at], timeout=TIMEOUT_SECONDS)[0]
            if found.error is not None:  # not an answer: least of all "none"
                raise KafkaException(found.error)
        except KafkaException as error:
            raise WeirError(f"kafka: committed offsets: {error}") from error
        return int(found.offset) if found.offset >= 0 else None

    def find_still(self, rows: Sequence[Row]) -> list[Row]:
        """Return those whose group has not committed since, and does not within a second.

        Raises:
            WeirError: the brokers did not answer.
        """
        if rows:
            time.sleep(STILL_SECONDS)
        return [row for row in rows if self.committed(TopicPartition(row.topic, row.partition)) == row.committed]

    def commit(self, rows: Sequence[Row]) -> None:
        """Commit what is proposed and not committed already.

        Raises:
            Refused: the group has committed since the rows were read, so there is more output than they know of.
            WeirError: the broker refused, for example because a process of the group is running.
        """
        # the broker refuses offsets of a live group only: not after a process that worked meanwhile has stopped
        self._check_unmoved(rows)
        offsets = [
            TopicPartition(row.topic, row.partition, row.proposed, metadata=self._topic_ids[row.topic])
            for row in rows
            if row.changes
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise WeirError(f"kafka refused the offsets: {error}; stop every process of the group first") from error

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _check_unmoved(self, rows: Sequence[Row]) -> None:
        for row in rows:
            found = self.committed(TopicPartition(row.topic, row.partition))
            if found != row.committed:
                before = "none" if row.committed is None else row.committed
                raise Refused(
                    f"expected {row.topic}[{row.partition}] to be committed at {before}, found {found}: a process of "
                    "the group worked meanwhile; stop every one of them, then run it again"
                )


def await_empty(
    kafka: KafkaSettings, group: str, tell: Callable[[str], object], *, ask_every: float = _ASK_EVERY_SECONDS
) -> None:
    """Wait until a group has no member, as long as one that was stopped may take to time out.

    Args:
        kafka: where the group is.
        group: its name.
        tell: is given one line that says who is waited for, and how long at most.
        ask_every: seconds between two questions.

    Raises:
        WeirError: the group has members still, or the brokers did not answer.
    """
    seconds = kafka.session_timeout_ms / 1_000 + _SLACK_SECONDS
    deadline = time.monotonic() + seconds
    told = False
    while names := _members(kafka, group):
        if time.monotonic() > deadline:
            raise WeirError(f"group {group} has members that do not leave: {names}; stop them, then run it again")
        if not told:
            tell(f"waiting for members of group {group} to leave, up to {seconds:.0f} s: {names}\n")
            told = True
        time.sleep(ask_every)


def _members(kafka: KafkaSettings, group: str) -> str:
    found = describe_group(kafka, group)
    return ", ".join(sorted(member.group_instance_id or member.member_id for member in found.members)) if found else ""
