"""Tells a process that lost its Kafka client whether another process has its place by now.

Two processes of one group and number take each other's place: brokers fence the older producer and the older static
member. From inside, a broker that came back and no longer knows its clients looks the same. Here they are told apart:
a process that starts leaves a mark before it connects anything else, as the note next to an offset of a separate group,
and who was fenced reads whose mark is there. The mark comes before the fence, so the one that started first always
finds the other's and ends; the one that started last is fenced by nobody who has not read that.

Delivery: a mark is as durable as committed offsets. One that has expired (after a week without a start) reads as ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from confluent_kafka import KafkaException, TopicPartition

from weir.infra.kafka.clients import build_consumer
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Refused, Transient

REQUEST_TIMEOUT_SECONDS = 10.0


class Place:
    """One number in one group, for as long as a process runs."""

    def __init__(self, kafka: KafkaSettings, *, group: str, instance: int, topic: str) -> None:
        """Bind to a place; nothing is asked before ``enter``.

        Args:
            kafka: connection.
            group: whose member the process is.
            instance: its ordinal.
            topic: any topic that exists; the mark is next to an offset of its first partition.
        """
        self._kafka = kafka
        self._group = group
        self._instance = instance
        self._topic = topic
        self._mark = uuid4().hex
        self._is_taken = False

    def enter(self) -> None:
        """Take the place at the first call; at each later one make sure that nobody else has taken it since.

        To be called after a start was found to be in order, and before anything is connected that fences others.

        Raises:
            Refused: somebody has; this process must end.
            Transient: the brokers did not answer in time.
        """
        if self._is_taken:
            self._check()
        else:
            self._take()
            self._is_taken = True

    def _take(self) -> None:
        mark = TopicPartition(self._topic, 0, 0, metadata=self._mark)
        consumer = build_consumer(self._kafka, group=self._marks)
        try:
            consumer.commit(offsets=[mark], asynchronous=False)
        except KafkaException as error:
            raise Transient(f"kafka: taking the place of {self._name}: {error.args[0].str()}") from error
        finally:
            consumer.close()

    def _check(self) -> None:
        consumer = build_consumer(self._kafka, group=self._marks)
        try:
            found = consumer.committed([TopicPartition(self._topic, 0)], timeout=REQUEST_TIMEOUT_SECONDS)[0]
            if found.error is not None:
                raise KafkaException(found.error)
        except KafkaException as error:
            raise Transient(f"kafka: asking for the place of {self._name}: {error.args[0].str()}") from error
        finally:
            consumer.close()
        if found.offset >= 0 and found.metadata != self._mark:
            raise Refused(
                f"another process was started as {self._name} after this one, which ends; give each process an "
                "--instance of its own"
            )

    @property
    def _name(self) -> str:
        return f"instance {self._instance} of group {self._group}"

    @property
    def _marks(self) -> str:
        return f"{self._group}.place-{self._instance}"


def enter_all(places: Iterable[Place]) -> None:
    """Enter the places of a process that is a member of several groups."""
    for place in places:
        place.enter()
