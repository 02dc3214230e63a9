"""Transactions as somebody else would publish them: dictionaries, fastavro, the frame by hand, a plain producer."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import fastavro
from confluent_kafka import Producer

from weir.infra.kafka.clients import CLIENT_LOG, build_producer
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.contracts import schema_json, subject

DEADLINE_SECONDS = 30.0
Payment = dict[str, Any]


def build_payment(transaction_id: str, *, card_id: str = "card-1", **fields: Any) -> Payment:
    """Return a valid payment of now, with some fields changed."""
    return {
        "transaction_id": transaction_id,
        "card_id": card_id,
        "customer_id": "customer-1",
        "merchant_id": "merchant-1",
        "mcc": 5411,
        "channel": "POS",
        "amount_minor": 1_250,
        "currency": "EUR",
        "country": "DE",
        "event_time_ms": int(time.time() * 1_000),
        "outcome": "ACCEPTED",
        "device_id": None,
        "ip": None,
        "lat": None,
        "lon": None,
        "issuer_country": None,
        "entry_mode": None,
    } | fields


def encode_body(payment: Payment, *, version: int = 2) -> bytes:
    """Encode a payment by a version of the contract, without the frame; fields it does not know are left out."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(schema_json("transactions", version))), payment)
    return stream.getvalue()


def frame(schema_id: int, body: bytes) -> bytes:
    """Put the Confluent frame around a body."""
    return b"\x00" + schema_id.to_bytes(4, "big") + body


def schema_ids(settings: Settings) -> dict[int, int]:
    """Return the registry's id of each version of the transactions contract."""
    registry = Registry(settings.registry)
    try:
        name = subject(settings.topics.transactions)
        return {version: registry.register(name, schema_json("transactions", version)) for version in (1, 2)}
    finally:
        registry.close()


def build_label(transaction_id: str, **fields: Any) -> dict[str, Any]:
    """Return a label with some fields given."""
    return {"transaction_id": transaction_id, "device_id": None, "is_fraud": True, "source": "analyst"} | fields


def publish_labels(settings: Settings, labels: Iterable[dict[str, Any]]) -> dict[int, int]:
    """Publish labels keyed by their cards; return the end of each partition that got some."""
    registry = Registry(settings.registry)
    schema_id = registry.latest_id(subject(settings.topics.labels))
    registry.close()
    schema = fastavro.parse_schema(json.loads(schema_json("labels")))
    producer = build_producer(settings.kafka, enable_idempotence=False)  # an id takes half a second
    ends: dict[int, int] = {}

    def delivered(error: Any, message: Any) -> None:
        assert error is None, error
        ends[message.partition()] = max(message.offset() + 1, ends.get(message.partition(), 0))

    for label in labels:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, schema, label)
        value = frame(schema_id, stream.getvalue())
        producer.produce(settings.topics.labels, value, label["card_id"], on_delivery=delivered)
    assert producer.flush(DEADLINE_SECONDS) == 0
    return ends


class Publisher:
    """A producer that knows nothing of ours but how Java's producers choose a partition, and the bytes it is given."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.transactions
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka.bootstrap_servers,
                "linger.ms": 50,
                "message.max.bytes": 16 * 1024 * 1024,
                "partitioner": "murmur2_random",
            },
            logger=CLIENT_LOG,
        )
        self.ids = schema_ids(settings)

    def send(
        self, records: Iterable[tuple[str | bytes | None, bytes | None]], *, partition: int = -1
    ) -> list[tuple[int, int]]:
        """Publish keys and values together, wait for the broker, and return partition and offset of each, in order."""
        places: dict[int, tuple[int, int]] = {}

        def delivered(number: int, error: Any, message: Any) -> None:
            assert error is None, error
            places[number] = (message.partition(), message.offset())

        for number, (key, value) in enumerate(records):
            self._producer.produce(self._topic, value, key, partition=partition, on_delivery=partial(delivered, number))
        assert self._producer.flush(DEADLINE_SECONDS) == 0
        return [places[number] for number in sorted(places)]

    def value(self, payment: Payment, *, version: int = 2) -> bytes:
        """Return a payment as a record value."""
        return frame(self.ids[version], encode_body(payment, version=version))

    def send_payments(
        self, payments: Iterable[Payment], *, partition: int = -1, version: int = 2
    ) -> list[tuple[int, int]]:
        """Publish payments keyed by their cards."""
        return self.send(((p["card_id"], self.value(p, version=version)) for p in payments), partition=partition)
