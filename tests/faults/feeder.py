"""Sends the load in the background, at a rate, until told to finish; a broker that is away is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from confluent_kafka import KafkaException, Message, Producer

from tests.faults.load import Sending

SLICE_SECONDS = 0.1
DELIVERY_SECONDS = 180


class Feeder:
    """One producer thread.

    Args:
        bootstrap: the brokers.
        topics: kind of record to topic.
        traffic: the stream.
        rate: records a second.
        records_min: sent before the end, however early that is asked for.
        records_max: never sent more.

    Attributes:
        handed_ms: when each record of an input was given to the client, by topic, partition and offset: what waits for
            a broker has an append time long after it.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: dict[str, str],
        traffic: Iterable[Sending],
        *,
        rate: int,
        records_min: int,
        records_max: int,
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.timeout.ms": DELIVERY_SECONDS * 1_000,
                "reconnect.backoff.max.ms": 500,
                "linger.ms": 5,
                "topic.metadata.refresh.interval.ms": 2_000,
                "log_level": 0,
            }
        )
        self._topics, self.stream = topics, iter(traffic)
        self._rate, self._records_min, self._records_max = rate, records_min, records_max
        self._finish = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self.sent = 0
        self.failed = 0
        self.handed_ms: dict[tuple[str, int, int], int] = {}

    def start(self, *, burst: int) -> None:
        """Send ``burst`` records at once, then go on in the background."""
        self.send(islice(self.stream, burst))
        self._thread.start()

    def send(self, sendings: Iterable[Sending]) -> None:
        """Send these records now and wait until the broker has them."""
        for sending in sendings:
            self._send(sending)
        self._flush()

    def knows(self, kind: str, partitions: int) -> bool:
        """Whether the sender knows so many partitions of an input, and so sends keys to all of them."""
        topic = self._topics[kind]
        return len(self._producer.list_topics(topic, timeout=10).topics[topic].partitions) == partitions

    def finish(self) -> int:
        """Send what is missing to ``records_min``, stop, and return how many records there were."""
        self._finish.set()
        self._thread.join()
        self._flush()
        if self.failed:
            raise AssertionError(f"{self.failed} records of the load were not accepted by the broker")
        return self.sent

    def _run(self) -> None:
        began, first = time.monotonic(), self.sent
        while self.sent < self._records_max and not (self._finish.is_set() and self.sent >= self._records_min):
            due = first + int((time.monotonic() - began) * self._rate)
            if self._finish.is_set():
                due = max(due, min(self.sent + self._rate, self._records_min))
            for sending in self._up_to(min(due, self._records_max)):
                self._send(sending)
            self._producer.poll(0)
            self._finish.wait(SLICE_SECONDS)

    def _up_to(self, due: int) -> Iterator[Sending]:
        while self.sent < due:
            yield next(self.stream)

    def _send(self, sending: Sending) -> None:
        given = {"partition": sending.partition, "timestamp": sending.sender_ms}
        options = {name: value for name, value in given.items() if value is not None}
        delivered = partial(self._delivered, int(time.time() * 1_000))
        self._producer.produce(self._topics[sending.kind], sending.value, sending.key, on_delivery=delivered, **options)
        self.sent += 1

    def _delivered(self, handed_ms: int, error: object, message: Message) -> None:
        self.failed += error is not None
        if error is None:
            self.handed_ms[message.topic(), message.partition(), message.offset()] = handed_ms

    def _flush(self) -> None:
        if self._producer.flush(DELIVERY_SECONDS):
            raise KafkaException("the broker did not take the load")
