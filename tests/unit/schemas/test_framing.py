"""Where a schema's id may be sent, and what is said of a value that another serializer wrote."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka.schema_registry import header_schema_id_serializer, prefix_schema_id_serializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext

from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.framing import VALUE_SCHEMA_ID, frame_by_header
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord, Transient
from weir.streaming.dlq.letter import HEALABLE

GUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")


def find(guid: uuid.UUID) -> int | PoisonRecord:
    return 7 if guid == GUID else PoisonRecord("unknown_schema_id", "expected a registered schema")


def confluent(serialize: Any, schema_id: Any) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What Confluent's own client sends: the value, and the headers it adds."""
    headers: list[tuple[str, bytes]] = []
    return serialize(b"body", SerializationContext("transactions", MessageField.VALUE, headers), schema_id), headers


def test_what_confluents_client_sends_is_framed_alike_wherever_it_puts_the_id() -> None:
    schema_id = SchemaId("AVRO", 7, str(GUID))
    in_value, none = confluent(prefix_schema_id_serializer, schema_id)
    body, headers = confluent(header_schema_id_serializer, schema_id)
    assert (body, none) == (b"body", [])
    assert frame_by_header(in_value, none, find) == frame_by_header(body, headers, find) == in_value


def test_an_id_of_four_bytes_in_the_header_needs_no_registry() -> None:
    framed = frame_by_header(b"body", [("trace", b"x"), (VALUE_SCHEMA_ID, b"\x00\x00\x00\x00\x09")], lambda _: 99)
    assert framed == b"\x00\x00\x00\x00\x09body"


def test_the_first_header_counts_and_the_keys_own_does_not() -> None:
    headers = [
        ("__key_schema_id", b"\x00\x00\x00\x00\x05"),
        (VALUE_SCHEMA_ID, b"\x00\x00\x00\x00\x08"),
        (VALUE_SCHEMA_ID, b""),
    ]
    assert frame_by_header(b"body", headers, find) == b"\x00\x00\x00\x00\x08body"


@pytest.mark.parametrize("value", [None, b""])
def test_no_value_stays_none(value: bytes | None) -> None:
    assert frame_by_header(value, [(VALUE_SCHEMA_ID, b"\x00\x00\x00\x00\x08")], find) == value


@pytest.mark.parametrize(
    "held", [None, b"", b"\x00", b"\x00\x00\x00\x00", b"\x02\x00\x00\x00\x01", b"\x01" + bytes(15), bytes(9), bytes(17)]
)
def test_a_header_that_holds_no_id_is_a_dead_letter_that_does_not_heal(held: bytes | None) -> None:
    found = frame_by_header(b"body", [(VALUE_SCHEMA_ID, held)], find)
    assert isinstance(found, PoisonRecord)
    assert found.reason == "wrong_frame"
    assert found.reason not in HEALABLE


def test_a_guid_that_the_registry_does_not_know_is_its_own_verdict_and_one_that_is_away_is_none() -> None:
    header = [(VALUE_SCHEMA_ID, b"\x01" + bytes(16))]
    found = frame_by_header(b"body", header, find)
    assert isinstance(found, PoisonRecord)
    assert found.reason in HEALABLE

    def away(_: uuid.UUID) -> int:
        raise Transient("registry: away")

    with pytest.raises(Transient):
        frame_by_header(b"body", header, away)


@pytest.mark.parametrize("name", ["apicurio.value.globalId", "apicurio.value.contentId"])
def test_apicurios_headers_are_named(name: str) -> None:
    found = frame_by_header(b"body", [(name, bytes(7) + b"\x05")], find)
    assert isinstance(found, PoisonRecord)
    assert (found.reason, "Apicurio" in str(found)) == ("wrong_frame", True)


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (b"\x00" + (5).to_bytes(8, "big") + b"body", "wrong_frame", "Apicurio"),
        (b'{"transaction_id": "t"}', "wrong_magic", "JSON"),
        (b'"t"', "wrong_magic", "JSON"),
        (b"Obj\x01abc", "wrong_magic", "Avro file"),
        (b"\xc3\x01abc", "wrong_magic", "single objects"),
        (b"\x01" + GUID.bytes + b"body", "wrong_magic", "GUID"),
        (b"\x07garbage", "wrong_magic", "found 7 at $[0]"),
    ],
)
def test_the_likely_framing_is_named_and_is_no_reason_that_heals(value: bytes, reason: str, said: str) -> None:
    schema = WriterSchema(5, True, schema_json("transactions"))
    ((_, error),) = BatchCodec("transactions").decode([value], lambda _: schema).errors
    assert (error.reason, error.reason in HEALABLE) == (reason, False)
    assert said in str(error)
