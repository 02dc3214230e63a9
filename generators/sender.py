"""The thin producer: sends blocks when they are due, never faster, and says how far it fell behind.

Delivery: at least once without reordering (idempotent producer); every record is acknowledged by all replicas or
counted as failed. Memory: two blocks, the one being sent and the one being prepared.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from weir.generators.outgoing import Outgoing
from weir.generators.seeds import Floats
from weir.schemas.errors import Transient

_SLICE_RECORDS = 2_000
"""Sent between two looks at the clock."""
_PAUSE_SECONDS_MIN, _PAUSE_SECONDS_MAX = 0.001, 0.05
_QUEUE_FULL_SECONDS_MAX = 60.0
_FLUSH_SECONDS = 60.0
_LAG_SAMPLES_MAX = 2_000_000
"""Lags kept for percentiles; beyond it, only the maximum is followed."""


@dataclass
class Sent:
    """What was sent.

    Attributes:
        records: handed to the broker, of all kinds.
        failed: of those, never acknowledged.
        first_error: what the broker said of the first one that it refused.
        lag_ms: how long after its due moment each record was handed over.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    records: int = 0
    failed: int = 0
    first_error: str = ""
    seconds: float = 0.0
    lag_ms_max: float = 0.0
    lag_ms: list[Floats] = field(default_factory=list)

    def lag_percentile_ms(self, percent: float) -> float:
        """Return a percentile of the lag, 0 when nothing had a due moment."""
        return float(np.percentile(np.concatenate(self.lag_ms), percent)) if self.lag_ms else 0.0


class Sender:
    """Hands records to a producer.

    Args:
        producer: idempotent; see ``weir.infra.kafka.clients.build_producer``.
        stopped: asked between slices; true ends the stream early, cleanly.
        before_block: told of every block before its first record is sent.
        clock: seconds since the epoch.
        pause: waits some seconds.
    """

    def __init__(
        self,
        producer: Producer,
        *,
        stopped: Callable[[], bool] = lambda: False,
        before_block: Callable[[Outgoing], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._producer = producer
        self._stopped = stopped
        self._before_block = before_block
        self._clock = clock
        self._pause = pause
        self.sent = Sent()

    def send_all(self, blocks: Iterable[Outgoing]) -> Sent:
        """Send every block, preparing the next while one is sent; return once all is acknowledged.

        Raises:
            Transient: the producer's queue did not drain in time.
        """
        begun = 0.0
        for block in _prepared_ahead(iter(blocks)):
            self._before_block(block)
            begun = begun or max(self._clock(), block.due_ms[0] / 1000)
            self._send(block)
            self.sent.kinds += block.kinds
            if self._stopped():
                break
        self.sent.failed += self._producer.flush(_FLUSH_SECONDS)
        self.sent.seconds = max(0.0, self._clock() - begun) if begun else 0.0
        return self.sent

    def _send(self, block: Outgoing) -> None:
        position = 0
        while position < len(block) and not self._stopped():
            now_ms = self._clock() * 1000
            due = int(np.searchsorted(block.due_ms, now_ms, side="right"))
            if due <= position:
                self._producer.poll(0)
                self._pause(_pause_seconds(block.due_ms[position] - now_ms))
                continue
            end = min(due, position + _SLICE_RECORDS)
            for key, value in zip(block.keys[position:end], block.values[position:end], strict=True):
                self._produce(block.topic, key, value)
            self._follow_lag(block.due_ms[position:end])
            self._producer.poll(0)
            position = end

    def _produce(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        give_up = 0.0
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._on_delivery)
            except BufferError:
                give_up = give_up or self._clock() + _QUEUE_FULL_SECONDS_MAX
                if self._clock() > give_up:
                    raise Transient(f"expected the broker to take records, found a full queue for {topic}") from None
                self._producer.poll(0.05)
            else:
                self.sent.records += 1
                return

    def _on_delivery(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.sent.failed += 1
            self.sent.first_error = self.sent.first_error or str(error)

    def _follow_lag(self, due_ms: Floats) -> None:
        if not len(due_ms) or due_ms[-1] == 0:
            return
        lag_ms = self._clock() * 1000 - due_ms
        self.sent.lag_ms_max = max(self.sent.lag_ms_max, float(lag_ms[0]))
        if self.sent.records <= _LAG_SAMPLES_MAX:
            self.sent.lag_ms.append(lag_ms)


def _pause_seconds(until_due_ms: float) -> float:
    return float(np.clip(until_due_ms / 1000, _PAUSE_SECONDS_MIN, _PAUSE_SECONDS_MAX))


def _prepared_ahead(blocks: Iterator[Outgoing]) -> Iterator[Outgoing]:
    """Yield blocks while a thread prepares the next; NumPy, Arrow and the Avro encoder release the interpreter."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate") as pool:
        upcoming = pool.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = pool.submit(next, blocks, None)
            yield block
