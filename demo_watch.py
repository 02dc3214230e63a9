"""What the demo sees: decisions and dead letters as any consumer would, folded into the numbers on the screen."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from infra.kafka import build_consumer, check_message
from infra.kafka_admin import describe_topics
from infra.registry import Registry
from infra.settings import Settings
from monitoring.live_view import Declined
from schemas.codec import BatchCodec
from schemas.contracts import subject
from schemas.currencies import exponent
from schemas.errors import Transient, WeirError

_POLL_SECONDS = 0.1
_LATEST = 8
_INJECTED_AGE_MS = 30_000
"""A record this much older than its append was sent late on purpose; its age is not our latency."""


@dataclass
class Tally:
    """Everything counted since ``begin``; guarded by ``Watch.lock``."""

    decisions: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    dead_letters: int = 0
    latency_ms: list[float] = field(default_factory=list)
    latest: deque[Declined] = field(default_factory=lambda: deque(maxlen=_LATEST))
    by_transaction: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_at: float = 0.0


class Watch:
    """Follows the decisions topic and the dead letter queue from their present ends, on a thread."""

    def __init__(self, settings: Settings) -> None:
        """Find the ends; nothing is counted before ``begin``."""
        self._settings = settings
        self._codec = BatchCodec("decisions")
        self._registry = Registry(settings.registry)
        self._consumer = build_consumer(settings.kafka, group="weir-demo-watch")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._error: Exception | None = None
        self.lock = threading.Lock()
        self.tally = Tally()

    def begin(self) -> None:
        """Start to count what comes from now on."""
        names = self._settings.topics
        self._consumer.assign(ends(self._consumer, self._settings, [names.decisions, names.dlq]))
        self._thread.start()

    def reset(self) -> None:
        """Count from zero."""
        with self.lock:
            self.tally = Tally()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._consumer.close()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._follow()
        except (WeirError, KafkaException) as error:
            self._error = error

    def _follow(self) -> None:
        while not self._stop.is_set():
            messages = []
            for message in self._consumer.consume(5_000, _POLL_SECONDS):
                try:
                    messages.append(check_message(message))
                except Transient:
                    continue
            decisions = [m for m in messages if m.topic() == self._settings.topics.decisions]
            with self.lock:
                self.tally.dead_letters += len(messages) - len(decisions)
                if decisions:
                    self._count(decisions)

    def _count(self, messages: list[Message]) -> None:
        topic = subject(self._settings.topics.decisions)
        values = [message.value() for message in messages]
        decoded = self._codec.decode(values, lambda schema_id: self._registry.writer_schema(schema_id, topic))
        tally = self.tally
        for row, index in zip(decoded.batch.to_pylist(), decoded.rows, strict=True):
            committed_ms = messages[index].timestamp()[1]
            tally.decisions[row["decision"]] += 1
            tally.degraded += row["degraded"]
            tally.by_transaction[row["transaction_id"]] = row
            if row["ingest_time_ms"] - row["event_time_ms"] < _INJECTED_AGE_MS:
                tally.latency_ms.append(committed_ms - row["event_time_ms"])
            if row["decision"] == "DECLINE":
                tally.latest.appendleft(_declined(row, committed_ms))
        tally.last_at = time.monotonic()


def ends(consumer: Consumer, settings: Settings, topics: list[str]) -> list[TopicPartition]:
    """Return every partition of these topics, placed at its end."""
    placed = []
    for name, facts in describe_topics(settings.kafka, topics).items():
        for number in range(facts.partitions):
            _, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10.0)
            placed.append(TopicPartition(name, number, high))
    return placed


def count_records(consumer: Consumer, settings: Settings, topic: str) -> int:
    """Return how many offsets a topic has used, over all partitions."""
    return sum(int(at.offset) for at in ends(consumer, settings, [topic]))


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p90, p99 and max of latencies, by name; empty for none."""
    if not values:
        return {}
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(max(values))}


def money(amount_minor: int, currency: str) -> str:
    """Format an amount for people.

    >>> money(123456, "USD")
    '1,234.56 USD'
    """
    places = exponent(currency)
    return f"{amount_minor / 10**places:,.{places}f} {currency}"


def _declined(row: dict[str, Any], at_ms: int) -> Declined:
    return Declined(
        clock=datetime.fromtimestamp(at_ms / 1_000).astimezone().strftime("%H:%M:%S"),
        transaction_id=row["transaction_id"],
        amount=money(row["amount_minor"], row["currency"]),
        score="-" if row["score"] is None else f"{row['score']:.3f}",
        reasons=", ".join(reason["code"] for reason in row["reasons"]) or row["decided_by"],
    )
