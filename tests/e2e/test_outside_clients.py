"""The pipeline used from outside, each time by a client that is not ours: publish, decide, repair, look up."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import fastavro
import httpx
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.conftest import create_deployment, settings_for
from tests.integration.payments import build_payment
from tests.integration.services import Services, log_of
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.kafka.clients import CLIENT_LOG
from weir.infra.settings import Settings

pytestmark = pytest.mark.server

RISE_SECONDS_MAX = 1.0


@dataclass
class Outside:
    """What an outsider has: addresses, topic names, a registry client."""

    settings: Settings
    services: Services
    registry: SchemaRegistryClient
    producer: Producer
    decisions: Consumer
    api: httpx.Client

    def publish(self, key: str, value: bytes) -> None:
        self.producer.produce(self.settings.topics.transactions, value, key)
        assert self.producer.flush(30) == 0

    def await_decisions(self, *transaction_ids: str) -> list[dict[str, Any]]:
        """Consume until each transaction is decided, then on to the end of what is there; each comes once."""
        names = {"subject.name.strategy": topic_subject_name_strategy}
        deserialize = AvroDeserializer(self.registry, conf=names)
        context = SerializationContext(self.settings.topics.decisions, MessageField.VALUE)
        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            message = self.decisions.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                found.append(deserialize(message.value(), context))
                assert message.key().decode() == found[-1]["card_id"]
                return False
            return {d["transaction_id"] for d in found} >= set(transaction_ids)

        self.services.await_true(all_there, f"decisions on {transaction_ids}")
        assert sorted(d["transaction_id"] for d in found) == sorted(transaction_ids)
        return sorted(found, key=lambda decision: transaction_ids.index(decision["transaction_id"]))

    def weir(self, *arguments: str) -> list[Any]:
        """Run a command with ``--json`` and return its lines."""
        return [json.loads(line) for line in self.services.run(*arguments, "--json").splitlines()]


@pytest.fixture(scope="module")
def outside(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    home = tmp_path_factory.mktemp("outside")
    link_champion(home, write_bundle(home / "models" / "tiny-1"))
    settings = settings_for(stack, "outside").model_copy(update={"home": home})
    create_deployment(settings)
    services = Services(settings, home / "logs")
    address = {"bootstrap.servers": settings.kafka.bootstrap_servers}
    group = {"group.id": f"{settings.cluster}.yours", "isolation.level": "read_committed"}
    decisions = Consumer(address | group | {"auto.offset.reset": "earliest"}, logger=CLIENT_LOG)
    try:
        services.start("process")
        services.start("score", "--with-index")
        api = log_of(services.start("serve", "--port", "0", ready="serving http")).partition("serving ")[2].split()[0]
        decisions.subscribe([settings.topics.decisions])
        registry_at = {"url": settings.registry.url, "timeout": 30}
        with httpx.Client(base_url=api, timeout=30) as client, SchemaRegistryClient(registry_at) as registry:
            yield Outside(settings, services, registry, Producer(address, logger=CLIENT_LOG), decisions, client)
    finally:
        decisions.close()
        services.stop()


def _serializer(outside: Outside) -> AvroSerializer:
    names = {"subject.name.strategy": topic_subject_name_strategy, "auto.register.schemas": False}
    latest = outside.registry.get_latest_version(f"{outside.settings.topics.transactions}-value")
    return AvroSerializer(outside.registry, latest.schema.schema_str, conf=names)


def _serialize(outside: Outside, payment: dict[str, Any]) -> bytes:
    context = SerializationContext(outside.settings.topics.transactions, MessageField.VALUE)
    value = _serializer(outside)(payment, context)
    assert value is not None
    return value


def test_a_transaction_of_the_plain_avro_serializer_is_decided_and_can_be_looked_up(outside: Outside) -> None:
    payment = build_payment("serializer-1", card_id="card-serializer")
    outside.publish(payment["card_id"], _serialize(outside, payment))
    (decision,) = outside.await_decisions("serializer-1")
    assert decision["decision"] == "APPROVE"
    assert decision["decided_by"] == "model"
    assert 0.0 < decision["score"] < 0.5
    assert (decision["amount_minor"], decision["event_time_ms"]) == (
        payment["amount_minor"],
        payment["event_time_ms"],
    )
    outside.services.await_true(
        lambda: outside.api.get("/v1/decisions/serializer-1").status_code == 200, "the decision in the index"
    )
    shown = outside.api.get("/v1/decisions/serializer-1").json()
    assert {name: shown[name] for name in ("decision", "score", "card_id")} == {
        name: decision[name] for name in ("decision", "score", "card_id")
    }


@pytest.mark.parametrize("version", [1, 2])
def test_the_wire_format_made_by_hand_is_decided(outside: Outside, version: int) -> None:
    registered = outside.registry.get_version(f"{outside.settings.topics.transactions}-value", version)
    payment = build_payment(f"hand-{version}", card_id=f"card-hand-{version}")
    body = io.BytesIO()
    schema = fastavro.parse_schema(json.loads(registered.schema.schema_str))
    fastavro.schemaless_writer(body, schema, payment)
    outside.publish(payment["card_id"], b"\x00" + registered.schema_id.to_bytes(4, "big") + body.getvalue())
    (decision,) = outside.await_decisions(payment["transaction_id"])
    assert decision["card_id"] == payment["card_id"]


def test_a_dead_letter_is_listed_shown_repaired_and_replayed_and_then_decided_once(outside: Outside) -> None:
    good = build_payment("repair-good", card_id="card-repair")
    bad = build_payment("repair-bad", card_id="card-repair", currency="EURO")
    for payment in (bad, good):
        outside.publish("card-repair", _serialize(outside, payment))
    outside.await_decisions("repair-good")

    (listed,) = outside.weir("dlq", "list", "--reason", "unknown_currency")
    assert listed["state"] == "open"
    assert "found EURO at $.currency" in listed["message"]
    _, partition, offset = listed["at"].rsplit("-", 2)
    only = ["--partition", partition, "--offset", offset]
    (shown,) = outside.weir("dlq", "show", *only)
    assert shown["decoded"]["transaction_id"] == "repair-bad"
    assert shown["decoded"]["currency"] == "EURO"

    (plan,) = outside.weir("dlq", "replay", *only, "--set", "currency=EUR")
    assert plan["applied"] is False
    (done,) = outside.weir("dlq", "replay", *only, "--set", "currency=EUR", "--apply")
    assert done["letters"] == {"replayed": 1}
    (again,) = outside.weir("dlq", "replay", *only, "--set", "currency=EUR", "--apply")
    assert "replayed" not in again["letters"]

    last = build_payment("repair-last", card_id="card-repair")
    outside.publish("card-repair", _serialize(outside, last))
    decisions = outside.await_decisions("repair-bad", "repair-last")
    assert decisions[0]["currency"] == "EUR"
    (settled,) = outside.weir("dlq", "list", *only)
    assert settled["state"] == "replayed"
    assert _count(outside, "card-repair") == 3.0


def test_a_cards_count_rises_with_each_event_within_a_second_of_its_publication(outside: Outside) -> None:
    assert _count(outside, "card-rising") == 0.0
    names = [f"rising-{number}" for number in range(1, 11)]
    took = []
    for number, name in enumerate(names, start=1):
        value = _serialize(outside, build_payment(name, card_id="card-rising"))
        began = time.monotonic()
        outside.publish("card-rising", value)
        outside.services.await_true(partial(_counts, outside, "card-rising", number), f"count {number}")
        took.append(time.monotonic() - began)
    assert max(took) < RISE_SECONDS_MAX, took
    declined = outside.await_decisions(*names)
    assert [d["decision"] for d in declined][:3] == ["APPROVE"] * 3
    assert declined[-1]["decision"] == "DECLINE"
    assert declined[-1]["reasons"][0]["code"] == "CARD_BURST"


def _counts(outside: Outside, card_id: str, wanted: int) -> bool:
    return _count(outside, card_id) == wanted


def _count(outside: Outside, card_id: str) -> float:
    answer = outside.api.get(f"/v1/features/card/{card_id}")
    assert answer.status_code == 200
    return float(answer.json()["features"]["card_event_count_1h"])
