"""What a condition's text means for one row, by Python's own parser and ``None`` for unknown; no code of ours."""

from __future__ import annotations

import ast
import math
import operator
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

FEATURE, WHOLE, NUMBER, OTHER = "feature", "whole", "number", "other"
COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
COUNT: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}  # fmt: skip
HOUR_MS = 3_600_000


class Found(NamedTuple):
    """A value, None where it is missing, and how numbers of its kind are compared."""

    value: Any
    kind: str = OTHER
    is_literal: bool = False


def is_fulfilled(text: str, row: Mapping[str, Any], listed: Mapping[str, set[str]], features: set[str]) -> bool:
    """Whether the condition is true for a row, whose missing values are None or NaN."""
    return _value(ast.parse(text, mode="eval").body, row, listed, features).value is True


def _value(node: ast.expr, row: Mapping[str, Any], listed: Mapping[str, set[str]], features: set[str]) -> Found:
    def ask(part: ast.expr) -> Found:
        return _value(part, row, listed, features)

    if isinstance(node, ast.Constant):
        return Found(node.value, _kind(node.value), is_literal=True)
    if isinstance(node, ast.Name):
        value = row[node.id]
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        return Found(None if missing else value, FEATURE if node.id in features else KINDS[node.id])
    if isinstance(node, ast.BinOp):
        return _count(node.op, ask(node.left), ask(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found = ask(node.operand)
        if isinstance(node.operand, ast.Constant):
            return Found(-found.value, found.kind, is_literal=True)
        return _count(ast.Sub(), Found(0, WHOLE), found)
    return _call(node, ask, listed) if isinstance(node, ast.Call) else Found(_judge(node, ask))


def _judge(node: ast.expr, ask: Callable[[ast.expr], Found]) -> Any:
    if isinstance(node, ast.BoolOp):
        return _join([ask(part).value for part in node.values], isinstance(node.op, ast.Or))
    if isinstance(node, ast.UnaryOp):
        found = ask(node.operand).value
        return None if found is None else not found
    assert isinstance(node, ast.Compare)
    sides = [node.left, *node.comparators]
    return _join([_compare(sign, sides[n], sides[n + 1], ask) for n, sign in enumerate(node.ops)], False)


def _kind(value: Any) -> str:
    if isinstance(value, bool | str):
        return OTHER
    return WHOLE if isinstance(value, int) else NUMBER


def _join(values: list[Any], decides: bool) -> Any:
    if decides in values:
        return decides
    return None if None in values else not decides


def _count(sign: ast.operator, left: Found, right: Found) -> Found:
    if left.value is None or right.value is None:
        whole = {left.kind, right.kind} == {WHOLE} and not isinstance(sign, ast.Div)
        return Found(None, WHOLE if whole else NUMBER)
    if isinstance(sign, ast.Div):
        if right.value == 0:
            return Found(None, NUMBER)
        return _number(float(left.value) / float(right.value))
    if left.kind == right.kind == WHOLE:
        found = COUNT[type(sign)](left.value, right.value)
        return Found(found if -(2**63) <= found < 2**63 else None, WHOLE)
    return _number(COUNT[type(sign)](float(left.value), float(right.value)))


def _number(value: float) -> Found:
    return Found(None if math.isnan(value) else value, NUMBER)


def _narrow(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _aligned(left: Found, right: Found) -> tuple[Any, Any]:
    if OTHER in {left.kind, right.kind} or left.kind == right.kind == WHOLE:
        return left.value, right.value
    if FEATURE in {left.kind, right.kind} and (left.is_literal or right.is_literal):
        return tuple(_narrow(side.value) if side.is_literal else side.value for side in (left, right))  # type: ignore[return-value]
    return float(left.value), float(right.value)


def _compare(sign: ast.cmpop, left: ast.expr, right: ast.expr, ask: Callable[[ast.expr], Found]) -> Any:
    one = ask(left)
    if isinstance(sign, ast.Is | ast.IsNot):
        return (one.value is None) is isinstance(sign, ast.Is)
    if one.value is None:
        return None
    if isinstance(sign, ast.In | ast.NotIn):
        assert isinstance(right, ast.List)
        others = [ask(each) for each in right.elts]
        if one.kind == WHOLE and any(other.kind == NUMBER for other in others):
            found = float(one.value) in [float(other.value) for other in others]
        else:
            found = any(operator.eq(*_aligned(one, other)) for other in others)
        return found is isinstance(sign, ast.In)
    other = ask(right)
    return None if other.value is None else COMPARE[type(sign)](*_aligned(one, other))


def _call(node: ast.Call, ask: Callable[[ast.expr], Found], listed: Mapping[str, set[str]]) -> Found:
    if isinstance(node.func, ast.Name):
        name, field = node.args
        assert isinstance(name, ast.Constant)
        value = ask(field).value
        return Found(None if value is None else value in listed[str(name.value)])
    assert isinstance(node.func, ast.Attribute)
    value = ask(node.func.value).value
    if value is None:
        return Found(None, NUMBER if node.func.attr == "hour" else WHOLE)
    if node.func.attr == "matches":
        return Found(re.fullmatch(node.args[0].value, value) is not None)  # type: ignore[attr-defined]
    day = value // (24 * HOUR_MS)
    if node.func.attr == "hour":
        return Found((value - day * 24 * HOUR_MS) / HOUR_MS, NUMBER)
    weekday = (day + 3) % 7
    return Found(weekday, WHOLE) if node.func.attr == "weekday" else Found(weekday > 4)


KINDS = {"n": WHOLE, "m": WHOLE, "time": WHOLE, "x": NUMBER, "word": OTHER, "flag": OTHER, "card_id": OTHER}
"""Of the fields of the rows that conditions are tried on."""
