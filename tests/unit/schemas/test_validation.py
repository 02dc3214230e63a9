from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import BatchCodec
from schemas.currencies import CURRENCIES, MAX_AMOUNT_BASE_MINOR, compute_base_minor
from schemas.errors import PoisonRecord
from schemas.validation import FUTURE_MS_MAX, ID_BYTES_MAX, validate_labels, validate_transactions
from tests.unit.schemas.test_codec import transaction

TRANSACTIONS = BatchCodec("transactions").arrow_schema
LABELS = BatchCodec("labels").arrow_schema
APPEND_TIME_MS = 1_700_000_000_000
PAN = "4111111111111111"


def judge(*rows: dict[str, Any], keys: list[bytes | None] | None = None) -> list[tuple[int, PoisonRecord]]:
    batch = pa.RecordBatch.from_pylist(list(rows), schema=TRANSACTIONS)
    own_keys = [row["card_id"].encode() for row in rows] if keys is None else keys
    return validate_transactions(batch, keys=own_keys, append_time_ms=np.full(len(rows), APPEND_TIME_MS))


def label(**changed: Any) -> dict[str, Any]:
    return {
        "transaction_id": "t1",
        "card_id": "card-1",
        "merchant_id": "merchant-1",
        "device_id": None,
        "event_time_ms": 1,
        "label_time_ms": 2,
        "is_fraud": None,
        "source": "analyst",
    } | changed


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"amount_minor": -MAX_AMOUNT_BASE_MINOR - 1, "currency": "USD"}, "amount_out_of_range", "amount_minor"),
        ({"amount_minor": -(1 << 63)}, "amount_out_of_range", "amount_minor"),
        ({"amount_minor": MAX_AMOUNT_BASE_MINOR + 1, "currency": "USD"}, "amount_out_of_range", "amount_minor"),
        ({"amount_minor": (1 << 63) - 1}, "amount_out_of_range", "amount_minor"),
        ({"currency": "eur"}, "unknown_currency", "currency"),
        ({"currency": ""}, "unknown_currency", "currency"),
        ({"transaction_id": ""}, "empty_id", "transaction_id"),
        ({"card_id": ""}, "empty_id", "card_id"),
        ({"device_id": ""}, "empty_id", "device_id"),
        ({"ip": "1" + "é" * 64}, "id_too_long", "ip"),
        ({"merchant_id": "m" * (ID_BYTES_MAX + 1)}, "id_too_long", "merchant_id"),
        ({"country": "de"}, "bad_country", "country"),
        ({"country": "D1"}, "bad_country", "country"),
        ({"country": "ÄÖ"}, "bad_country", "country"),
        ({"country": "DE\n"}, "bad_country", "country"),
        ({"issuer_country": "DEU"}, "bad_country", "issuer_country"),
        ({"mcc": -1}, "bad_mcc", "mcc"),
        ({"mcc": 10_000}, "bad_mcc", "mcc"),
        ({"lat": 1.0}, "bad_coordinates", "lat"),
        ({"lon": 1.0}, "bad_coordinates", "lat"),
        ({"lat": float("nan"), "lon": 1.0}, "bad_coordinates", "lat"),
        ({"lat": 1.0, "lon": float("inf")}, "bad_coordinates", "lat"),
        ({"lat": -90.5, "lon": 1.0}, "bad_coordinates", "lat"),
        ({"lat": 1.0, "lon": 180.5}, "bad_coordinates", "lat"),
        ({"event_time_ms": 0}, "event_time_out_of_range", "event_time_ms"),
        ({"event_time_ms": -(1 << 63)}, "event_time_out_of_range", "event_time_ms"),
        ({"event_time_ms": APPEND_TIME_MS + FUTURE_MS_MAX + 1}, "from_future", "event_time_ms"),
        ({"card_id": PAN}, "card_number", "card_id"),
        ({"card_id": "4111 1111-1111 1111 "}, "card_number", "card_id"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named_with_its_field_and_no_other_row_is(
    changed: dict[str, Any], reason: str, field: str
) -> None:
    errors = judge(transaction(), transaction(**changed), transaction())
    assert [(row, error.reason, error.field) for row, error in errors] == [(1, reason, field)]
    assert str(errors[0][1]).startswith("expected ")


@pytest.mark.parametrize(
    "changed",
    [
        {"amount_minor": 0},
        {"amount_minor": MAX_AMOUNT_BASE_MINOR, "currency": "USD"},
        {"transaction_id": "t" * ID_BYTES_MAX},
        {"lat": -90.0, "lon": 180.0},
        {"issuer_country": "FR"},
        {"event_time_ms": APPEND_TIME_MS + FUTURE_MS_MAX},
        {"event_time_ms": 1},
        {"card_id": "4111111111111112"},
        {"card_id": "41111111111"},
        {"card_id": "card-4111111111111111"},
    ],
)
def test_a_value_on_the_right_side_of_a_bound_passes(changed: dict[str, Any]) -> None:
    assert judge(transaction(**changed)) == []


@pytest.mark.parametrize("key", [None, b"", b"card-2", b"card-1 ", b"\xff"])
def test_a_key_that_is_not_the_card_is_a_mismatch_and_neither_is_quoted(key: bytes | None) -> None:
    [(row, error)] = judge(transaction(), keys=[key])
    assert (row, error.reason) == (0, "key_mismatch")
    assert "card-" not in str(error)


def test_a_row_with_several_faults_has_one_error() -> None:
    errors = judge(transaction(currency="ZZZ", mcc=-1, event_time_ms=0))
    assert [(row, error.reason) for row, error in errors] == [(0, "unknown_currency")]


def test_no_message_holds_a_card_number_wherever_it_was_put() -> None:
    spoilt = [{"card_id": PAN}, {"currency": PAN}, {"country": f"x{PAN}"}, {"country": "y" * 75 + PAN}]
    rows = [transaction(**changed) for changed in spoilt] + [transaction(transaction_id=PAN * 9)]
    errors = judge(*rows)
    assert len(errors) == len(rows)
    assert not any("41111" in str(error) for _, error in errors)


def test_a_found_value_is_escaped_and_cut() -> None:
    [(_, error)] = judge(transaction(country="\n" + "x" * 5_000))
    assert "\n" not in str(error)
    assert len(str(error)) < 160


def test_no_rows_have_no_errors() -> None:
    assert judge() == []


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(CURRENCIES)), st.integers(-2, 2) | st.integers(0, 1 << 40))
def test_the_bound_on_amounts_is_that_of_the_base_currency(currency: str, offset: int) -> None:
    rate = compute_base_minor(1_000_000, currency)
    amount = MAX_AMOUNT_BASE_MINOR * 1_000_000 // rate + offset
    expected = compute_base_minor(amount, currency) > MAX_AMOUNT_BASE_MINOR
    assert bool(judge(transaction(currency=currency, amount_minor=amount))) == expected


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"card_id": PAN}, "card_number"),
        ({"transaction_id": ""}, "empty_id"),
        ({"device_id": "d" * 129}, "id_too_long"),
        ({"event_time_ms": 0}, "event_time_out_of_range"),
        ({"label_time_ms": -5}, "event_time_out_of_range"),
    ],
)
def test_a_label_is_held_to_the_same_rules(changed: dict[str, Any], reason: str) -> None:
    rows = [label(), label(**changed)]
    batch = pa.RecordBatch.from_pylist(rows, schema=LABELS)
    errors = validate_labels(batch, keys=[row["card_id"].encode() for row in rows])
    assert [(row, error.reason) for row, error in errors] == [(1, reason)]


def test_a_label_under_another_key_is_a_mismatch() -> None:
    batch = pa.RecordBatch.from_pylist([label()], schema=LABELS)
    assert [error.reason for _, error in validate_labels(batch, keys=[None])] == ["key_mismatch"]
