"""What came out, counted by a plain consumer: each position of the log against what was made of it."""

from __future__ import annotations

import io
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from tests.upgrade.deployment import read_env

_READ_SECONDS_MAX = 120.0
_PREFIX = "__dlq.errors."
_SOURCE = {
    "type": "record", "name": "FeatureRow", "namespace": "weir",
    "fields": [{"name": "source_partition", "type": "int"}, {"name": "source_offset", "type": "long"},
               {"name": "declarations_hash", "type": "string"},
               {"name": "degraded", "type": {"type": "array", "items": "string"}},
               {"name": "decided", "type": ["null", "boolean"], "default": None}],
}  # fmt: skip
At = tuple[int, int]


class Tail:
    """The committed records of a topic, as far as they were read."""

    def __init__(self, home: Path, topic: str) -> None:
        self.messages: list[Message] = []
        self._consumer = Consumer({
            "bootstrap.servers": read_env(home)["WEIR_KAFKA__BOOTSTRAP_SERVERS"], "group.id": "upgrade-count",
            "enable.auto.commit": False, "isolation.level": "read_committed", "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        })  # fmt: skip
        numbers = self._consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self._unread = set(numbers)
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def count(self) -> int:
        """Take what has come; return how many there are so far."""
        for message in self._consumer.consume(10_000, 0.1):
            if message.error() is None:
                self.messages.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                self._unread.discard(message.partition())
        return len(self.messages)

    def read_to_end(self) -> list[Message]:
        """Read until each partition has been at its end."""
        deadline = time.monotonic() + _READ_SECONDS_MAX
        while self._unread:
            assert time.monotonic() < deadline, "a topic was not read to its end"
            self.count()
        return self.messages


def read_committed(home: Path, topic: str) -> list[Message]:
    """Read a topic from its first record to its end as it is now, committed records alone."""
    with Tail(home, topic) as tail:
        return tail.read_to_end()


def positions(messages: Iterable[Message]) -> Counter[At]:
    """Return the positions of records themselves."""
    return Counter((message.partition(), message.offset()) for message in messages)


def sources_of_letters(messages: Iterable[Message]) -> Counter[At]:
    """Return which positions of the transactions dead letters are about."""
    return Counter(_by_headers(m, f"{_PREFIX}partition", f"{_PREFIX}offset") for m in messages)


def sources_of_decisions(messages: Iterable[Message]) -> Counter[At]:
    """Return which positions of the transactions decisions are about."""
    return Counter(_by_headers(m, "weir.source.partition", "weir.source.offset") for m in messages)


def _by_headers(message: Message, partition: str, offset: str) -> At:
    headers = dict(message.headers())
    return int(headers[partition]), int(headers[offset])


def read_rows(home: Path, messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Decode of each feature row where it comes from, its declarations, and what was incomplete."""
    registry = read_env(home)["WEIR_REGISTRY__URL"]
    writers: dict[int, Any] = {}
    reader: Any = fastavro.parse_schema(_SOURCE)
    rows = []
    for message in messages:
        value = message.value()
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in writers:
            writers[schema_id] = _schema_of(registry, schema_id)
        row: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), writers[schema_id], reader)
        rows.append(dict(row))
    return rows


def _schema_of(registry: str, schema_id: int) -> Any:
    with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}", timeout=10) as answer:
        return fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
