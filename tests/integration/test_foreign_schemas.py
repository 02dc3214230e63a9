"""Producers with schemas of their own on a running processor: what can be read is decided, and nothing else is lost."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import httpx
import pytest

from tests.integration.payments import Payment, frame
from tests.integration.test_bad_input import PARTITION, Pipeline, pipeline  # noqa: F401 - a fixture
from weir.infra.kafka.clients import build_producer
from weir.infra.registry.client import Registry
from weir.schemas.contracts import schema_json, subject

pytestmark = pytest.mark.server

FLUSH_SECONDS = 30.0


def _register(pipeline: Pipeline, schema: Any, references: list[Any] | None = None, *, anyhow: bool = False) -> int:  # noqa: F811
    """Register a schema for transactions as a stranger does, ``anyhow`` with the subject's level put aside."""
    name, url = subject(pipeline.settings.topics.transactions), pipeline.settings.registry.url
    registry = Registry(pipeline.settings.registry)
    level = registry.level(name)
    if anyhow:
        registry.require_level(name, "NONE")
    body = {"schema": json.dumps(schema), "schemaType": "AVRO", "references": references or []}
    answer = httpx.post(f"{url}/subjects/{name}/versions", json=body, timeout=FLUSH_SECONDS)
    registry.require_level(name, level)
    registry.close()
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


def _encode(schema: Any, payment: Payment) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema)), named_schemas={}), payment)
    return out.getvalue()


def _ours(*further: dict[str, Any]) -> Any:
    schema = json.loads(schema_json("transactions"))
    return schema | {"fields": [*schema["fields"], *further]}


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        {"type": "fixed", "name": "Fee", "size": 4},
        {"type": "record", "name": "Item", "fields": [{"name": "next", "type": ["null", "Item"], "default": None}]},
    ],
    ids=["decimal", "fixed", "recursive"],
)
def test_a_further_field_of_any_type_costs_no_record(pipeline: Pipeline, kind: Any) -> None:  # noqa: F811
    name = f"fee_{next(pipeline.numbers)}"
    schema = _ours({"name": name, "type": ["null", kind], "default": None})
    schema_id = _register(pipeline, schema)
    held = {"bytes": b"\x01", "fixed": b"\x01\x02\x03\x04", "record": {"next": {"next": None}}}[kind["type"]]
    plain = json.loads(json.dumps(schema).replace('"logicalType"', '"was"'))
    theirs = [pipeline.payment(), pipeline.payment()]
    values = [_encode(plain, payment | {name: fee}) for payment, fee in zip(theirs, (held, None), strict=True)]
    ours = [pipeline.payment(), pipeline.payment()]
    records = [(p["card_id"], frame(schema_id, value)) for p, value in zip(theirs, values, strict=True)]
    records[1:1] = [(p["card_id"], pipeline.publisher.value(p)) for p in ours]
    places = pipeline.publisher.send(records, partition=PARTITION)
    pipeline.await_decided(*theirs, *ours)
    assert [pipeline.letters_of(place) for place in places] == [[]] * 4


def test_a_writer_whose_fields_may_all_be_null_is_read_record_by_record(pipeline: Pipeline) -> None:  # noqa: F811
    schema = _ours() | {"name": "KsqlDataSourceSchema", "namespace": "io.confluent.ksql.avro_schemas"}
    schema["fields"] = [
        {"name": field["name"], "type": field["type"] if isinstance(field["type"], list) else ["null", field["type"]]}
        for field in schema["fields"]
    ]
    schema_id = _register(pipeline, schema, anyhow=True)
    whole, lacking = pipeline.payment(), pipeline.payment() | {"mcc": None}
    records = [(p["card_id"], frame(schema_id, _encode(schema, p))) for p in (lacking, whole)]
    places = pipeline.publisher.send(records, partition=PARTITION)
    pipeline.await_decided(whole)
    (letter,) = pipeline.letters_of(places[0])
    assert letter.reason == "missing_field"
    assert "$.mcc" in letter.message


def test_a_schema_with_references_is_read(pipeline: Pipeline) -> None:  # noqa: F811
    money = {"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "units", "type": "bytes"}]}
    name = f"money-{pipeline.settings.cluster}"
    body = {"schema": json.dumps(money), "schemaType": "AVRO"}
    url = f"{pipeline.settings.registry.url}/subjects/{name}/versions"
    assert httpx.post(url, json=body, timeout=FLUSH_SECONDS).status_code == 200
    further = f"fee_{next(pipeline.numbers)}"
    reference = {"name": "shop.Money", "subject": name, "version": 1}
    schema = _ours({"name": further, "type": ["null", "shop.Money"], "default": None})
    schema_id = _register(pipeline, schema, [reference], anyhow=True)
    whole = _ours({"name": further, "type": ["null", money], "default": None})
    payment = pipeline.payment()
    value = frame(schema_id, _encode(whole, payment | {further: {"units": b"\x07"}}))
    pipeline.publisher.send([(payment["card_id"], value)], partition=PARTITION)
    pipeline.await_decided(payment)


def test_a_schema_id_in_a_header_is_read_and_a_guid_is_named_where_the_registry_finds_none(
    pipeline: Pipeline,  # noqa: F811
) -> None:
    good, by_guid = pipeline.payment(), pipeline.payment()
    framed = pipeline.publisher.value(good)
    headers = {"good": framed[:5], "guid": b"\x01" + bytes(range(16))}
    producer = build_producer(pipeline.settings.kafka)
    places: list[tuple[int, int]] = []
    for payment, header in ((by_guid, headers["guid"]), (good, headers["good"])):
        producer.produce(
            pipeline.settings.topics.transactions,
            pipeline.publisher.value(payment)[5:],
            payment["card_id"],
            partition=PARTITION,
            headers=[("__value_schema_id", header)],
            on_delivery=lambda _, message: places.append((message.partition(), message.offset())),
        )
    assert producer.flush(FLUSH_SECONDS) == 0
    pipeline.await_decided(good)
    (letter,) = pipeline.letters_of(places[0])
    assert letter.reason == "unsupported_schema_guid"
    assert letter.value == pipeline.publisher.value(by_guid)[5:]
