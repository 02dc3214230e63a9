"""What an expression is worth, against an evaluator of rows that shares no code, and today's flags bit for bit."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.schemas.expressions.oracle import value_of
from tests.unit.streaming.streams import random_stream, record_batch
from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, TEXT, Column, type_of
from weir.schemas.currencies import compute_base_minor
from weir.schemas.expression import Expression, as_expression, col, money, to_data, to_json
from weir.schemas.expression_of_row import plan_of_row
from weir.schemas.expression_values import evaluate, fails, holds

COLUMNS = {
    "flag": Column(BOOLEAN, True),
    "n": Column(INTEGER, True),
    "m": Column(INTEGER),
    "x": Column(NUMBER, True),
    "text": Column(TEXT, True),
    "currency": Column(TEXT, True),
    "time": Column(INTEGER),
}
TYPES = {
    "flag": pa.bool_(), "n": pa.int64(), "m": pa.int32(), "x": pa.float64(), "text": pa.string(),
    "currency": pa.string(), "time": pa.int64(),
}  # fmt: skip
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
SMALL = st.integers(-3, 3)
FLOATS = st.one_of(st.sampled_from([0.0, -0.5, 2.0, 1e18, math.inf, math.nan]), st.floats(-1e6, 1e6))
WORDS = st.sampled_from(["", "a", "ab", "ab\n", "B", "ß", "aaa"])
ROWS = st.lists(
    st.fixed_dictionaries({
        "flag": st.none() | st.booleans(),
        "n": st.none() | SMALL | INT64,
        "m": SMALL,
        "x": st.none() | FLOATS,
        "text": st.none() | WORDS,
        "currency": st.none() | st.sampled_from(["USD", "EUR", "JPY", "KWD", "ZZZ"]),
        "time": st.integers(-(10**12), 4 * 10**12),
    }),
    max_size=6,
)  # fmt: skip

integers: st.SearchStrategy[Expression] = st.deferred(lambda: st.one_of(
    st.sampled_from([col("n"), col("m"), money("n", "currency"), col("time").weekday(), col("time").month()]),
    (SMALL | INT64).map(as_expression),
    st.builds(lambda a, b, op: Expression(op, (a, b)), integers, integers, st.sampled_from(["add", "sub", "mul"])),
))  # fmt: skip
divisors: st.SearchStrategy[Expression] = st.deferred(
    lambda: (integers | numbers).filter(lambda node: (node.op, node.value) != ("lit", 0))
)
numbers: st.SearchStrategy[Expression] = st.deferred(lambda: st.one_of(
    st.sampled_from([col("x"), col("time").hour()]),
    st.sampled_from([0.5, -2.0, 1e18]).map(as_expression),
    st.builds(lambda a, b, op: Expression(op, (a, b)), numbers, integers, st.sampled_from(["add", "sub", "mul"])),
    st.builds(lambda a, b: a / b, integers | numbers, divisors),
))  # fmt: skip
texts = st.one_of(st.just(col("text")), WORDS.map(as_expression))
COMPARED = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])
conditions: st.SearchStrategy[Expression] = st.deferred(lambda: st.one_of(
    st.just(col("flag")),
    st.builds(lambda a, b, op: Expression(op, (a, b)), integers | numbers, integers | numbers, COMPARED),
    st.builds(lambda a, b, op: Expression(op, (a, b)), texts, texts, COMPARED),
    st.builds(lambda a, b: a & b, conditions, conditions),
    st.builds(lambda a, b: a | b, conditions, conditions),
    st.builds(lambda a: ~a, conditions),
    st.builds(lambda a, values: a.is_in(values), integers, st.lists(SMALL, min_size=1)),
    st.builds(lambda a, values: a.is_in(values), numbers, st.lists(st.sampled_from([0.0, -0.5, 2.0]), min_size=1)),
    st.builds(lambda a, values: a.is_in(values), texts, st.lists(WORDS, min_size=1)),
    st.builds(lambda a: a.is_null(), integers | numbers | texts | conditions),
    st.builds(lambda a, b, c: a.between(b, c), integers, SMALL, SMALL),
    st.builds(lambda a, p: a.matches(p), texts, st.sampled_from(["a*", "a|ab", "[A-Z]", "", "(a)(b)?", "."])),
    st.sampled_from([col("time").is_weekend(), col("time").is_holiday(["2001-09-09", "1970-01-01"])]),
))  # fmt: skip


def columns_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return type(found) is type(expected) and bool(found == expected)


@settings(max_examples=250, deadline=None)
@given(ROWS, st.one_of(conditions, integers, numbers))
def test_an_expression_is_worth_what_plain_python_says(rows: list[dict[str, Any]], node: Expression) -> None:
    assert type_of(node, COLUMNS).faults == []
    found = evaluate(node, columns_of(rows)).to_pylist()
    expected = [value_of(json.loads(json.dumps(to_data(node))), row) for row in rows]
    assert len(found) == len(expected)
    for one, other, row in zip(found, expected, rows, strict=True):
        assert same(one, other), (to_json(node), row, one, other)


@settings(max_examples=100, deadline=None)
@given(ROWS, conditions)
def test_a_condition_over_null_neither_holds_nor_fails(rows: list[dict[str, Any]], node: Expression) -> None:
    batch = columns_of(rows)
    expected = [value_of(to_data(node), row) for row in rows]
    assert holds(node, batch).tolist() == [value is True for value in expected]
    assert fails(node, batch).tolist() == [value is False for value in expected]


@settings(max_examples=250, deadline=None)
@given(ROWS, st.one_of(conditions, integers, numbers))
def test_an_expression_of_one_record_is_worth_what_it_is_over_columns(
    rows: list[dict[str, Any]], node: Expression
) -> None:
    compute = plan_of_row(node)
    for row, expected in zip(rows, evaluate(node, columns_of(rows)).to_pylist(), strict=True):
        assert same(compute(row), expected), (to_json(node), row, expected)


@settings(max_examples=100, deadline=None)
@given(
    st.none() | st.sampled_from([(1 << 53) + 1, (1 << 62) + 1, -(1 << 63)]) | INT64,
    st.none() | FLOATS,
    st.sampled_from([24, 0.7, 1e-300, 1 << 62]),
)
def test_edges_of_one_record_are_those_of_columns(n: int | None, x: float | None, period: float) -> None:
    row = {"n": n, "x": x}
    batch = pa.record_batch({"n": pa.array([n], pa.int64()), "x": pa.array([x], pa.float64())})
    time = col("n")
    nodes = [
        time.hour(), time.weekday(), time.month(), time.is_weekend(), time.is_holiday(["2001-09-09", "1969-12-31"]),
        time.sin_of(period), time.cos_of(period), col("x").sin_of(period), col("x").cos_of(period),
        col("gone").is_null(), col("gone") == 1, money("n", "gone"), time.is_in([1 << 53, 0.5]), col("x").is_in([1, 2]),
        time == float(1 << 53), time > float(1 << 62), time + 1, time * 2, 0 - time, time + time == 2,
        time / 3, 1 / time, col("x") / time, time / col("x"),
    ]  # fmt: skip
    for node in nodes:
        assert same(plan_of_row(node)(row), evaluate(node, batch)[0].as_py()), (to_json(node), row)


def test_a_pattern_means_the_same_of_one_record_and_takes_linear_time() -> None:
    texts = ["DE", "DE\n", "", "\u0663", "a" * 100_000 + "b"]
    for pattern in ("[A-Z]{2}", r"\d", "(a+)+", "(?i)de", "."):
        node = col("t").matches(pattern)
        expected = evaluate(node, pa.record_batch({"t": texts})).to_pylist()
        assert [plan_of_row(node)({"t": text}) for text in texts] == expected


@pytest.mark.parametrize("op", ["sin_of", "cos_of"])
def test_a_cycle_brings_its_ends_together(op: str) -> None:
    hours = [0.0, 6.0, 12.0, 23.999, 24.0]
    found = evaluate(Expression(op, (col("h"),), 24), pa.record_batch({"h": hours})).to_pylist()
    assert found == pytest.approx([value_of([op, ["col", "h"], 24], {"h": h}) for h in hours])
    assert found[0] == pytest.approx(found[-1])


def test_a_column_that_an_older_writer_did_not_have_is_null() -> None:
    batch = pa.record_batch({"there": ["a", "b"], "n": [1, 2]})
    gone = col("gone")
    nodes = [
        gone == "x", gone == 1, gone == col("too"), gone < col("n"), gone + 1, gone & (col("n") == 3) | gone, ~gone,
        gone.is_in(["a"]), gone.is_in([1]), gone.matches("a"), gone.hour(), gone.is_holiday([]), money("n", "gone"),
        money("gone", "there"), gone.sin_of(24),
    ]  # fmt: skip
    for node in nodes:
        assert evaluate(node, batch).to_pylist() == [None, None], to_json(node)
    assert evaluate(gone.is_null(), batch).to_pylist() == [True, True]


def test_dictionaries_and_narrow_numbers_are_read_as_what_they_hold() -> None:
    batch = pa.record_batch({
        "outcome": pa.array(["DECLINED", None, "ACCEPTED"]).dictionary_encode(),
        "n": pa.array([1 << 30, None, 2], pa.int32()),
        "x": pa.array([0.5, None, 1.5], pa.float32()),
        "large": pa.array(["a", None, "b"], pa.large_string()),
        "view": pa.array(["a", None, "c"], pa.string_view()),
    })  # fmt: skip
    assert evaluate(col("outcome") == "DECLINED", batch).to_pylist() == [True, None, False]
    assert evaluate(col("n") * col("n"), batch).to_pylist() == [1 << 60, None, 4]
    assert evaluate(col("large") == col("view"), batch).to_pylist() == [True, None, False]
    assert evaluate(col("view").is_in(["a"]) & col("large").matches("."), batch).to_pylist() == [True, None, False]
    assert evaluate(col("x") * 2, batch).to_pylist() == [1.0, None, 3.0]


def test_a_pattern_matches_the_whole_text_in_linear_time() -> None:
    batch = pa.record_batch({"t": ["DE", "DEU", "de", "DE\n", "a" * 100_000 + "b"]})
    assert evaluate(col("t").matches("[A-Z]{2}"), batch).to_pylist() == [True, False, False, False, False]
    assert evaluate(col("t").matches("(a+)+"), batch).to_pylist()[-1] is False  # a backtracking engine never ends


@pytest.mark.parametrize("seed", range(20))
def test_flags_and_amounts_are_todays_bit_for_bit(seed: int) -> None:
    chance = random.Random(seed)
    rows = [event | _changes(chance) for event in random_stream(seed, 300)]
    batch = record_batch(rows)
    if seed % 5 == 0:
        batch = batch.drop_columns(["issuer_country"])
    rows = batch.to_pylist()
    amounts = [_base_minor(row["amount_minor"], row["currency"]) for row in rows]
    amount = evaluate(money("amount_minor", "currency"), batch)
    assert amount.to_pylist() == amounts
    with_amount = batch.append_column("amount", amount)
    issuers = [row.get("issuer_country") for row in rows]
    declared = [
        (col("outcome") == "DECLINED", [row["outcome"] == "DECLINED" for row in rows]),
        (col("channel").is_in(["ECOM", "MOTO"]), [row["channel"] in ("ECOM", "MOTO") for row in rows]),
        (
            col("issuer_country") != col("country"),
            [issuer not in (None, row["country"]) for issuer, row in zip(issuers, rows, strict=True)],
        ),
        (col("amount") <= 200, [value <= 200 for value in amounts]),
        (col("amount_minor") < 0, [row["amount_minor"] < 0 for row in rows]),
    ]
    for node, expected in declared:
        assert holds(node, with_amount).tolist() == expected, to_json(node)


def _base_minor(amount_minor: int, currency: str) -> int:
    size = compute_base_minor(abs(amount_minor), currency)
    return size if amount_minor >= 0 else -size


def _changes(chance: random.Random) -> dict[str, Any]:
    return {
        "outcome": chance.choice(["ACCEPTED", "DECLINED", "UNKNOWN"]),
        "channel": chance.choice(["POS", "ATM", "ECOM", "MOTO", "OTHER"]),
        "issuer_country": chance.choice([None, "DE", "FR"]),
        "country": chance.choice(["DE", "FR"]),
        "currency": chance.choice(["USD", "EUR", "JPY", "KWD"]),
        "amount_minor": chance.choice([0, 1, -1, 182, 181, 183, 200, 201, -5, chance.randint(-90_000, 900_000)]),
    }


def test_both_zeros_are_one_number_in_a_list() -> None:
    batch = pa.record_batch({"x": pa.array([0.0, -0.0, 1.0, None])})
    for zero in (0.0, -0.0):
        assert evaluate(col("x").is_in([zero, 2.0]), batch).to_pylist() == [True, True, False, None]
