"""Publishes one event at a time to its stream's topic, for ``POST …/score?publish=true``.

Delivery: at least once. When the broker's answer is lost the outcome is not known to us; the same id again is
safe, because the processor counts and decides it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaException, Producer

from weir.inference.api.ports import Published
from weir.inference.api.web.request_id import HEADER
from weir.monitoring.request_id import REQUEST_ID
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Transient
from weir.schemas.stream import Stream

ANSWER_SECONDS_MAX = 5.0
_POLL_SECONDS = 0.02


def event_headers() -> list[tuple[str, bytes]]:
    """Return the Kafka headers of an event: the id of the request that publishes it, under the name it has in HTTP."""
    request_id = REQUEST_ID.get()
    return [(HEADER.decode(), request_id.encode())] if request_id else []


class KafkaPublisher:
    """Encodes by the contract and waits for the broker; safe to use from several threads."""

    def __init__(
        self, producer: Producer, *, topic: str, schema: str, schema_id: Callable[[], int], stream: Stream
    ) -> None:
        """Bind to a topic.

        Args:
            producer: idempotent, without a transactional id.
            topic: of the events, or of what is learnt about them.
            schema: of a record, as JSON text.
            schema_id: the registry's id of it; may raise ``Transient``.
            stream: whose records they are.
        """
        self._producer = producer
        self._topic = topic
        self._schema_id = schema_id
        self._codec = BatchCodec(schema=schema)
        self._key_field = stream.key.field

    def publish(self, event: dict[str, object]) -> Published:
        """See ``inference.ports.EventPublisher``."""
        schema = self._codec.arrow_schema
        batch = pa.RecordBatch.from_arrays([pa.array([event[f.name]], f.type) for f in schema], schema=schema)
        value = self._codec.encode(batch, self._schema_id())[0]
        outcome: list[tuple[Any, Any]] = []
        try:
            self._producer.produce(
                self._topic,
                value,
                str(event[self._key_field]).encode(),
                headers=event_headers(),
                on_delivery=lambda error, message: outcome.append((error, message)),
            )
        except (BufferError, KafkaException) as error:
            raise Transient(f"kafka: publishing: {error}") from None
        return self._await_answer(outcome)

    def _await_answer(self, outcome: list[tuple[Any, Any]]) -> Published:
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while not outcome and time.monotonic() < deadline:
            self._producer.poll(_POLL_SECONDS)
        if not outcome:
            raise Transient(f"kafka: no answer to publishing within {ANSWER_SECONDS_MAX:.0f} s")
        error, message = outcome[0]
        if error is not None:
            raise Transient(f"kafka: publishing: {error.str()}")
        return Published(message.topic(), message.partition(), message.offset())
