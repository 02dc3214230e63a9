"""Sending checked blocks: every record acknowledged by all replicas, or counted by the reason that the broker gave.

Delivery: at least once without reordering. A block at a time: the producer's queue never fills, and a broker that is
away is noticed early.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from weir.generators.encoding import Encoder
from weir.infra.user_files.checker import Checked, keyed
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_FLUSH_SECONDS = 60.0
_STOPPED_SECONDS = 10.0
"""How long acknowledgements are waited for once a stop was asked for."""
_LOOK_SECONDS = 0.5
_UNACKNOWLEDGED = "not acknowledged in time"


class HeldLabels:
    """Labels that wait until the file's events have reached the time at which each became known.

    The stream then learns them as it would have: after the events before them, before the events after them.
    Memory: the labels of as many blocks as the delay spans.
    """

    def __init__(self, stream: Stream = payments) -> None:
        self._stream = stream
        self._time = stream.labels.time if stream.labels else ""
        self._held: deque[pa.RecordBatch] = deque()
        self._reached_ms = 0

    def take(self, block: Checked) -> Iterator[Checked]:
        """Hold a block's labels and yield those that are known once its events are sent."""
        if block.labels is not None and block.labels.num_rows:
            self._held.append(block.labels)
        self._reached_ms = max(self._reached_ms, pc.max(block.batch[self._stream.time]).as_py())
        while self._held and pc.max(self._held[0][self._time]).as_py() <= self._reached_ms:
            yield keyed(self._held.popleft(), self._stream)

    def rest(self) -> Iterator[Checked]:
        """Yield what is left, once the file has ended."""
        while self._held:
            yield keyed(self._held.popleft(), self._stream)


class Delivery:
    """Hands blocks to a producer.

    Args:
        producer: idempotent; reports errors alone.
        stopped: whether to wait no longer than needed.

    Attributes:
        sent: records that were handed over.
        failures: how many were refused or not acknowledged, by reason.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._producer = producer
        self._stopped = stopped
        self._clock = clock
        self.sent = 0
        self.failures: Counter[str] = Counter()

    @property
    def published(self) -> int:
        """Records that every replica has."""
        return self.sent - self.failures.total()

    def send(self, topic: str, encoder: Encoder, block: Checked) -> bool:
        """Send one block and wait for it; return whether the broker took part in it, so that the next may follow."""
        for key, value in zip(block.keys, encoder.encode(block.batch), strict=True):
            self.sent += 1
            try:
                self._producer.produce(topic, value, key, on_delivery=self._on_delivery)
            except KafkaException as error:
                self._on_delivery(error.args[0], None)
        left = self._flush()
        if left:
            self.failures[_UNACKNOWLEDGED] += left
        return not left

    def _flush(self) -> int:
        began, left = self._clock(), 1
        while left:
            left = self._producer.flush(_LOOK_SECONDS)
            limit = _STOPPED_SECONDS if self._stopped() else _FLUSH_SECONDS
            if self._clock() - began > limit:
                break
        return left

    def _on_delivery(self, error: KafkaError | None, _: Message | None) -> None:
        if error is not None:
            self.failures[f"{error.name()}: {error.str()}"] += 1
