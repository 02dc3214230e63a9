"""Expressions over one record, in plain Python: for a lone request, where columns of one row take a millisecond.

What an expression means is said in ``expression_values.py``; this is its twin, and tests hold the two to each other.
A pattern is matched by the same engine, so that none of them means two things or takes exponential time.

**Cost:** some 0.2 us a node; 3 us for a text that a pattern has not met lately.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.currencies import CURRENCIES, compute_base_minor, micro_rate
from weir.schemas.expression import ARITHMETIC, COMPARISONS, Expression

Row = Mapping[str, Any]
OfRow = Callable[[Row], Any]

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_THURSDAY: Final = 3
"""1970-01-01 was one, and Monday is 0."""
_SATURDAY: Final = 5
_INT64: Final = range(-(1 << 63), 1 << 63)
_KEPT_MATCHES: Final = 4_096
_KEPT_CHARS_MAX: Final = 64
"""Countries and the like come again and again; longer texts do not, and would fill the memory."""


def plan_of_row(node: Expression) -> OfRow:
    """Return what computes an expression of one record: a value, or ``None`` for null.

    Args:
        node: typed already, see ``expression_types.py``.

    >>> from weir.schemas.expression import col
    >>> plan_of_row(col("n") + 1 > 2)({"n": 2}), plan_of_row(col("n") > 2)({"n": None})
    (True, None)
    """
    if node.op == "col":
        return lambda row: row.get(node.value)
    if node.op == "lit":
        return lambda _: node.value
    parts = [plan_of_row(part) for part in node.parts]
    if node.op == "is_null":
        return lambda row: parts[0](row) is None
    if node.op in {"and", "or"}:
        return _join(*parts, deciding=node.op == "or")
    return _unless_null(_plan_known(node), parts)


def _join(one: OfRow, other: OfRow, *, deciding: bool) -> OfRow:
    def compute(row: Row) -> Any:
        left, right = one(row), other(row)
        if left is deciding or right is deciding:
            return deciding
        return None if left is None or right is None else not deciding

    return compute


def _unless_null(function: Callable[..., Any], parts: list[OfRow]) -> OfRow:
    if len(parts) == 1:
        only = parts[0]
        return lambda row: None if (value := only(row)) is None else function(value)
    one, other = parts

    def compute(row: Row) -> Any:
        left, right = one(row), other(row)
        return None if left is None or right is None else function(left, right)

    return compute


def _plan_known(node: Expression) -> Callable[..., Any]:
    """Return what an operation makes of values of which none is null."""
    if node.op == "div":
        return _divide
    if node.op in COMPARISONS or node.op in ARITHMETIC:
        return _align(getattr(operator, node.op))
    if node.op in _PLANNED:
        return _PLANNED[node.op](node.value)
    return _SIMPLE[node.op]


def _align(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function of two numbers or texts; an integer becomes a double next to one."""

    def compute(left: Any, right: Any) -> Any:
        if isinstance(left, float) or isinstance(right, float):
            return function(float(left), float(right))
        found = function(left, right)
        return None if type(found) is int and found not in _INT64 else found

    return compute


def _divide(left: float, right: float) -> float | None:
    with np.errstate(all="ignore"):  # infinity is a result, as over columns
        return None if right == 0 else float(np.float64(left) / np.float64(right))


def _is_in(values: tuple[Any, ...]) -> Callable[[Any], bool]:
    as_doubles = any(isinstance(value, float) for value in values)
    exact = frozenset(values)
    doubles = frozenset(float(value) for value in values if not isinstance(value, str))
    return lambda value: float(value) in doubles if as_doubles or isinstance(value, float) else value in exact


def _matches(pattern: str) -> Callable[[str], bool]:
    whole = rf"\A(?:{pattern})\z"
    return lambda text: _match_again(whole, text) if len(text) <= _KEPT_CHARS_MAX else _match(whole, text)


def _match(pattern: str, text: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(text), pattern).as_py())


_match_again = lru_cache(maxsize=_KEPT_MATCHES)(_match)


def _month(time_ms: int) -> int:
    # of any 64 bits: a date of the standard library ends with the year 9999
    return int(np.datetime64(time_ms // _DAY_MS, "D").astype("datetime64[M]").astype(np.int64)) % 12 + 1


def _is_holiday(dates: tuple[str, ...]) -> Callable[[int], bool]:
    days = frozenset((date.fromisoformat(text) - date(1970, 1, 1)).days for text in dates)
    return lambda time_ms: time_ms // _DAY_MS in days


def _cycle(function: Callable[[float], float]) -> Callable[[float], Callable[[float], float]]:
    def plan(period: float) -> Callable[[float], float]:
        def compute(number: float) -> float:
            place = float(number) / float(period) * (2.0 * math.pi)
            return function(place) if math.isfinite(place) else math.nan

        return compute

    return plan


def _money(amount: int, currency: str) -> int | None:
    fits = currency in CURRENCIES and abs(amount) <= (_INT64[-1] - 500_000) // micro_rate(currency)
    return compute_base_minor(amount, currency) if fits else None


_PLANNED: Final[dict[str, Callable[[Any], Callable[[Any], Any]]]] = {
    "is_in": _is_in,
    "matches": _matches,
    "is_holiday": _is_holiday,
    "sin_of": _cycle(math.sin),
    "cos_of": _cycle(math.cos),
}
"""Operations with a value of their own."""
_SIMPLE: Final[dict[str, Callable[..., Any]]] = {
    "not": operator.not_,
    "hour": lambda time_ms: time_ms % _DAY_MS / _HOUR_MS,
    "weekday": lambda time_ms: (time_ms // _DAY_MS + _THURSDAY) % 7,
    "month": _month,
    "is_weekend": lambda time_ms: (time_ms // _DAY_MS + _THURSDAY) % 7 >= _SATURDAY,
    "money": _money,
}
