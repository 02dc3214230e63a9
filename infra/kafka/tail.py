"""Reads what is committed to some topics from now on, all partitions of them, in no group.

Delivery: each committed record at or above the ends at the start, in order within a partition, at most once. Nothing is
committed, and nothing is read again: who opens another tail begins at the ends as they are then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import Message, TopicPartition

from weir.infra.kafka.clients import build_consumer, check_message
from weir.infra.kafka.offsets import build_asker, end_offsets
from weir.infra.settings import KafkaSettings

PARTITIONS_SECONDS = 10.0
"""Partitions that were added are read this soon, from their first record on."""
_NO_GROUP = "weir-tail"  # librdkafka wants a name; nothing is ever committed under it


class Tail:
    """One reader that is assigned by hand; not for use by two threads at once."""

    def __init__(
        self, kafka: KafkaSettings, topics: tuple[str, ...], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Connect, and begin at the ends.

        Open transactions are above the ends only with what is still to come: what was published before is not waited
        for by who begins now.

        Raises:
            Refused: a topic does not exist.
            Transient: the brokers did not answer in time.
        """
        self._kafka = kafka
        self._topics = topics
        self._clock = clock
        self._asker = build_asker(kafka)
        self._starts = self._read_ends()
        self._look_at = clock() + PARTITIONS_SECONDS
        # a reader that keeps up needs no store of records, and there may be one for each process
        self._consumer = build_consumer(
            kafka, group=_NO_GROUP, queued_min_messages=1_000, queued_max_messages_kbytes=16_384
        )
        self._consumer.assign([TopicPartition(*where, start) for where, start in self._starts.items()])

    def read(self, records_max: int, timeout_seconds: float) -> list[Message]:
        """Return what there is, after waiting for a first record.

        Raises:
            Transient: brokers do not answer; reading again is right.
            KafkaException: the position is lost: records expired before they were read.
        """
        if self._clock() >= self._look_at:
            self._take_added_partitions()
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        # no wait for a full batch: what is in hand is what somebody waits for
        return [check_message(message) for message in (first, *self._consumer.consume(records_max, 0))]

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _read_ends(self) -> dict[tuple[str, int], int]:
        return {
            (topic, number): end
            for topic in self._topics
            for number, end in end_offsets(self._kafka, topic, self._asker).items()
        }

    def _take_added_partitions(self) -> None:
        self._look_at = self._clock() + PARTITIONS_SECONDS
        added = self._read_ends().keys() - self._starts.keys()
        if not added:
            return
        known = self._consumer.position([TopicPartition(*where) for where in self._starts])
        self._starts |= {(each.topic, each.partition): each.offset for each in known if each.offset >= 0}
        self._starts |= dict.fromkeys(added, 0)
        self._consumer.assign([TopicPartition(*where, start) for where, start in self._starts.items()])
