"""Expressions evaluated row by row in plain Python, from their JSON alone: it shares nothing with what it judges."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from weir.schemas.currencies import compute_base_minor, micro_rate

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RATED = {"USD", "EUR", "JPY", "KWD"}


def value_of(node: list[Any], row: dict[str, Any]) -> Any:
    """The value of one row; ``None`` is null."""
    op, *rest = node
    if op == "col":
        return row.get(rest[0])
    if op == "lit":
        return rest[0]
    if op in {"and", "or"}:
        return _joined(op, value_of(rest[0], row), value_of(rest[1], row))
    if op == "is_null":
        return value_of(rest[0], row) is None
    parts = [value_of(part, row) for part in rest if isinstance(part, list) and part and part[0] in OPS]
    if any(part is None for part in parts):
        return None
    more = rest[len(parts)] if len(rest) > len(parts) else None
    return _function(op, parts, more)


def _joined(op: str, left: Any, right: Any) -> Any:
    deciding = op == "or"
    if left is deciding or right is deciding:
        return deciding
    return None if left is None or right is None else not deciding


def _function(op: str, parts: list[Any], more: Any) -> Any:
    if op in {"eq", "ne", "lt", "le", "gt", "ge"}:
        return _compared(op, *_same(*parts))
    if op == "div":
        return None if parts[1] == 0 else _divided(float(parts[0]), float(parts[1]))
    if op in {"add", "sub", "mul"}:
        return _counted(op, *_same(*parts))
    return _tested(op, parts, more) if op in {"not", "is_in", "matches", "money"} else _placed(op, parts[0], more)


def _tested(op: str, parts: list[Any], more: Any) -> Any:
    if op == "not":
        return not parts[0]
    if op == "is_in":
        return any(_compared("eq", *_same(parts[0], value)) for value in more)
    if op == "matches":
        return re.fullmatch(more, parts[0]) is not None
    fits = parts[1] in RATED and abs(parts[0]) * micro_rate(parts[1]) + 500_000 < 2**63
    return compute_base_minor(*parts) if fits else None


def _placed(op: str, number: Any, more: Any) -> Any:
    if op in {"sin_of", "cos_of"}:
        return getattr(math, op[:3])(2 * math.pi * number / more)
    return _dated(op, EPOCH + timedelta(milliseconds=number), more)


def _same(left: Any, right: Any) -> tuple[Any, Any]:
    if isinstance(left, float) or isinstance(right, float):
        return float(left), float(right)
    return left, right


def _compared(op: str, left: Any, right: Any) -> bool:
    if op == "eq":
        return bool(left == right)
    if op == "ne":
        return bool(left != right)
    if op == "lt":
        return bool(left < right)
    if op == "le":
        return bool(left <= right)
    return bool(left > right) if op == "gt" else bool(left >= right)


def _counted(op: str, left: Any, right: Any) -> Any:
    found = left + right if op == "add" else left - right if op == "sub" else left * right
    return found if isinstance(found, float) or -(2**63) <= found < 2**63 else None


def _divided(left: float, right: float) -> float:
    try:
        return left / right
    except OverflowError:
        return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _dated(op: str, moment: datetime, more: Any) -> Any:
    if op == "hour":
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return (moment - midnight) // timedelta(milliseconds=1) / 3_600_000
    if op == "weekday":
        return moment.weekday()
    if op == "month":
        return moment.month
    if op == "is_weekend":
        return moment.weekday() in {5, 6}
    return moment.date().isoformat() in more


OPS = frozenset({
    "col", "lit", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "add", "sub", "mul", "div", "is_in",
    "is_null", "matches", "hour", "weekday", "month", "is_weekend", "is_holiday", "sin_of", "cos_of", "money",
})  # fmt: skip
