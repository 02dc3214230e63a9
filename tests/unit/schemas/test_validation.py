from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.schemas.test_codec import transaction
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import schema_json
from weir.schemas.currencies import CURRENCIES, MAX_AMOUNT_BASE_MINOR, compute_base_minor
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.units import EARLIEST_TIME_MS
from weir.schemas.records.validation import (
    ASKED_ON_ADMISSION,
    FUTURE_MS_MAX,
    ID_BYTES_MAX,
    LABEL_SLACK_MS,
    validate_events,
    validate_labels,
)
from weir.schemas.streams.payments import payments

TRANSACTIONS = BatchCodec("transactions").arrow_schema
LABELS = BatchCodec("labels").arrow_schema
APPEND_TIME_MS = 1_700_000_000_000
DAY_MS = 24 * 60 * 60 * 1_000
PAN = "4111111111111111"


def judge(*rows: dict[str, Any], keys: list[bytes | None] | None = None) -> list[tuple[int, PoisonRecord]]:
    batch = pa.RecordBatch.from_pylist(list(rows), schema=TRANSACTIONS)
    own_keys = [row["card_id"].encode() for row in rows] if keys is None else keys
    return validate_events(
        payments, batch, keys=own_keys, append_time_ms=np.full(len(rows), APPEND_TIME_MS), placeholders=BUILT_IN
    )


def judge_labels(*rows: dict[str, Any], counted: bool = False) -> list[tuple[int, PoisonRecord]]:
    batch = pa.RecordBatch.from_pylist(list(rows), schema=LABELS)
    keys = [row["card_id"].encode() for row in rows]
    append = np.full(len(rows), APPEND_TIME_MS)
    return validate_labels(payments, batch, keys=keys, append_time_ms=append, counted=counted, placeholders=BUILT_IN)


def label(**changed: Any) -> dict[str, Any]:
    return {
        "transaction_id": "t1",
        "card_id": "card-1",
        "merchant_id": "merchant-1",
        "device_id": None,
        "event_time_ms": APPEND_TIME_MS - 9 * DAY_MS,
        "label_time_ms": APPEND_TIME_MS - DAY_MS,
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
        ({"transaction_id": "N/A"}, "placeholder_id", "transaction_id"),
        ({"card_id": " Unknown"}, "placeholder_id", "card_id"),
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
        ({"event_time_ms": EARLIEST_TIME_MS - 1}, "event_time_out_of_range", "event_time_ms"),
        ({"event_time_ms": APPEND_TIME_MS // 1_000}, "event_time_out_of_range", "event_time_ms"),
        ({"event_time_ms": (1 << 63) - 1}, "from_future", "event_time_ms"),
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
        {"event_time_ms": EARLIEST_TIME_MS},
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


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (b'"card-1"', "in JSON quotes"),
        (b"\x00\x00\x00\x00\x09\x0ccard-1", "in an Avro frame"),
        (b"\x01" + bytes(16) + b"\x0ccard-1", "in an Avro frame"),
        (b'{"card_id":"card-1"}', "another key with it inside"),
        (b"other", "another key at"),
        (None, "no key"),
    ],
)
def test_a_mismatch_names_the_serializer_that_is_likely(key: bytes | None, said: str) -> None:
    [(_, error)] = judge(transaction(), keys=[key])
    assert error.reason == "key_mismatch"
    assert said in str(error)
    assert "card-1" not in str(error)


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
        ({"transaction_id": "null"}, "placeholder_id"),
        ({"card_id": "00000000-0000-0000-0000-000000000000"}, "placeholder_id"),
        ({"device_id": "d" * 129}, "id_too_long"),
        ({"event_time_ms": 0}, "event_time_out_of_range"),
        ({"event_time_ms": APPEND_TIME_MS // 1_000}, "event_time_out_of_range"),
        ({"event_time_ms": APPEND_TIME_MS + FUTURE_MS_MAX + 1}, "from_future"),
        ({"label_time_ms": -5}, "event_time_out_of_range"),
        ({"label_time_ms": -(1 << 63)}, "event_time_out_of_range"),
        ({"label_time_ms": APPEND_TIME_MS // 1_000}, "event_time_out_of_range"),
        ({"label_time_ms": APPEND_TIME_MS * 1_000}, "from_future"),
        ({"label_time_ms": (1 << 63) - 1}, "from_future"),
        ({"label_time_ms": APPEND_TIME_MS + LABEL_SLACK_MS + 1}, "from_future"),
        ({"label_time_ms": APPEND_TIME_MS - 10 * DAY_MS - 1}, "label_before_event"),
    ],
)
def test_a_label_is_held_to_the_same_rules(changed: dict[str, Any], reason: str) -> None:
    errors = judge_labels(label(), label(**changed), label())
    assert [(row, error.reason) for row, error in errors] == [(1, reason)]


@pytest.mark.parametrize(
    "changed",
    [
        {"label_time_ms": APPEND_TIME_MS + LABEL_SLACK_MS},
        {"label_time_ms": APPEND_TIME_MS - 10 * DAY_MS},
        {"event_time_ms": EARLIEST_TIME_MS, "label_time_ms": EARLIEST_TIME_MS},
        {"event_time_ms": APPEND_TIME_MS, "label_time_ms": APPEND_TIME_MS - LABEL_SLACK_MS},
    ],
)
def test_a_label_of_a_date_without_a_time_of_day_passes(changed: dict[str, Any]) -> None:
    assert judge_labels(label(**changed)) == []


def test_a_label_under_another_key_is_a_mismatch() -> None:
    batch = pa.RecordBatch.from_pylist([label()], schema=LABELS)
    errors = validate_labels(
        payments, batch, keys=[None], append_time_ms=np.array([APPEND_TIME_MS]), placeholders=BUILT_IN
    )
    assert [error.reason for _, error in errors] == ["key_mismatch"]


UNITS = {"seconds": Fraction(1, 1_000), "microseconds": Fraction(1_000), "nanoseconds": Fraction(1_000_000)}


@settings(deadline=None, max_examples=200)
@given(st.integers(EARLIEST_TIME_MS, APPEND_TIME_MS), st.sampled_from(sorted(UNITS)), st.booleans())
def test_every_time_of_another_unit_is_refused_and_the_unit_is_named(time_ms: int, unit: str, of_label: bool) -> None:
    found = int(time_ms * UNITS[unit])
    [(_, error)] = judge_labels(label(label_time_ms=found)) if of_label else judge(transaction(event_time_ms=found))
    assert error.reason in {"event_time_out_of_range", "from_future"}
    day = datetime.fromtimestamp(time_ms // 1_000, UTC).date().isoformat()
    assert f"found {found} at" in str(error)
    assert str(error).endswith(f"it would be {day} as {unit}; expected milliseconds")
    assert error.hint in str(error)
    assert str(found) not in error.hint  # an answer of the API repeats no value


@pytest.mark.parametrize("power", [5, 6, 7])
def test_a_position_in_scaled_integers_is_refused_and_the_scale_is_named(power: int) -> None:
    [(_, error)] = judge(transaction(lat=52.52 * 10**power // 1, lon=13.405 * 10**power // 1))
    assert error.reason == "bad_coordinates"
    assert "degrees times 10^" in str(error)


def text_fields(kind: str) -> list[str]:
    fields = json.loads(schema_json(kind))["fields"]
    return [field["name"] for field in fields if field["type"] in ("string", ["null", "string"])]


ISSUED = [
    "4222222222222", "378282246310005", "5555555555554444", "2223003122003222", "6011111111111117", "36700102000000",
    "3530111333300000", "6200000000000005", "6759649826438453", "4000000000000000006",
]  # fmt: skip
WRITTEN = ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111.1111.1111.1111", f" {PAN} "]
TEXT_FIELDS = [(kind, field) for kind in ("transactions", "labels") for field in text_fields(kind)]


@pytest.mark.parametrize("number", ISSUED + WRITTEN)
@pytest.mark.parametrize(("kind", "field"), TEXT_FIELDS)
def test_a_card_number_is_refused_in_every_text_field_and_never_quoted(kind: str, field: str, number: str) -> None:
    changed = {field: number}
    [(_, error)] = judge(transaction(**changed)) if kind == "transactions" else judge_labels(label(**changed))
    assert (error.reason, error.field) == ("card_number", field)
    assert number.strip()[:9] not in str(error)


NO_CARDS = [
    "1795644788123", "632912345674", "192.168.100.100", "9111111111111118", "4111111111111112", "41111111111111113",
    "4111:1111:1111:1111", "00000000-0000-4111-8111-111111111111",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_CARDS)
def test_an_id_that_no_card_scheme_issues_passes_as_anything_but_a_card(text: str) -> None:
    ids = dict.fromkeys(["transaction_id", "customer_id", "merchant_id", "device_id", "ip"], text)
    assert judge(transaction(**ids)) == []


def test_what_an_earlier_version_counted_is_folded_again_unless_folding_depends_on_it() -> None:
    spoilt: list[dict[str, Any]] = [
        {"event_time_ms": 1}, {"transaction_id": PAN}, {"event_time_ms": 1 << 60}, {"currency": "ZZZ"},
        {"transaction_id": "null"},
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pylist([transaction(**changed) for changed in spoilt], schema=TRANSACTIONS)
    append = np.full(len(spoilt), APPEND_TIME_MS)
    errors = validate_events(
        payments, batch, keys=[b"card-1"] * len(spoilt), append_time_ms=append, counted=True, placeholders=BUILT_IN
    )
    assert [(row, error.reason) for row, error in errors] == [(3, "unknown_currency")]
    early = label(label_time_ms=APPEND_TIME_MS - 99 * DAY_MS)
    assert {error.reason for _, error in judge_labels(early)} <= ASKED_ON_ADMISSION
    assert judge_labels(early, counted=True) == []


@pytest.mark.parametrize("field", ["customer_id", "merchant_id", "device_id", "ip"])
@pytest.mark.parametrize("value", ["null", "UNKNOWN", "0.0.0.0", "N/A"])
def test_a_placeholder_in_any_other_id_is_no_reason_to_refuse(field: str, value: str) -> None:
    assert judge(transaction(**{field: value})) == []
    if field in {"merchant_id", "device_id"}:
        assert judge_labels(label(**{field: value})) == []


def test_the_message_about_a_placeholder_does_not_repeat_it() -> None:
    [(_, error)] = judge(transaction(card_id="unknown"))
    assert str(error) == "expected an id, found a value that stands for a missing id at $.card_id"


@pytest.mark.parametrize("field", ["amount_minor", "mcc"])
def test_a_number_that_may_be_a_card_number_is_masked(field: str) -> None:
    wide = pa.schema([pa.field(f.name, pa.int64()) if f.name == field else f for f in TRANSACTIONS])
    batch = pa.RecordBatch.from_pylist([transaction(**{field: int(PAN)})], schema=wide)
    [(_, error)] = validate_events(
        payments, batch, keys=[b"card-1"], append_time_ms=np.array([APPEND_TIME_MS]), placeholders=BUILT_IN
    )
    assert "41111" not in str(error)


def test_a_card_number_as_a_time_is_masked() -> None:
    [(_, error)] = judge(transaction(event_time_ms=int(PAN)))
    assert error.reason == "from_future"
    assert "41111" not in str(error)
