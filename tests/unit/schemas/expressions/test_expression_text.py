"""Text and tree are one: what is written is read back, and what is no expression is refused with its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.schemas.expressions.test_expression_values import conditions, integers, numbers
from weir.schemas.expression import Expression, col, to_json
from weir.schemas.expression_parser import DEPTH_MAX, PARTS_MAX, TEXT_MAX, parse_expression
from weir.schemas.expression_text import to_text


def _read(text: str) -> Expression:
    parsed = parse_expression(text)
    assert parsed.expression is not None, parsed.faults
    return parsed.expression


@settings(max_examples=1_000, deadline=None)
@given(st.one_of(conditions, integers, numbers))
def test_every_tree_is_read_back_from_its_text(node: Expression) -> None:
    text = to_text(node)
    assert to_json(_read(text)) == to_json(node)
    assert to_text(_read(text)) == text
    assert to_json(_read(text.replace(" ", "\n"))) == to_json(node) or "'" in text


@settings(max_examples=500, deadline=None)
@given(st.text() | st.text(alphabet="ab01 ()[]<>=!&|+-*/.,'\"#\\\n\r\f:{}fnotridc", max_size=40))
@example("\r0")
@example("a\r\n<\ra\nb")
def test_any_text_is_an_expression_or_has_a_fault_within_it(text: str) -> None:
    parsed = parse_expression(text)
    lines = re.split("\r\n|\r|\n", text)
    assert (parsed.expression is None) == bool(parsed.faults)
    for (line, column), fault in parsed.faults:
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
        assert fault.startswith("expected ")
        assert ", found " in fault


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("c <= a < b != 3", (col("c") <= col("a")) & (col("a") < col("b")) & (col("b") != 3)),
        ("a is not None and not b is None", ~col("a").is_null() & ~col("b").is_null()),
        ("a in ('x', 'y') or a not in ['z']", col("a").is_in(["x", "y"]) | ~col("a").is_in(["z"])),
        ("a.between(1, 2)", col("a").between(1, 2)),
        ("-a > -1.5", 0 - col("a") > -1.5),
        ("in_list('watch', card_id)", col("card_id").in_list("watch")),
        ("col('from') == 'DE'", col("from") == "DE"),
        (
            "t.hour() >= 22 or t.is_holiday(['2026-12-25'])",
            (col("t").hour() >= 22) | col("t").is_holiday(["2026-12-25"]),
        ),
        (r"a.matches('\d{3}')  # digits", col("a").matches(r"\d{3}")),
        ("flag == True", col("flag") == True),  # noqa: E712 - as it is written
        ("a / b > 3", col("a") / col("b") > 3),
        ("a\n  and b", col("a") & col("b")),
    ],
)
def test_a_text_means_this_tree(text: str, tree: Any) -> None:
    assert to_json(_read(text)) == to_json(tree)


@pytest.mark.parametrize(
    ("text", "place", "fault"),
    [
        ("a && b", (1, 3), "expected an expression, found '&& b'; write `and`"),
        ("a > 1 AND b", (1, 7), "write and, or, not, in, is in small letters"),
        ("a = 1", (1, 3), "write `==`"),
        ("a == '=' or", (1, 12), "expected an expression, found its end"),
        ("a & b", (1, 1), "expected one of + - * /, found &; write `and`"),
        ("a > 1 or\n  b == true", (2, 8), "expected True, found true"),
        ("a.hours() > 3", (1, 1), "expected a function of a value, found 'hours'; did you mean 'hour'?"),
        ("hour(a) > 3", (1, 1), "expected in_list() or money(), found 'hour'; write x.hour()"),
        ("a == None", (1, 1), "expected a value, found None; write `is None` or `is not None`"),
        ("a is 5", (1, 6), "expected None after `is`, found another value; write == to compare"),
        ("ü > 1 and a**2 > 4", (1, 11), "expected one of + - * /, found **"),
        ("a > 1e999", (1, 5), "expected a number of at most 1.8e308, found a larger one"),
        ("a) or (b", (1, 2), "unmatched ')'"),
        ("(a\nor b", (2, 5), "'(' was never closed"),
        ("a.matches(b)", (1, 11), "expected a number, a text or a boolean, found another value"),
        ("a in b", (1, 6), "expected a list such as ['a', 'b'], found another value"),
        ("a.matches(pattern='x')", (1, 1), "expected arguments without names, found pattern="),
        ("in_list(watch, card_id)", (1, 9), "expected the name of a list in quotes, found another value"),
        (" ", (1, 1), "expected an expression, found nothing"),
        ("\\0", (1, 2), "unexpected character after line continuation"),
    ],
)
def test_a_fault_names_its_place_and_the_nearest_right_thing(text: str, place: tuple[int, int], fault: str) -> None:
    ((found, said),) = parse_expression(text).faults
    assert found == place
    assert fault in said


@pytest.mark.parametrize("text", [
    "__import__('os').system('x')", "a.__class__", "a[0]", "(lambda: 1)()", "[a for a in b]", "f'{a}'", "a if b else c",
    "(a := 1)", "{}", "*a", "b'x' == a", "1j == a", "...", "print(a)", "a.is_null().mro()", "yield a", "await a",
])  # fmt: skip
def test_nothing_but_the_language_is_read(text: str) -> None:
    assert parse_expression(text).faults


def test_faults_are_said_all_at_once_and_in_order() -> None:
    faults = parse_expression("a % 2 == 0 and b == null and\nc.foo() > 1").faults
    assert [place for place, _ in faults] == [(1, 1), (1, 21), (2, 1)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a" * (TEXT_MAX + 1), f"expected at most {TEXT_MAX:,} characters"),
        (" or ".join(["a"] * (DEPTH_MAX + 1)), f"expected at most {DEPTH_MAX} conditions joined"),
        ("+".join(["a"] * (DEPTH_MAX + 1)), f"expected at most {DEPTH_MAX} conditions joined"),
        ("not " * 900 + "a", "expected "),
        ("(" * 150 + "a" + ")" * 150, ""),
        ("(" * 1_500 + "a" + ")" * 1_500, "expected an expression"),
        ("a in [" + "1," * PARTS_MAX + "]", f"expected at most {PARTS_MAX:,} names and values"),
        ("-" * 3_999 + "a", "expected "),
        ("a[" * 1_000 + "0" + "]" * 1_000, "expected "),
        ("\0", "expected an expression"),
        ("9" * 3_990, ""),
    ],
)
def test_no_text_is_too_much(text: str, fault: str) -> None:
    found = parse_expression(text)
    assert (found.expression is not None) if not fault else found.faults[0].fault.startswith(fault)


def test_the_deepest_text_that_is_read_is_written_hashed_and_typed() -> None:
    node = _read(" or ".join(["a == 1"] * (DEPTH_MAX - 1)))
    assert to_json(_read(to_text(node))) == to_json(node)
