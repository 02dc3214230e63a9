from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from generators.coercion import Coercer, to_batch
from schemas.codec import BatchCodec
from schemas.errors import PoisonRecord

GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "card_id": "card_1",
    "customer_id": "cust_1",
    "merchant_id": "mer_1",
    "mcc": 5411,
    "channel": "POS",
    "amount_minor": 1200,
    "currency": "EUR",
    "country": "DE",
    "event_time_ms": 1_785_000_000_000,
    "outcome": "ACCEPTED",
}


def coerce(**changes: Any) -> dict[str, Any]:
    return dict(Coercer("transactions").coerce(GOOD | changes))


def test_text_becomes_the_schemas_types() -> None:
    texts = {name: f" {value} " for name, value in GOOD.items()}
    assert Coercer("transactions").coerce(texts) == coerce()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (1_785_000_000_000, 1_785_000_000_000),
        ("1785000000000", 1_785_000_000_000),
        ("2026-07-25T17:20:00Z", 1_785_000_000_000),
        ("2026-07-25 17:20:00.007", 1_785_000_000_007),
        ("2026-07-25T19:20:00+02:00", 1_785_000_000_000),
        (datetime(2026, 7, 25, 17, 20, tzinfo=UTC), 1_785_000_000_000),
    ],
)
def test_a_time_may_be_milliseconds_or_iso_8601(found: object, expected: int) -> None:
    assert coerce(event_time_ms=found)["event_time_ms"] == expected


@pytest.mark.parametrize("found", [1200.0, "1200.0", "1.2e3"])
def test_a_whole_number_may_be_written_with_a_point(found: object) -> None:
    assert coerce(amount_minor=found)["amount_minor"] == 1200


def test_missing_optional_fields_are_null_and_unknown_ones_are_left_out() -> None:
    row = coerce(device_id="", comment="hello")
    assert row["device_id"] is None
    assert row["lat"] is None
    assert "comment" not in row
    assert to_batch([row], BatchCodec("transactions").arrow_schema).num_rows == 1


def test_an_absent_outcome_is_unknown_as_the_schema_says() -> None:
    assert coerce(outcome=None)["outcome"] == "UNKNOWN"


@pytest.mark.parametrize(
    "found", [12.5, "12.5", "twelve", "1_000", "2026-07-25", True, [1], 2**63, "9" * 30, "inf", "nan"]
)
def test_what_is_no_whole_number_is_refused_by_field(found: object) -> None:
    with pytest.raises(PoisonRecord, match=r"\$\.amount_minor") as refusal:
        coerce(amount_minor=found)
    assert refusal.value.field == "amount_minor"


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("channel", "CARRIER_PIGEON"),
        ("lat", "north"),
        ("mcc", 2**31),
        ("currency", 12.0),
        ("country", "\udcff"),
        ("customer_id", {"a": 1}),
        ("event_time_ms", "yesterday"),
        ("transaction_id", None),
    ],
)
def test_what_does_not_fit_is_refused_by_field(field: str, found: object) -> None:
    with pytest.raises(PoisonRecord) as refusal:
        coerce(**{field: found})
    assert refusal.value.field == field


def test_a_message_shows_no_id_and_no_card_number() -> None:
    for field in ("card_id", "amount_minor"):
        with pytest.raises(PoisonRecord) as refusal:
            coerce(**{field: ["4111111111111111"]})
        assert "411111" not in str(refusal.value)


@pytest.mark.parametrize(("found", "expected"), [("true", True), ("0", False), (True, True), ("", None)])
def test_a_label_may_be_written_as_a_word_or_a_digit(found: object, expected: bool | None) -> None:
    label = {name: GOOD[name] for name in ("transaction_id", "card_id", "merchant_id", "event_time_ms")}
    row = Coercer("labels").coerce(label | {"label_time_ms": 5, "source": "analyst", "is_fraud": found})
    assert row["is_fraud"] is expected
