"""Dead letters for tests."""

from __future__ import annotations

import dataclasses
import io
import json
import uuid
from typing import Any

import fastavro

from weir.schemas.avro.codec import WriterSchema
from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.letter import Coordinate, DeadLetter

PREFIX = "__dlq.errors."
SCHEMA_ID = 7
SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "card_id", "type": "string"},
        {"name": "amount_minor", "type": "long"},
        {"name": "channel", "type": {"type": "enum", "name": "Channel", "symbols": ["POS", "ATM"]}},
        {"name": "device_id", "type": ["null", "string"], "default": None},
        {"name": "lat", "type": ["null", "double"], "default": None},
    ],
}
PAYMENT: dict[str, Any] = {"card_id": "c1", "amount_minor": -5, "channel": "POS", "device_id": None, "lat": None}

_LETTER = DeadLetter(
    at=Coordinate("transactions.dlq", 3, 17),
    source=Coordinate("transactions", 3, 10452),
    origin=None,
    key=b"c1",
    value=None,
    original_headers=(("trace", b"1"),),
    group="weir-processor",
    stage="validate",
    exception_class="PoisonRecord",
    message="expected amount_minor >= 0, found -5",
    reason="amount_out_of_range",
    failed_ms=1_700_000_000_000,
    appended_ms=1_700_000_000_005,
    app_version="0.1.0",
    replay_count=0,
    schema_id=SCHEMA_ID,
    truncated="",
)


class OneSchema:
    """A registry that knows one schema."""

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        if schema_id != SCHEMA_ID:
            return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}")
        return WriterSchema(schema_id, subject == "transactions-value", json.dumps(SCHEMA))

    def id_of_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        return PoisonRecord("unknown_schema_id", f"expected a registered schema, found {guid} in {subject}")


def frame(datum: dict[str, Any], schema_id: int = SCHEMA_ID) -> bytes:
    """Encode a payment in the Confluent frame."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), datum)
    return b"\x00" + schema_id.to_bytes(4, "big") + stream.getvalue()


def unframe(value: bytes | None) -> Any:
    """Decode what ``frame`` encoded."""
    assert value is not None
    return fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(SCHEMA), None)


def letter(**changes: Any) -> DeadLetter:
    """Return a dead letter of one payment of an amount below zero, with changes."""
    return dataclasses.replace(_LETTER, **({"value": frame(PAYMENT)} | changes))
