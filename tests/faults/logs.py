"""Topics read from end to end by a plain consumer, and what a group committed, read from the offsets topic itself."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, TopicPartition

OFFSETS_TOPIC = "__consumer_offsets"
READ_SECONDS = 60.0
_OFFSET_COMMIT_KEY_VERSIONS = (0, 1)


@dataclass(frozen=True)
class Entry:
    """One record as it is in the log."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def at(self) -> tuple[int, int]:
        return (self.partition, self.offset)

    def header(self, name: str) -> str | None:
        """The first header of that name, as text."""
        return next((v.decode() for n, v in self.headers if n == name and v is not None), None)


def read_topic(bootstrap: str, topic: str, *, committed: bool = True) -> list[Entry]:
    """Every record of a topic, in order of partition and offset.

    Raises:
        AssertionError: the end was not reached in time.
    """
    isolation = "read_committed" if committed else "read_uncommitted"
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "faults-judge",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # a broker answers half a second later at an end
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 16 * 1024 * 1024,
            "log_level": 0,
        }
    )
    try:
        numbers = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        found = list(_read_assigned(consumer, set(numbers), topic))
    finally:
        consumer.close()
    return sorted(found, key=lambda entry: entry.at)


def _read_assigned(consumer: Consumer, open_ends: set[int], topic: str) -> Iterator[Entry]:
    deadline = time.monotonic() + READ_SECONDS
    while open_ends:
        assert time.monotonic() < deadline, f"{topic} was not read to its end within {READ_SECONDS:.0f} s"
        for message in consumer.consume(1_000, 0.05):
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, str(error)
                open_ends.discard(message.partition())
                continue
            yield Entry(
                topic,
                message.partition(),
                message.offset(),
                message.timestamp()[1],
                message.key(),
                message.value(),
                tuple(message.headers() or ()),
            )


def read_commits(bootstrap: str, group: str) -> dict[tuple[str, int], list[int]]:
    """Every offset that a group committed, per partition, in the order in which the coordinator logged them."""
    commits: dict[tuple[str, int], list[int]] = {}
    for entry in read_topic(bootstrap, OFFSETS_TOPIC):
        parsed = _parse_commit(entry.key, entry.value)
        if parsed is not None and parsed[0] == group:
            commits.setdefault((parsed[1], parsed[2]), []).append(parsed[3])
    return commits


def _parse_commit(key: bytes | None, value: bytes | None) -> tuple[str, str, int, int] | None:
    """Group, topic, partition and offset of an offset commit; ``None`` for group metadata and tombstones."""
    if key is None or value is None or struct.unpack(">h", key[:2])[0] not in _OFFSET_COMMIT_KEY_VERSIONS:
        return None
    group, rest = _take_text(key[2:])
    topic, rest = _take_text(rest)
    return group, topic, struct.unpack(">i", rest[:4])[0], struct.unpack(">q", value[2:10])[0]


def _take_text(data: bytes) -> tuple[str, bytes]:
    size = struct.unpack(">h", data[:2])[0]
    return data[2 : 2 + size].decode(), data[2 + size :]
