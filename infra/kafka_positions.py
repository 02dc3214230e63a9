"""Where groups stand and where their inputs end, asked of the brokers from outside the groups.

A process that hangs or is dead reports nothing of itself, and one that reports its last lag of 0 looks well while the
broker is away. So positions are asked for by whoever looks, over one admin client, for every partition there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.kafka import CLIENT_LOG, admin_config
from infra.settings import KafkaSettings, Settings
from schemas.errors import Transient

REQUEST_TIMEOUT_SECONDS = 5.0


class Following(NamedTuple):
    """A group that follows a topic, by the name of its stage."""

    stage: str
    group: str
    topic: str


@dataclass(frozen=True)
class GroupPosition:
    """One partition of one group's input.

    Attributes:
        committed: next offset of the group; 0 where it has committed none.
        end: of the log, open transactions included.
    """

    stage: str
    topic: str
    partition: int
    committed: int
    end: int


def followings(settings: Settings) -> list[Following]:
    """Return every group of this deployment and what it follows."""
    topics, scorer = settings.topics, settings.scorer
    return [
        Following("process", settings.processor.group, topics.transactions),
        Following("process", settings.processor.group, topics.labels),
        Following("score", scorer.group, topics.features),
        Following("index", scorer.index_group, topics.decisions),
    ]


class Positions:
    """Asks again and again over one connection."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Connect nothing yet; the client does with the first question."""
        self._admin = AdminClient(admin_config(kafka), logger=CLIENT_LOG)

    def read(self, wanted: Sequence[Following]) -> list[GroupPosition]:
        """Return the positions of each group in its topic; of a topic that does not exist, none.

        Raises:
            Transient: the brokers did not answer in time.
        """
        try:
            ends = self._read_offsets([each.topic for each in wanted], OffsetSpec.latest())
            committed = self._read_committed({each.group for each in wanted})
        except KafkaException as error:
            raise Transient(f"kafka: {error.args[0].str()}") from None
        return [
            GroupPosition(each.stage, topic, partition, committed.get((each.group, topic, partition), 0), found.offset)
            for each in wanted
            for (topic, partition), found in sorted(ends.items())
            if topic == each.topic
        ]

    def read_newest(self, topic: str) -> dict[int, tuple[int, int]]:
        """Return per partition the offset and the append time in ms of the record with the newest time.

        Raises:
            Transient: the brokers did not answer in time, or are too old to know.
        """
        try:
            found = self._read_offsets([topic], OffsetSpec.max_timestamp())
        except KafkaException as error:
            raise Transient(f"kafka: {error.args[0].str()}") from None
        return {number: (each.offset, each.timestamp) for (_, number), each in found.items() if each.offset >= 0}

    def _read_offsets(self, topics: Sequence[str], spec: Any) -> dict[tuple[str, int], Any]:
        parts = [
            TopicPartition(topic, number)
            for topic in dict.fromkeys(topics)
            for number in self._admin.list_topics(topic, timeout=REQUEST_TIMEOUT_SECONDS).topics[topic].partitions
        ]
        if not parts:
            return {}
        futures = self._admin.list_offsets(
            dict.fromkeys(parts, spec),
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        return {(part.topic, part.partition): future.result() for part, future in futures.items()}

    def _read_committed(self, groups: set[str]) -> dict[tuple[str, str, int], int]:
        found = {}
        for group in groups:
            # one group a request is what the client takes
            asked = [ConsumerGroupTopicPartitions(group)]
            (future,) = self._admin.list_consumer_group_offsets(asked, request_timeout=REQUEST_TIMEOUT_SECONDS).values()
            for at in future.result().topic_partitions:
                if at.error is None and at.offset >= 0:
                    found[group, at.topic, at.partition] = int(at.offset)
        return found
