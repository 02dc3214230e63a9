"""How expressions are written, compared, hashed and typed; a fault is a sentence that names the nearest right thing."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest

from weir.schemas.checks.expression_types import INTEGER, NUMBER, read_columns, type_of
from weir.schemas.contracts import schema_json
from weir.schemas.expression import Expression, col, columns_of, money, to_json

FIELDS = read_columns([
    *json.loads(schema_json("transactions"))["fields"],
    {"name": "is_new", "type": "boolean"},
    {"name": "raw", "type": "bytes"},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "either", "type": ["null", "int", "string"]},
])  # fmt: skip


def test_the_canonical_json_is_this() -> None:
    node = (col("mcc").between(0, 9_999) & ~(col("outcome") == "X")) | (1 - col("n") * 2.5 > 3)
    assert to_json(node) == (
        '["or",["and",["and",["ge",["col","mcc"],["lit",0]],["le",["col","mcc"],["lit",9999]]],'
        '["not",["eq",["col","outcome"],["lit","X"]]]],'
        '["gt",["sub",["lit",1],["mul",["col","n"],["lit",2.5]]],["lit",3]]]'
    )
    assert to_json(col("t").hour().sin_of(24)) == '["sin_of",["hour",["col","t"]],24]'
    assert to_json(col("t").matches('a"b')) == '["matches",["col","t"],"a\\"b"]'


def test_the_order_of_a_list_is_not_part_of_it_and_the_kind_of_a_literal_is() -> None:
    assert to_json(col("a").is_in(["x", "y", "x"])) == to_json(col("a").is_in(["y", "x"]))
    assert to_json(col("t").is_holiday(["2026-12-25", "2026-01-01"])).endswith('["2026-01-01","2026-12-25"]]')
    assert to_json(col("a").is_in("xy")) == to_json(col("a").is_in(["xy"]))
    assert to_json(col("t").is_holiday("2026-12-25")) == to_json(col("t").is_holiday(["2026-12-25"]))
    assert len({to_json(col("a") == literal) for literal in (1, 1.0, True, "1")}) == 4
    assert hash(col("a") == 1) == hash(col("a") == 1)


def test_expressions_survive_copies_and_pickles() -> None:
    node = money("a", "b") + 1
    assert to_json(copy.deepcopy(node)) == to_json(pickle.loads(pickle.dumps(node))) == to_json(node)
    assert columns_of(node) == {"a", "b"}


@pytest.mark.parametrize("write", [
    lambda: col("a") and col("b"), lambda: not col("a"), lambda: 1 < col("a") < 5, lambda: bool(col("a")),
])  # fmt: skip
def test_what_python_cannot_overload_is_refused_with_what_to_write(write: Any) -> None:
    with pytest.raises(TypeError, match=r"joined by & \| ~ or .between"):
        write()


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        (col("outcom") == "DECLINED", "found 'outcom'; did you mean 'outcome'?"),
        (col("outcome") == "DECLIEND", "expected a value of 'outcome', found 'DECLIEND'; did you mean 'DECLINED'?"),
        (col("channel").is_in(["ECOM", "MOTTO"]), "found 'MOTTO'; did you mean 'MOTO'?"),
        (col("mcc") == "5411", "expected two values of one kind around 'eq', found integer and text"),
        (col("mcc") & (col("country") == "DE"), "expected boolean for 'and', found integer"),
        (~col("country"), "expected boolean for 'not', found text"),
        (col("country") + 1, "expected integer or number for 'add', found text"),
        (col("is_new") < 1, "expected two values of one kind around 'lt', found boolean and integer"),
        (col("is_new") < True, "expected numbers or text around 'lt', found a boolean"),
        (col("device_id") == None, "found None; write .is_null()"),  # noqa: E711 - as a user would write it
        (col("mcc") == 1 << 70, "expected a boolean, a 64-bit integer"),
        (col("lat") == math.inf, "a finite number or text, found inf"),
        (col("raw").is_null(), "found field 'raw' of bytes"),
        (col("tags") == "a", "found field 'tags' of array"),
        (col("either") == 1, "found field 'either' of union of several types"),
        (col("mcc").matches("5.*"), "expected text for 'matches', found integer"),
        (col("country").matches("[A-Z"), "expected a pattern of RE2, found '[A-Z': missing ]"),
        (col("country").matches("a)|(b"), "expected a pattern of RE2"),
        (col("country").matches("(?=a)b"), "expected a pattern of RE2"),
        (col("country").matches(7), "expected a pattern as text, found 7"),  # type: ignore[arg-type]
        (col("country").is_in([]), "expected at least one value in .is_in(), found none"),
        (col("mcc").is_in(["a"]), "expected values of one kind in .is_in(), found integer and text"),
        (col("country").hour(), "expected integer for 'hour', found text"),
        (col("event_time_ms").is_holiday(["2026-13-01"]), "expected a date like 2026-12-25, found '2026-13-01'"),
        (col("event_time_ms").hour().sin_of(0), "expected a period above 0, found 0"),
        (
            money("currency", "amount_minor"),
            "expected an integer of minor units and the text of its currency in money()",
        ),
        (
            money("amount_minor", "GBP"),
            """found the currency 'GBP'; where all are of one currency, the schema may have {"name": "currency", """,
        ),
    ],
)
def test_a_fault_is_said_in_one_sentence(node: Expression, fault: str) -> None:
    (found,) = type_of(node, FIELDS, "a field of transactions.avsc").faults
    assert fault in found


def test_money_without_a_currency_says_what_to_do() -> None:
    with pytest.raises(
        TypeError, match=r"expected money\('amount_minor', FIELD of its currency\).*\"default\": \"EUR\""
    ):
        money("amount_minor")


def test_every_fault_is_said_at_once() -> None:
    node = (col("outcom") == "X") & (col("mcc") + 1) & col("countri").matches("(")
    assert len(type_of(node, FIELDS).faults) == 4


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (col("mcc") * 2 + 1, INTEGER),
        (col("mcc") * 0.5, NUMBER),
        (money("amount_minor", "currency"), INTEGER),
        (col("event_time_ms").hour().cos_of(24), NUMBER),
        (col("event_time_ms").weekday(), INTEGER),
    ],
)
def test_a_number_has_its_kind(node: Expression, kind: str) -> None:
    typing = type_of(node, FIELDS)
    assert (typing.kind, typing.faults) == (kind, [])
