"""One value: text becomes the schema's types, and what is none is refused by its field without showing an id."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.infra.user_files.fields import Field, fields_of
from weir.infra.user_files.values import Value, parse_value
from weir.schemas.errors import PoisonRecord

FIELDS = {field.name: field for kind in ("labels", "transactions") for field in fields_of(kind)}


def parse(field: str, found: object) -> Value:
    return parse_value(FIELDS[field], found)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (1_785_000_000_000, 1_785_000_000_000),
        (" 1785000000000 ", 1_785_000_000_000),
        ("1785000000000.0", 1_785_000_000_000),
        ("2026-07-25T17:20:00Z", 1_785_000_000_000),
        ("2026-07-25 17:20:00.007", 1_785_000_000_007),
        ("2026-07-25T19:20:00+02:00", 1_785_000_000_000),
        ("2026-07-25T17:20:00.0079Z", 1_785_000_000_007),
    ],
)
def test_a_time_may_be_milliseconds_or_iso_8601(found: object, expected: int) -> None:
    assert parse("event_time_ms", found) == expected


@pytest.mark.parametrize(
    "found", ["2026-07-25", "yesterday", "24:00", "2026-13-01T00:00", "2026-07-25T23:59:60Z", "0001"]
)
def test_what_is_no_moment_is_refused_or_no_time_of_today(found: str) -> None:
    if found == "0001":
        assert parse("event_time_ms", found) == 1  # out of range, which the stream's own rules say
        return
    with pytest.raises(PoisonRecord, match=r"\$\.event_time_ms"):
        parse("event_time_ms", found)


@pytest.mark.parametrize("found", [1200, "1200", "+1200", 1200.0, "1200.0", Decimal(1200)])
def test_a_whole_number_may_be_text_or_a_float_that_holds_one(found: object) -> None:
    assert parse("amount_minor", found) == 1200


@pytest.mark.parametrize("found", [None, "", "  ", float("nan")])
def test_no_value_is_null_where_it_may_be_and_missing_where_not(found: object) -> None:
    assert parse("device_id", found) is None
    assert parse("lat", found) is None
    assert parse("outcome", found) == "UNKNOWN"
    with pytest.raises(PoisonRecord) as refusal:
        parse("card_id", found)
    assert refusal.value.reason == "missing_field"


NO_WHOLE: list[Any] = [
    12.5, "12.5", "twelve", "1_000", "2026-07-25", True, [1], {"a": 1}, 2**63, "9" * 30, "9" * 5_000, "inf", "nan",
    "0x10", "१२", "1e3", 2.0**60, Decimal("1e400"), float("inf"), b"\xff", "--1", "1 000",
]  # fmt: skip


@pytest.mark.parametrize("found", NO_WHOLE, ids=lambda found: repr(found)[:20])
@pytest.mark.parametrize("field", ["amount_minor", "mcc", "event_time_ms"])
def test_what_is_no_whole_number_is_refused_by_field(field: str, found: object) -> None:
    with pytest.raises(PoisonRecord) as refusal:
        parse(field, found)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("channel", "CARRIER_PIGEON"),
        ("lat", "north"),
        ("lat", "48,1"),
        ("lat", "1_0"),
        ("lat", "nan"),
        ("lat", 10**400),
        ("mcc", 2**31),
        ("currency", 12.0),
        ("country", "\udcff"),
        ("customer_id", {"a": 1}),
        ("card_id", True),
        ("merchant_id", "a\0b"),
        ("transaction_id", "4.11111E+15"),
        ("is_fraud", "maybe"),
        ("is_fraud", 2),
        ("is_fraud", 0.5),
    ],
)
def test_what_does_not_fit_is_refused_by_field(field: str, found: object) -> None:
    with pytest.raises(PoisonRecord) as refusal:
        parse(field, found)
    assert refusal.value.field == field


@pytest.mark.parametrize("field", ["card_id", "amount_minor", "merchant_id"])
@pytest.mark.parametrize("found", [["4111111111111111"], "4111111111111111\0"])
def test_a_message_shows_no_id_and_no_card_number(field: str, found: object) -> None:
    with pytest.raises(PoisonRecord) as refusal:
        parse(field, found)
    assert "411111" not in str(refusal.value)


@pytest.mark.parametrize("found", ["true", "TRUE", "1", "yes", "Y", "t", True, 1, 1.0, "1.0", Decimal("1.0")])
def test_a_label_may_be_a_word_a_digit_or_a_float_that_is_one(found: object) -> None:
    assert parse("is_fraud", found) is True


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_whole_number_of_64_bits_is_itself_in_every_type(number: int) -> None:
    assert parse("amount_minor", number) == parse("amount_minor", str(number)) == number


@given(st.one_of(st.text(), st.binary(), st.floats(), st.integers(), st.decimals(allow_nan=False), st.booleans()))
def test_no_value_of_any_type_does_anything_but_fit_or_be_refused(found: object) -> None:
    for field in FIELDS.values():
        with suppress(PoisonRecord):
            assert _has_type(field, parse_value(field, found))


def _has_type(field: Field, value: Value) -> bool:
    types: dict[str, type | tuple[type, ...]] = {
        "text": str,
        "enum": str,
        "whole": int,
        "time": int,
        "number": float,
        "flag": bool,
    }
    return value is None or isinstance(value, types[field.kind])
