"""The input side of a read-process-write loop: one group, gathered batches, positions that are ours.

What it hides: rebalance callbacks, pausing, seeking, and the records librdkafka may still hand out after either.

Delivery: hands out each record above a partition's position once and in order; commits nothing. Offsets are committed
by the Kafka transaction that carries the outputs (``infra/kafka/sink.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from weir.infra.kafka.clients import is_away, read_headers
from weir.infra.kafka.members import Members
from weir.schemas.errors import Transient

Partition = tuple[str, int]
"""A topic's name and a partition number."""

REQUEST_TIMEOUT_SECONDS = 10.0
IDLE_SECONDS = 0.02
"""How long a quiet input is waited for at a time: between two waits, loops look after everything else."""

PACE_LINGERS = 3
"""A linger ends when the batch before is so many lingers old: what came while that one was decided has waited."""
_INSTANT_SECONDS = 0.001
WAITED_FOR = "weir.waited-for"
"""Header of a record whose sender waits for what comes of it."""


class Pace(NamedTuple):
    """Batches of fewer than so many records are so many lingers apart."""

    records: int
    lingers: int


SLOW, WAITED, USUAL = Pace(10, PACE_LINGERS), Pace(64, 4), Pace(64, 8)
"""A transaction costs the brokers and this process some 30 ms of CPU however few records it has, so a stream of a
thousand a second has sixteen a second and not twenty-five, unless somebody waits (``WAITED_FOR``). So slow a stream
that even then a batch has a handful leaves the cores idle, and need not wait."""


@dataclass
class Gathered:
    """Step 1's result.

    Attributes:
        records: per partition in offset order, none below its position.
        metadata: per partition, the consumer group's metadata as it was right after the records were handed out.
        dropped: records below a position, or of a partition that is not live.
    """

    records: dict[Partition, list[Message]] = field(default_factory=dict)
    metadata: dict[Partition, Any] = field(default_factory=dict)
    dropped: int = 0


class PartitionedInput:
    """Wraps consumers that belong to one group, each with a topic of its own."""

    def __init__(
        self,
        consumers: Sequence[Consumer],
        *,
        first_offset: Callable[[Partition, int], int | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap consumers from ``weir.infra.kafka.clients.build_consumer``.

        Args:
            consumers: one for each topic, not subscribed yet, polled by nobody else and closed by who made them.
            first_offset: the offset of a partition's first record at or above one, read by other means.
            monotonic: seconds.
        """
        self._members = Members(consumers)
        self._first_offset = first_offset
        self._monotonic = monotonic
        self._gathered_at = float("-inf")
        self._on_assigned: Callable[[list[Partition]], None]
        self._on_revoked: Callable[[list[Partition], bool], None]
        self._next: dict[Partition, int] = {}
        self._unverified: set[Partition] = set()
        self._overrun: set[Partition] = set()

    def subscribe(
        self,
        topics: list[str],
        *,
        on_assigned: Callable[[list[Partition]], None],
        on_revoked: Callable[[list[Partition], bool], None],
    ) -> None:
        """Join the group.

        Args:
            topics: subscribed to, one for each consumer.
            on_assigned: called inside ``gather`` with new partitions; each stays paused until ``resume``.
            on_revoked: called inside ``gather`` with partitions that go, and True when they are lost already.
        """
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._members.subscribe(topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)

    @property
    def has_joined(self) -> bool:
        """Whether every member was told its partitions, be it none, at least once."""
        return self._members.have_joined

    def gather(self, max_records: int, *, timeout_seconds: float, linger_seconds: float) -> Gathered:
        """Return what came for live partitions.

        Args:
            max_records: bound on a batch.
            timeout_seconds: how long to wait for a first record.
            linger_seconds: how long a batch that is not full waits for more, from when its first record is in hand;
                less where the batch before it took ``PACE_LINGERS`` times as long, and more where it has few records
                and the batch before it is not that old, see ``Pace``. Smaller batches cost more CPU per record, so 0
                is no gain where cores are busy.

        Raises:
            Transient: brokers are unreachable; nothing is lost, the next call hands out again what this one had.
            KafkaException: the client cannot go on.
        """
        for key in list(self._overrun):  # before the poll: if this fails, there is nothing in hand to lose
            self.resume(key, self._next[key])
        messages = self._consume(max_records, timeout_seconds, linger_seconds)
        if not messages:
            return Gathered()
        self._gathered_at = self._monotonic()
        gathered = Gathered()
        for message in messages:
            if message.error() is not None and is_away(message):
                continue  # the client reconnects by itself; what it handed out besides is good
            key = (message.topic(), message.partition())
            # a message of a paused, revoked or rewound partition may still be in the client's queue
            if key not in self._next or message.offset() < self._next[key]:
                gathered.dropped += 1
                continue
            gathered.records.setdefault(key, []).append(message)
        gathered.metadata = self._members.metadata(gathered.records)
        try:
            for key in [key for key in self._unverified if key in gathered.records]:
                self._verify_first(key, gathered)
        except Transient:
            # these records are out of the client's queue: what comes next would look like records after a hole
            self._overrun.update(gathered.records)
            raise
        return gathered

    def _consume(self, max_records: int, timeout_seconds: float, linger_seconds: float) -> list[Message]:
        messages = self._members.consume(max_records, 0.0)
        if messages:
            soon = self._gathered_at + PACE_LINGERS * linger_seconds
            self._add(messages, max_records, min(linger_seconds, soon - self._monotonic()))
        elif messages := self._members.consume(1, timeout_seconds):
            self._add(messages, max_records, linger_seconds)
        while messages:  # a linger at a time: one that is waited for may come meanwhile
            pace = _choose_pace(messages)
            seconds = self._gathered_at + pace.lingers * linger_seconds - self._monotonic()
            if len(messages) >= min(max_records, pace.records) or seconds < _INSTANT_SECONDS:
                break
            self._add(messages, min(max_records, pace.records), min(linger_seconds, seconds))
        return messages

    def _add(self, messages: list[Message], records: int, seconds: float) -> None:
        """Wait for the rest of a number of messages, so many seconds at most."""
        if len(messages) < records and seconds > 0:
            messages += self._members.consume(records - len(messages), seconds)

    def advance(self, partition: Partition, next_offset: int) -> None:
        """Set the position of a live partition: what is below has been gathered or decided."""
        if partition in self._next:
            self._next[partition] = next_offset

    def read_again(self, partition: Partition) -> None:
        """Hand out again, with the next ``gather``, what a live partition has at its position then and above."""
        if partition in self._next:
            self._overrun.add(partition)

    def forget(self, partition: Partition) -> None:
        """Stop handing out a partition's records until ``resume``; a partition that is gone is left alone."""
        self._overrun.discard(partition)
        if self._next.pop(partition, None) is not None:
            self._members.owner(partition).pause([TopicPartition(*partition)])

    def resume(self, partition: Partition, offset: int) -> None:
        """Hand out a partition's records from ``offset`` on.

        Raises:
            Transient: the seek was not answered in time.
        """
        owner = self._members.owner(partition)
        try:
            owner.resume([TopicPartition(*partition)])
            owner.seek(TopicPartition(*partition, offset))
        except KafkaException as error:
            raise Transient(f"kafka: seek to {offset}: {error}") from error
        self._next[partition] = offset
        self._unverified.add(partition)
        self._overrun.discard(partition)

    def committed(self, partition: Partition) -> tuple[int | None, str]:
        """Return the committed offset (``None`` without one) and its metadata.

        Asked through the group's own read_committed consumer: it waits for pending transactions, which the admin
        client would answer past, with the old value.

        Raises:
            Transient: no answer in time.
        """
        return self.committed_many([partition])[partition]

    def committed_many(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int | None, str]]:
        """Return the same of several partitions, assigned to this process or not.

        Raises:
            Transient: no answer in time.
        """
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            found = self._members.any.committed(wanted, timeout=REQUEST_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise Transient(f"kafka: committed offsets: {error}") from error
        for each in found:
            if each.error is not None:
                raise Transient(f"kafka: committed offsets: {each.error}")
        return {
            (each.topic, each.partition): (each.offset if each.offset >= 0 else None, each.metadata or "")
            for each in found
        }

    def watermarks(self, partition: Partition) -> tuple[int, int]:
        """Return the log's first offset and its end.

        Raises:
            Transient: no answer in time.
        """
        try:
            low, high = self._members.any.get_watermark_offsets(
                TopicPartition(*partition), timeout=REQUEST_TIMEOUT_SECONDS
            )
        except KafkaException as error:
            raise Transient(f"kafka: watermarks: {error}") from error
        return low, high

    def end_offset_cached(self, partition: Partition) -> int | None:
        """Return the end of the log as the last fetch saw it, without asking; ``None`` before the first fetch."""
        _, high = self._members.owner(partition).get_watermark_offsets(TopicPartition(*partition), cached=True)
        return high if high >= 0 else None

    def _verify_first(self, key: Partition, gathered: Gathered) -> None:
        # After a seek the first record must be the one asked for, or follow a hole that transactions leave. A stale
        # record from further ahead would look like a hole and everything before it would be lost, so look it up.
        first = gathered.records[key][0].offset()
        if first != self._next[key] and self._first_offset(key, self._next[key]) != first:
            gathered.dropped += len(gathered.records.pop(key))
            self._overrun.add(key)
            return
        self._unverified.discard(key)

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # an explicit offset: without one a group that never committed stops on auto.offset.reset=error
        assigned = [TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in partitions]
        consumer.incremental_assign(assigned)
        consumer.pause(assigned)
        new = [(p.topic, p.partition) for p in partitions]
        # another member's that was not told yet that it lost them: its records are not committed as this one's
        self._let_go([key for key in new if self._members.owns(key)], lost=True)
        self._members.own(consumer, new)
        self._on_assigned(new)

    def _revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._go(consumer, partitions, lost=False)

    def _lose(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._go(consumer, partitions, lost=True)

    def _go(self, consumer: Consumer, partitions: Iterable[TopicPartition], *, lost: bool) -> None:
        gone = [(p.topic, p.partition) for p in partitions]
        self._let_go([key for key in gone if self._members.owns(key, consumer)], lost=lost)
        consumer.incremental_unassign([TopicPartition(*key) for key in gone])

    def _let_go(self, gone: list[Partition], *, lost: bool) -> None:
        if not gone:
            return
        self._on_revoked(gone, lost)
        for key in gone:
            self._next.pop(key, None)
            self._unverified.discard(key)
            self._overrun.discard(key)
        self._members.disown(gone)


def _choose_pace(messages: Sequence[Message]) -> Pace:
    if len(messages) < SLOW.records:
        return SLOW
    if len(messages) >= USUAL.records:
        return USUAL
    return WAITED if any(name == WAITED_FOR for each in messages for name, _ in read_headers(each) or ()) else USUAL
