"""Where groups stand and where their inputs end, asked of the brokers from outside the groups.

A process that hangs or is dead reports nothing of itself, and one that reports its last lag of 0 looks well while the
broker is unreachable. So positions are asked for by each process that looks, for every partition there is.

Committed offsets are asked by a consumer that joins nothing. The admin client has a question for them too, and ends the
process by a segmentation fault when a coordinator is just loading (librdkafka 2.16: it refreshes the coordinator of a
consumer group that an admin client does not have).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from weir.infra.kafka.clients import build_admin, build_consumer
from weir.infra.kafka.group_position import read_undecided_until
from weir.infra.kafka.leaders import ask_leader
from weir.infra.kafka.offsets import list_offsets
from weir.infra.settings import KafkaSettings, Settings
from weir.schemas.errors import Transient

REQUEST_TIMEOUT_SECONDS = 5.0


class Input(NamedTuple):
    """A topic that a group reads."""

    group: str
    topic: str


class Following(NamedTuple):
    """A group that follows a topic, by the name of its stage.

    Attributes:
        made_from: what the topic's records are made from, where they may be decided as they are made (``weir run``):
            then nobody has to follow, and a group that is past what was made before counts as if it stood at the end.
    """

    stage: str
    group: str
    topic: str
    made_from: Input | None = None


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
    inputs = [topics.transactions, topics.labels] if settings.stream.labels else [topics.transactions]
    return [
        *(Following("process", settings.processor.group, topic) for topic in inputs),
        Following("score", scorer.group, topics.features, Input(settings.processor.group, topics.transactions)),
        Following("index", scorer.index_group, topics.decisions),
    ]


class Positions:
    """Asks again and again over the same connections."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Connect nothing yet; the clients do with the first question."""
        self._kafka = kafka
        self._admin = build_admin(kafka)
        self._consumers: dict[str, Consumer] = {}

    def read(self, wanted: Sequence[Following]) -> list[GroupPosition]:
        """Return the positions of each group in its topic.

        A topic that does not exist has none, and a group whose coordinator is just moving or loading is left out.

        Raises:
            Transient: the brokers did not answer in time.
        """
        ends = self._read_offsets(tuple(each.topic for each in wanted), OffsetSpec.latest())
        found = []
        for each in wanted:
            parts = sorted(number for topic, number in ends if topic == each.topic)
            owed = self._find_owed(each)
            for at in self._ask_committed(Input(each.group, each.topic), parts):
                end, committed = int(ends[each.topic, at.partition].offset), max(0, int(at.offset))
                at_end = committed >= owed.get(at.partition, end)
                found.append(GroupPosition(each.stage, each.topic, at.partition, end if at_end else committed, end))
        return found

    def _find_owed(self, following: Following) -> dict[int, int]:
        """Return by partition up to where a group has to follow, where that is not the end."""
        if following.made_from is None:
            return {}
        sources = self._ask_committed(following.made_from, self._list_partitions(following.made_from.topic))
        until_ms = find_undecided_until(sources)
        if until_ms is None:
            return {}
        low = self._read_offsets((following.topic,), OffsetSpec.earliest())
        after = self._read_offsets((following.topic,), OffsetSpec.for_timestamp(until_ms + 1))
        # -1: nothing was appended since
        owed = {at: int(found.offset) for at, found in after.items() if found.offset >= 0}
        return {at[1]: offset if offset > int(low[at].offset) else 0 for at, offset in owed.items()}

    def read_newest(self, topics: tuple[str, ...]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return per topic and partition the offset and the append time in ms of the record with the newest time.

        Raises:
            Transient: the brokers did not answer in time, or are too old to know.
        """
        found = self._read_offsets(topics, OffsetSpec.max_timestamp())
        return {place: (each.offset, each.timestamp) for place, each in found.items() if each.offset >= 0}

    def close(self) -> None:
        """Disconnect."""
        for consumer in self._consumers.values():
            consumer.close()

    def _read_offsets(self, topics: tuple[str, ...], spec: Any) -> dict[tuple[str, int], Any]:
        parts = [
            TopicPartition(topic, number) for topic in dict.fromkeys(topics) for number in self._list_partitions(topic)
        ]
        try:
            return ask_leader(lambda: list_offsets(self._admin, parts, spec))
        except KafkaException as error:
            raise Transient(f"kafka: {error.args[0].str()}") from None

    def _list_partitions(self, topic: str) -> list[int]:
        try:
            return sorted(self._admin.list_topics(topic, timeout=REQUEST_TIMEOUT_SECONDS).topics[topic].partitions)
        except KafkaException as error:
            raise Transient(f"kafka: {error.args[0].str()}") from None

    def _ask_committed(self, wanted: Input, numbers: Sequence[int]) -> list[TopicPartition]:
        if not numbers:
            return []
        if wanted.group not in self._consumers:
            # what is pending need not be waited for: the next check sees it
            self._consumers[wanted.group] = build_consumer(
                self._kafka, group=wanted.group, isolation_level="read_uncommitted"
            )
        asked = [TopicPartition(wanted.topic, number) for number in numbers]
        try:
            answer = self._consumers[wanted.group].committed(asked, timeout=REQUEST_TIMEOUT_SECONDS)
        except KafkaException:
            return []  # the brokers answered for the topics, so it is the group's coordinator alone
        return [at for at in answer if at.error is None]


def find_undecided_until(sources: Sequence[TopicPartition]) -> int | None:
    """Return the append time, in ms, up to which records may wait to be decided; 0 for none.

    ``None`` unless every partition's records are decided as they are made: a record is in any partition, whichever one
    it was made from.

    Args:
        sources: what the group that makes the records committed of its input; partitions without an offset say nothing.
    """
    said = [read_undecided_until(at.metadata or "") for at in sources if at.offset >= 0]
    known = [until_ms for until_ms in said if until_ms is not None]
    return max(known) if known and len(known) == len(said) else None
