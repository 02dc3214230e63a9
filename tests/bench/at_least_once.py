"""The processor without its guarantee: the same code, with a plain producer and a commit of offsets in its place.

What is replaced is ``TransactionalOutput`` alone: rows go through the same idempotent client without a transaction,
are flushed, and then the consumer commits its offsets without waiting for the answer, as at-least-once programs do.
Decoding, kernel, Redis and its compare-and-set stay. It exists to be measured; no setting leads here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

import weir.streaming.cli
import weir.streaming.open_loop
from tests.faults.patch import replace
from weir.infra.kafka.clients import build_consumer, build_producer
from weir.infra.kafka.sink import Offsets, Record, Rows, TransactionalOutput
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient

_FLUSH_SECONDS_MAX = 30.0
_consumers: list[Consumer] = []


class FlushedOutput(TransactionalOutput):
    """Publishes, waits for acknowledgements, commits offsets. Delivery: at least once."""

    transactional = False

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(self, rows: Iterable[Rows], records: Iterable[Record], offsets: Offsets | None) -> None:
        self._offsets = offsets
        for batch in rows:
            self._produce_rows(batch)
        for record in records:
            self._produce(record)

    def finish(self, rows: Iterable[Rows] = ()) -> None:
        for batch in rows:
            self._produce_rows(batch)
        offsets = self._offsets
        if self._producer.flush(_FLUSH_SECONDS_MAX):
            raise Transient("kafka: outputs were not acknowledged in time")
        if offsets is not None:
            positions = [
                TopicPartition(*partition, offset, metadata=offsets.notes.get(partition, ""))
                for partition, offset in offsets.next_offsets.items()
            ]
            _consumers[-1].commit(offsets=positions, asynchronous=True)


def _build_plain_producer(kafka: KafkaSettings, *, transactional_id: str | None = None, **extra: Any) -> Producer:
    del transactional_id
    return build_producer(kafka, delivery_report_only_error=True, **extra)


def _build_known_consumer(kafka: KafkaSettings, **named: Any) -> Consumer:
    _consumers.append(build_consumer(kafka, **named))
    return _consumers[-1]


def main() -> int:
    """Run the processor with these in place; the flags are those of ``weir process``."""
    replace(
        weir.streaming.open_loop,
        TransactionalOutput=FlushedOutput,
        build_producer=_build_plain_producer,
        build_consumer=_build_known_consumer,
    )
    return weir.streaming.cli.main(["process", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
