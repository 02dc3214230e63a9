"""Feature rows in, decisions out: what the scorer's tests put into the log and read back from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from confluent_kafka import Message

from tests.pauses import Pauses
from tests.payments import DECLARATIONS_HASH
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.history import History
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import schema_json, subject
from weir.schemas.errors import Transient

DEADLINE_SECONDS = 60.0
BURST = "card_event_count_5m"


def build_rows(first: int, count: int, **columns: Any) -> pa.RecordBatch:
    """Return rows ``t<first>`` onwards; every fifth one is a burst that the tiny model declines."""
    schema = BatchCodec("features").arrow_schema
    numbers = range(first, first + count)
    given: dict[str, Any] = {
        "transaction_id": [f"t{n}" for n in numbers],
        "card_id": [f"card-{n % 97}" for n in numbers],
        "source_offset": list(numbers),
        "declarations_hash": [DECLARATIONS_HASH] * count,
        "ingest_time_ms": [int(time.time() * 1_000)] * count,
        BURST: [9.0 if n % 5 == 0 else 1.0 for n in numbers],
    } | {name: [value] * count for name, value in columns.items()}
    complete = {field.name: given.get(field.name, [_default(field)] * count) for field in schema}
    return pa.RecordBatch.from_pydict(complete, schema=schema)


def _default(field: pa.Field) -> Any:
    if field.nullable:
        return None
    if pa.types.is_list(field.type):
        return []
    return False if pa.types.is_boolean(field.type) else "x" if pa.types.is_string(field.type) else 0


def publish_rows(settings: Settings, rows: pa.RecordBatch) -> None:
    """Write feature rows, keyed by card, as the processor does."""
    producer = build_producer(settings.kafka, enable_idempotence=False)  # an id takes half a second
    for card, value in zip(rows.column("card_id").to_pylist(), encode_rows(settings, rows), strict=True):
        producer.produce(settings.topics.features, value, card.encode())
    assert producer.flush(DEADLINE_SECONDS) == 0


def encode_rows(settings: Settings, rows: pa.RecordBatch) -> list[bytes]:
    """Return feature rows as the processor's values."""
    registry = Registry(settings.registry)
    try:
        schema_id = registry.register(subject(settings.topics.features), schema_json("features"))
    finally:
        registry.close()
    return BatchCodec("features").encode(rows, schema_id)


def publish_raw(settings: Settings, value: bytes | None, *, partition: int = 0) -> None:
    """Write any bytes to the features topic."""
    producer = build_producer(settings.kafka, enable_idempotence=False)  # an id takes half a second
    producer.produce(settings.topics.features, value, b"card-x", partition=partition, headers=[("trace", b"abc")])
    assert producer.flush(DEADLINE_SECONDS) == 0


def read_topic(settings: Settings, topic: str) -> list[Message]:
    """Return every committed record of a topic."""
    history = History(settings.kafka)
    try:
        partitions = describe_topics(settings.kafka, [topic])[topic].partitions
        return [
            message
            for number in range(partitions)
            for chunk in history.read((topic, number), 0, history.end((topic, number)), chunk=5_000)
            for message in chunk
        ]
    finally:
        history.close()


def decode_decisions(settings: Settings, messages: list[Message]) -> list[dict[str, Any]]:
    """Return decisions as dictionaries, in the order given."""
    registry = Registry(settings.registry)
    try:
        of_subject = subject(settings.topics.decisions)
        decoded = BatchCodec("decisions").decode(
            [message.value() for message in messages], lambda schema_id: registry.writer_schema(schema_id, of_subject)
        )
    finally:
        registry.close()
    assert not decoded.errors
    return list(decoded.batch.to_pylist())


def read_decisions(settings: Settings) -> list[dict[str, Any]]:
    """Return every committed decision."""
    return decode_decisions(settings, read_topic(settings, settings.topics.decisions))


def await_true(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Ask again until it holds, with a deadline; who cannot answer yet, as a topic without a leader, is asked again."""
    deadline, pauses = time.monotonic() + seconds, Pauses()
    while not holds(condition):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        pauses.sleep()


def holds(condition: Callable[[], bool]) -> bool:
    """Whether a condition holds, as far as the servers can say just now."""
    try:
        return condition()
    except Transient:
        return False
