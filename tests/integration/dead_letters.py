"""Puts hand-made dead letters into a topic and reads back what a replay made of them."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from weir.infra.kafka.clients import build_consumer, build_producer
from weir.infra.settings import Settings
from weir.schemas.contracts import schema_json
from weir.streaming.dlq.letter import Header, dead_letter_headers

DEADLINE_SECONDS = 30.0


def publish_dead_letters(
    settings: Settings,
    values: Sequence[bytes | None],
    *,
    reason: str = "undecodable",
    partition: int = 0,
    first_offset: int = 100,
    original_headers: list[Header] | None = None,
) -> None:
    """Write one dead letter per value, of source offsets from ``first_offset`` on."""
    producer = build_producer(settings.kafka, enable_idempotence=False)  # an id takes half a second
    for number, value in enumerate(values):
        headers = dead_letter_headers(
            settings.processor.dlq_header_prefix,
            topic=settings.topics.transactions,
            partition=partition,
            offset=first_offset + number,
            group=settings.processor.group,
            stage="decode",
            exception_class="PoisonRecord",
            message="expected a body, found another",
            timestamp_ms=1_700_000_000_000,
            reason=reason,
            original_headers=original_headers,
        )
        producer.produce(settings.topics.dlq, value, f"card-{number}".encode(), headers=headers, partition=partition)
    assert producer.flush(DEADLINE_SECONDS) == 0


def frame_payment(schema_id: int, **fields: Any) -> bytes:
    """Encode a transaction of the newest version in the Confluent frame, with some fields changed."""
    payment = {
        "transaction_id": "t1",
        "card_id": "c1",
        "customer_id": "u1",
        "merchant_id": "m1",
        "mcc": 5411,
        "channel": "POS",
        "amount_minor": 100,
        "currency": "EUR",
        "country": "DE",
        "outcome": "ACCEPTED",
        "event_time_ms": 1_700_000_000_000,
        "device_id": None,
        "ip": None,
        "lat": None,
        "lon": None,
        "issuer_country": None,
        "entry_mode": None,
    }
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(schema_json("transactions"))), payment | fields)
    return b"\x00" + schema_id.to_bytes(4, "big") + stream.getvalue()


def read_all(settings: Settings, topic: str) -> list[Message]:
    """Return every committed record of a topic, partition by partition."""
    consumer = build_consumer(settings.kafka, group="test-reader", enable_partition_eof=True)
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=DEADLINE_SECONDS).topics[topic].partitions)
        return [message for number in partitions for message in _read_partition(consumer, topic, number)]
    finally:
        consumer.close()


def _read_partition(consumer: Consumer, topic: str, partition: int) -> list[Message]:
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=DEADLINE_SECONDS)[1]
    records: list[Message] = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error() is None:
            records.append(message)
        elif message.offset() >= end:
            return records
    raise AssertionError(f"{topic}[{partition}] was not read to its end at {end}")


def done_actions(settings: Settings) -> list[dict[str, Any]]:
    """Return the entries of what was done, in the order they were written."""
    return [json.loads(message.value()) for message in read_all(settings, settings.topics.dlq_done)]
