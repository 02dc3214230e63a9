"""``weir inspect stream``: the last events with their decisions, and, if asked, those that come. Read only.

Delivery: committed decisions alone, each once, in order of their append times; transactions that are still open are
not waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from confluent_kafka import Message

from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.history import History
from weir.infra.kafka.source import Partition
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.logs import mask_card_numbers
from weir.schemas.amount_text import list_amounts
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, subject
from weir.schemas.currencies import format_amount
from weir.schemas.stream import Stream

POLL_SECONDS = 0.5


class DecisionStream:
    """Reads decisions from the end of their topic."""

    def __init__(self, settings: Settings, history: History, registry: Registry) -> None:
        """Find the topic.

        Raises:
            Refused: there is none.
            Transient: the brokers did not answer in time.
        """
        self._topic = settings.topics.decisions
        self._count = describe_topics(settings.kafka, [self._topic])[self._topic].partitions
        self._history, self._registry = history, registry
        self._stream = settings.stream
        self._codec = BatchCodec(schema=decisions_schema(settings.stream))
        self._next: dict[Partition, int] = {}

    def last(self, count: int) -> list[dict[str, Any]]:
        """Return the last decisions, oldest first.

        Raises:
            Transient: the brokers or the registry did not answer in time.
        """
        found = [message for number in range(self._count) for message in self._tail((self._topic, number), count)]
        return self._describe(found)[-count:] if count else []

    def fresh(self) -> list[dict[str, Any]]:
        """Return what was decided since the last call of this or of ``last``, oldest first.

        Raises:
            Transient: the brokers or the registry did not answer in time.
        """
        found = [message for partition in self._next for message in self._read(partition)]
        return self._describe(found)

    def _tail(self, partition: Partition, count: int) -> list[Message]:
        """Read longer and longer ends: next to each transaction's records there is a marker, which is none."""
        low, end = self._history.low(partition), self._history.end(partition)
        self._next[partition] = end
        length, found = max(1, count), list[Message]()
        while count and len(found) < count and end > low and end - low > length // 4:
            found = [m for messages in self._history.read(partition, max(low, end - length), end) for m in messages]
            length *= 4
        return found[-count:]

    def _read(self, partition: Partition) -> list[Message]:
        start, end = self._next[partition], self._history.end(partition)
        if end <= start:
            return []
        found = [message for messages in self._history.read(partition, start, end) for message in messages]
        self._next[partition] = end
        return found

    def _describe(self, messages: list[Message]) -> list[dict[str, Any]]:
        messages = sorted(messages, key=lambda message: (message.timestamp()[1], message.partition(), message.offset()))
        of_topic = subject(self._topic)
        decoded = self._codec.decode(
            [message.value() for message in messages], lambda i: self._registry.writer_schema(i, of_topic)
        )
        rows = zip(decoded.batch.to_pylist(), decoded.rows.tolist(), strict=True)
        return [_document(row, messages[at].timestamp()[1], self._stream) for row, at in rows]


def columns_of(stream: Stream) -> tuple[str, ...]:
    """Return the titles of a decision's cells: its id, its key, and its amounts of money."""
    amounts = (name for name, _, _ in list_amounts(stream))
    return ("decided", stream.event, stream.key.name, *amounts, "decision", "score", "latency", "why")


def _document(row: dict[str, Any], appended_ms: int, stream: Stream) -> dict[str, Any]:
    """Return one decision for machines, with how long it took from the event's append to its own."""
    masked = {name: mask_card_numbers(value) if isinstance(value, str) else value for name, value in row.items()}
    amounts = {name: format_amount(row[amount], row[currency]) for name, amount, currency in list_amounts(stream)}
    return amounts | masked | {"decided_ms": appended_ms, "latency_ms": appended_ms - row["ingest_time_ms"]}


def describe_row(document: dict[str, Any], format_time: Callable[[Any], str], stream: Stream) -> tuple[str, ...]:
    """Return the cells of one decision, in the order of ``columns_of``."""
    score = document["score"]
    reasons = ", ".join(reason["code"] for reason in document["reasons"]) or document["decided_by"]
    return (
        format_time(document["decided_ms"]),
        document[stream.id],
        document[stream.key.field],
        *(document[name] for name, _, _ in list_amounts(stream)),
        document["decision"],
        "-" if score is None else f"{score:.3f}",
        f"{document['latency_ms']} ms",
        reasons + (" (degraded)" if document["degraded"] else ""),
    )


def follow(stream: DecisionStream, sleep: Callable[[float], None] = time.sleep) -> Iterator[dict[str, Any]]:
    """Yield what is decided from now on, until interrupted."""
    while True:
        yield from stream.fresh()
        sleep(POLL_SECONDS)
