"""A repair that the stream would refuse again is not sent, and its message says why."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.dead_letters import frame_payment
from tests.unit.streaming.dead_letter_samples import SCHEMA_ID, letter
from weir.infra.settings import Settings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.checking import build_checked_repair
from weir.streaming.dlq.letter import Coordinate, DeadLetter
from weir.streaming.dlq.plan import Repaired
from weir.streaming.dlq.repair import build_field_repair

NOW_MS = 1_700_000_060_000


class _Payments:
    """A registry that has the payments' newest schema."""

    def writer_schema(self, schema_id: int, subject: str) -> WriterSchema | PoisonRecord:
        return WriterSchema(
            schema_id, subject == "transactions-value", json.dumps(json.loads(schema_json("transactions")))
        )

    def id_of_guid(self, guid: uuid.UUID, subject: str) -> int | PoisonRecord:
        raise AssertionError(f"{guid} of {subject}: no header names one")


def _letter(**fields: Any) -> DeadLetter:
    return letter(value=frame_payment(SCHEMA_ID, currency="EURO", **fields))


def _repair(dead: DeadLetter, **fields: str) -> Repaired:
    schemas = _Payments()
    repair = build_field_repair(fields, schemas, key_field="card_id")
    return build_checked_repair(repair, Settings(), schemas, clock_ms=lambda: NOW_MS)(dead)


def test_a_record_that_is_right_after_its_repair_goes() -> None:
    assert _repair(_letter(), currency="EUR").value == frame_payment(SCHEMA_ID, currency="EUR")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"currency": "EUR", "transaction_id": ""}, "empty_id"),
        ({"currency": "EUR", "mcc": "123456"}, "bad_mcc"),
        ({"currency": "EUR", "event_time_ms": str(NOW_MS + 2 * 86_400_000)}, "from_future"),
        ({"mcc": "5812"}, "unknown_currency"),
    ],
)
def test_a_record_that_the_stream_would_refuse_again_stays(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(PoisonRecord, match=f"would refuse it again as {reason}: expected ") as refused:
        _repair(_letter(), **fields)
    assert refused.value.reason == "unrepairable"


def test_a_key_that_is_not_the_records_own_is_found_too() -> None:
    checked = build_checked_repair(
        lambda dead: Repaired(b"another", dead.value, rekeyed=True), Settings(), _Payments(), clock_ms=lambda: NOW_MS
    )
    with pytest.raises(PoisonRecord, match="refuse it again as key_mismatch"):
        checked(letter(value=frame_payment(SCHEMA_ID)))


def test_bytes_that_are_no_record_are_found() -> None:
    checked = build_checked_repair(
        lambda dead: Repaired(dead.key, b"no frame"), Settings(), _Payments(), clock_ms=lambda: NOW_MS
    )
    with pytest.raises(PoisonRecord, match="refuse it again as wrong_magic"):
        checked(_letter())


def test_what_is_no_event_and_no_label_is_not_checked() -> None:
    dead = replace(_letter(), source=Coordinate("features", 0, 1))
    checked = build_checked_repair(
        lambda dead: Repaired(dead.key, b"anything"), Settings(), _Payments(), clock_ms=lambda: NOW_MS
    )
    assert checked(dead).value == b"anything"
