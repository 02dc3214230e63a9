"""Follows the committed decisions and keeps the time from sending to commit of one in twenty, by minute.

Reading a message costs a microsecond or two, decoding it ten: a sample is enough for a p99 of thousands a minute.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict

import numpy as np
from confluent_kafka import KafkaException, Message, TopicPartition

from infra.kafka import build_consumer, check_message
from infra.kafka_offsets import end_offsets
from infra.registry import Registry
from infra.settings import Settings
from schemas.codec import BatchCodec
from schemas.contracts import subject
from schemas.errors import Transient, WeirError

ONE_IN = 20
_POLL_SECONDS = 0.2
_AT_ONCE = 5_000


class Latency:
    """Counts outputs from the topics' present ends on, on a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        """Find the ends; ``begin`` starts."""
        self._decisions, self._dlq = settings.topics.decisions, settings.topics.dlq
        self._codec = BatchCodec("decisions")
        self._registry = Registry(settings.registry)
        self._consumer = build_consumer(settings.kafka, group="weir-soak")
        starts = {topic: end_offsets(settings.kafka, topic) for topic in (self._decisions, self._dlq)}
        self._consumer.assign([TopicPartition(t, n, at) for t, found in starts.items() for n, at in found.items()])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="latency", daemon=True)
        self._began = 0.0
        self._error: Exception | None = None
        self.outputs = 0
        self._by_minute: dict[int, list[int]] = defaultdict(list)

    def begin(self) -> None:
        """Start to count; minutes are from now."""
        self._began = time.time()
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()
        self._registry.close()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def percentiles(self) -> dict[int, tuple[float, float]]:
        """Return p50 and p99 in ms by minute of sending."""
        found = {minute: list(values) for minute, values in list(self._by_minute.items())}
        return {minute: tuple(np.percentile(values, [50, 99]).tolist()) for minute, values in sorted(found.items())}

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._take(self._consumer.consume(_AT_ONCE, _POLL_SECONDS))
        except (WeirError, KafkaException) as error:
            self._error = error

    def _take(self, messages: list[Message]) -> None:
        good = []
        for message in messages:
            try:
                good.append(check_message(message))
            except Transient:
                continue
        self.outputs += len(good)
        sampled = [message for message in good if message.offset() % ONE_IN == 0 and message.topic() == self._decisions]
        if not sampled:
            return
        topic = subject(self._decisions)
        decoded = self._codec.decode(
            [message.value() for message in sampled], lambda schema_id: self._registry.writer_schema(schema_id, topic)
        )
        sent = decoded.batch.column("event_time_ms").to_pylist()
        for row, sent_ms in zip(decoded.rows.tolist(), sent, strict=True):
            minute = int((sent_ms / 1_000 - self._began) // 60)
            if minute >= 0:
                self._by_minute[minute].append(sampled[row].timestamp()[1] - sent_ms)
