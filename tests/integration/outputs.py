"""What came out: topics followed as they grow, committed records alone, each input position accounted for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from weir.infra.kafka.clients import CLIENT_LOG
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.streaming.dlq.letter import DeadLetter, read_dead_letter

DEADLINE_SECONDS = 90.0


class Follower:
    """Collects every record of a topic with a plain consumer that is in no group's way."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self.messages: list[Message] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "group.id": "test-follower",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": 16 * 1024 * 1024,
            },
            logger=CLIENT_LOG,
        )
        self._ended: set[int] = set()
        self._numbers = list(self._consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in self._numbers])

    def poll(self, seconds: float = 0.05) -> list[Message]:
        """Take what has come and return everything so far."""
        for message in self._consumer.consume(5_000, seconds):
            if message.error() is None:
                self.messages.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                self._ended.add(message.partition())
        return self.messages

    def poll_to_end(self) -> list[Message]:
        """Take all there is until every partition has said that it is at its end."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self._ended) < len(self._numbers):
            assert time.monotonic() < deadline, f"{self.topic} was not read to its end"
            self.poll()
        return self.messages

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


class Outputs:
    """Feature rows, dead letters and decisions of one deployment as they appear."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = settings.topics
        self._inputs = Follower(settings, names.transactions)
        self._rows = Follower(settings, names.features)
        self._letters = Follower(settings, names.dlq)
        self._decisions = Follower(settings, names.decisions)
        self._labels = Follower(settings, names.labels)
        self._decoded: dict[str, list[dict[str, Any]]] = {"features": [], "decisions": []}

    def inputs(self) -> list[Message]:
        """Return every transaction of the log, each partition in order."""
        return self._inputs.poll()

    def end_of_inputs(self) -> list[Message]:
        """Return every transaction of the log, up to its end as it is now."""
        return self._inputs.poll_to_end()

    def labels(self) -> list[Message]:
        """Return every label of the log, up to its end as it is now."""
        return self._labels.poll_to_end()

    def rows(self) -> list[dict[str, Any]]:
        """Return every feature row."""
        return self._decode("features", self._rows)

    def decisions(self) -> list[dict[str, Any]]:
        """Return every decision."""
        return self._decode("decisions", self._decisions)

    def decisions_to_end(self) -> list[dict[str, Any]]:
        """Return every decision there is, once each partition was read to its end."""
        self._decisions.poll_to_end()
        return self.decisions()

    def letters(self) -> list[DeadLetter]:
        """Return every dead letter of the transactions."""
        return [read_dead_letter(message) for message in self._letters.poll()]

    def settled(self) -> Counter[tuple[int, int]]:
        """Count the outputs of each input position: feature rows and dead letters."""
        found = Counter((row["source_partition"], row["source_offset"]) for row in self.rows())
        found.update((s.partition, s.offset) for letter in self.letters() if (s := letter.source) is not None)
        return found

    def await_settled(self, count: int, await_true: Callable[[Callable[[], bool], str], None]) -> None:
        """Wait until ``count`` input positions have an output; then each position of the log must have just one."""
        await_true(lambda: len(self.settled()) >= count, f"an output of each of {count} records")
        positions = {(message.partition(), message.offset()) for message in self.await_inputs(count)}
        assert self.settled() == Counter(positions)

    def await_inputs(self, count: int) -> list[Message]:
        """Return the log once it has ``count`` records."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(self.inputs()) < count:
            assert time.monotonic() < deadline, f"{len(self.inputs())} of {count} records in the log"
        return self.inputs()

    def close(self) -> None:
        """Disconnect."""
        for follower in (self._inputs, self._rows, self._letters, self._decisions, self._labels):
            follower.close()

    def _decode(self, kind: str, follower: Follower) -> list[dict[str, Any]]:
        done = self._decoded[kind]
        fresh = follower.poll()[len(done) :]
        if fresh:
            done.extend(decode(self._settings, kind, follower.topic, fresh).to_pylist())
        return done


def decode(settings: Settings, kind: str, topic: str, messages: list[Message]) -> pa.RecordBatch:
    """Return messages as columns; all of them must be readable."""
    registry = Registry(settings.registry)
    try:
        values = [message.value() for message in messages]
        decoded = BatchCodec(kind).decode(values, lambda schema_id: registry.writer_schema(schema_id, subject(topic)))
    finally:
        registry.close()
    assert not decoded.errors
    return decoded.batch
