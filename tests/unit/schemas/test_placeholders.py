"""Ids that name nobody: which they are, found alike one by one and by the column, and what a deployment adds."""

from __future__ import annotations

from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import DECLARATIONS_HASH, declarations_hash
from weir.schemas.placeholders import BUILT_IN, TEXTS, WORDS, Placeholders
from weir.schemas.streams.payments import payments

FIELDS = ("transaction_id", "card_id", "customer_id", "merchant_id", "device_id", "ip")
NOBODY = [
    "null", "NULL", "Null", " null ", "<null>", "None", "nil", "NaN", "N/A", "n/a", "#N/A", "n.a.", "NA", "unknown",
    "UNKNOWN", "Unknown\t", "undefined", "(none)", "(not set)", "not_available", "[object Object]", "-", "--", "::",
    "?", " ", "\u00a0", "0.0.0.0", "127.0.0.1", "::1", "-1", r"\N", "00000000-0000-0000-0000-000000000000",
    "00:00:00:00:00:00", "0000000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
]  # fmt: skip
SOMEBODY = [
    "1", "10.0.0.1", "0.0.0.1", "::2", "card-0", "c0", "unknown-1", "nullable", "none1", "N/A 7", "test", "-2", "0001",
    "00000000-0000-0000-0000-000000000001", "no", "user", "Nadine", "Guesthouse", "\u4e2d\u6587",
]  # fmt: skip
MANY = 300
"""Values enough to be asked of a pattern before they are asked one by one."""


@pytest.mark.parametrize(("field", "value"), list(product(FIELDS, NOBODY)))
def test_a_value_that_stands_for_a_missing_id_is_a_placeholder_in_every_field(field: str, value: str) -> None:
    assert BUILT_IN.covers(field, value)
    assert BUILT_IN.find(field, pa.array(["x-1", value, None])).tolist() == [1]
    assert BUILT_IN.find(field, pa.array(["x-1", value, None] * MANY)).tolist() == [*range(1, 3 * MANY, 3)]


@pytest.mark.parametrize(("field", "value"), list(product(FIELDS, SOMEBODY)))
def test_an_id_that_somebody_has_is_none(field: str, value: str) -> None:
    assert not BUILT_IN.covers(field, value)
    assert BUILT_IN.find(field, pa.array([value])).tolist() == []
    assert BUILT_IN.find(field, pa.array([value] * MANY)).tolist() == []


@pytest.mark.parametrize("value", ["0", " 0", "0-0", "00", "000000"])
def test_few_zeros_number_a_card_and_name_no_device(value: str) -> None:
    of_payments = BUILT_IN.with_zero_fields(payments.zero_fields)
    assert [field for field in FIELDS if of_payments.covers(field, value)] == ["device_id", "ip"]


def test_a_zero_that_a_deployment_adds_names_nobody_in_any_field() -> None:
    ours = Placeholders.adding(["0"]).with_zero_fields(payments.zero_fields)
    assert [field for field in FIELDS if ours.covers(field, "0")] == list(FIELDS)


_PIECES = st.sampled_from(
    [*WORDS, *TEXTS, "0", " ", "-", "_", "/", "(", "\u00a0", "\u017f", "\u212a", "x", "1", "pos a"]
)
_IDS = st.one_of(st.text(max_size=6), st.lists(_PIECES, max_size=4).map("".join))


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), _IDS, _IDS.map(str.upper), _IDS.map(str.title))),
    st.integers(0, 3),
    st.sampled_from([1, 1, 1, MANY]),
)
def test_a_column_is_judged_as_its_values_are(given_values: list[str | None], start: int, times: int) -> None:
    ours = Placeholders.adding(["POS a", "\u017fx"]).with_zero_fields(frozenset({"ip"}))
    values = given_values * times
    part = values[start:]
    expected = [row for row, value in enumerate(part) if value is not None and ours.covers("ip", value)]
    assert ours.find("ip", pa.array(values, pa.string()).slice(start)).tolist() == expected


def test_a_deployment_s_own_ids_are_compared_whole_in_any_case() -> None:
    ours = Placeholders.adding(["POS-Default", " 9999 "])
    assert [ours.covers("card_id", value) for value in ("pos-default", " 9999", "POS default", "99990")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_what_a_deployment_adds_is_part_of_its_declarations_and_nothing_else_is() -> None:
    assert declarations_hash(BUILT_IN) == declarations_hash(Placeholders.adding([" NULL", "n/a"])) == DECLARATIONS_HASH
    one, same = Placeholders.adding(["a", "b"]), Placeholders.adding(["B ", "a", "a"])
    assert declarations_hash(one) == declarations_hash(same) != DECLARATIONS_HASH
    assert declarations_hash(one) != declarations_hash(Placeholders.adding(["a"]))
