"""How far each consumer group is behind its input, asked of the brokers without joining a group."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, TopicPartition

from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.positions import Following, Input, find_decided, followings
from weir.infra.settings import Settings
from weir.schemas.errors import Transient
from weir.streaming.service import wait_for

REQUEST_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class GroupLag:
    """One partition of one group's input; ``committed`` is ``None`` where the group has committed nothing yet.

    Where ``weir run`` decides rows as it makes them, the scorer counts as if it stood at the end.

    ``lag_records`` counts offsets, transaction markers among them: a few remain on an input that is read to its end.
    """

    stage: str
    group: str
    topic: str
    partition: int
    committed: int | None
    end: int

    @property
    def lag_records(self) -> int:
        """Offsets from the committed one, or from 0, to the end."""
        return max(0, self.end - (self.committed or 0))


def read_lag(settings: Settings) -> list[GroupLag]:
    """Return the lag of every stage.

    Raises:
        Refused: a topic does not exist.
        Transient: the brokers did not answer in time.
    """
    return [row for each in followings(settings) for row in _read_group(settings, each)]


def _read_group(settings: Settings, each: Following) -> list[GroupLag]:
    # a leader that is just moving says so, and answers a moment later
    ends = wait_for(lambda: end_offsets(settings.kafka, each.topic), seconds=REQUEST_TIMEOUT_SECONDS)
    found = _ask(settings, Input(each.group, each.topic), list(ends))
    sources = _ask(settings, each.made_from, list(ends)) if each.made_from else []
    decided = find_decided(list(ends), sources)
    return [
        GroupLag(
            each.stage,
            each.group,
            each.topic,
            at.partition,
            ends[at.partition] if at.partition in decided else at.offset if at.offset >= 0 else None,
            ends[at.partition],
        )
        for at in found
    ]


def _ask(settings: Settings, wanted: Input, numbers: list[int]) -> list[TopicPartition]:
    consumer = build_consumer(settings.kafka, group=wanted.group)
    asked = [TopicPartition(wanted.topic, number) for number in numbers]
    try:
        # a coordinator that is just moving or loading says so, and answers a moment later
        return wait_for(lambda: _read_committed(consumer, asked), seconds=REQUEST_TIMEOUT_SECONDS)
    finally:
        consumer.close()


def _read_committed(consumer: Consumer, asked: list[TopicPartition]) -> list[TopicPartition]:
    try:
        found: list[TopicPartition] = consumer.committed(asked, timeout=REQUEST_TIMEOUT_SECONDS)
        for at in found:
            if at.error is not None:  # not an answer: least of all "none", which would be a lag of the whole log
                raise KafkaException(at.error)
    except KafkaException as error:
        raise Transient(f"kafka: committed offsets: {error.args[0].str()}") from error
    return found
