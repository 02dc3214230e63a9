"""Follows the committed decisions and keeps the time from sending to commit of one in twenty, by slices of time.

Reading a message costs a microsecond or two, decoding it ten: a sample is enough for a p99 of thousands a minute.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict

import numpy as np
from confluent_kafka import KafkaException, Message, TopicPartition

from weir.infra.kafka.clients import build_consumer, check_message
from weir.infra.kafka.offsets import end_offsets
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.schemas.errors import Transient, WeirError

ONE_IN = 20
SLICE_SECONDS = 15
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
        self._slices: dict[int, list[int]] = defaultdict(list)

    def begin(self) -> None:
        """Start to count; slices are from now."""
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

    def percentiles(self, *, every_seconds: int, seconds: float) -> dict[int, tuple[float, float]]:
        """Return p50 and p99 in ms of what was sent in each whole period, by its number; call it after ``close``."""
        periods: dict[int, list[int]] = defaultdict(list)
        for number, values in sorted(self._slices.items()):
            periods[number * SLICE_SECONDS // every_seconds] += values
        whole = {number: values for number, values in periods.items() if (number + 1) * every_seconds <= seconds}
        return {number: _p50_p99(values) for number, values in whole.items()}

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
            number = int((sent_ms / 1_000 - self._began) // SLICE_SECONDS)
            if number >= 0:
                self._slices[number].append(sampled[row].timestamp()[1] - sent_ms)


def _p50_p99(values: list[int]) -> tuple[float, float]:
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return p50, p99
