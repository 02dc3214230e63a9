"""Expressions over the fields of a record, as data: ``col("outcome") == "DECLINED"``.

A declaration that needs a condition or a number of the record writes one of these. An expression is a frozen tree:
it can be typed before anything runs (``expression_types.py``), evaluated over whole batches (``expression_values.py``),
written as text and read from it (``expression_text.py``, ``expression_parser.py``), and written as canonical JSON,
which is what the hash of the declarations reads. Nothing here computes.

``==`` builds an expression, so expressions are compared by their JSON. Python's ``and``, ``or``, ``not`` and chained
comparisons cannot be overloaded; they raise an error that names what to write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Literal: TypeAlias = "bool | int | float | str"
Operand: TypeAlias = "Expression | Literal"

COMPARISONS: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
ARITHMETIC: Final = frozenset({"add", "sub", "mul", "div"})
CALENDAR: Final = frozenset({"hour", "weekday", "month", "is_weekend", "is_holiday"})
LISTS: Final = ("allow", "block", "watch")
"""Lists of ids that a rule can ask for; ``watch`` decides nothing by itself."""
_UNORDERED: Final = frozenset({"is_in", "is_holiday"})
"""Operations whose list of values is a set: its order changes nothing, so it does not change the hash."""


@dataclass(frozen=True, eq=False)
class Expression:
    """One node of an expression.

    Attributes:
        op: what it does; ``col`` and ``lit`` are the leaves.
        parts: the expressions it works on.
        value: the name of a column, a literal, a tuple of literals, a pattern, or a period.
    """

    op: str
    parts: tuple[Expression, ...] = ()
    value: Any = None

    def __eq__(self, other: object) -> Expression:  # type: ignore[override] # it builds, as in every such language
        return Expression("eq", (self, as_expression(other)))

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return Expression("ne", (self, as_expression(other)))

    def __hash__(self) -> int:
        return hash(to_json(self))

    def __lt__(self, other: Operand) -> Expression:
        return Expression("lt", (self, as_expression(other)))

    def __le__(self, other: Operand) -> Expression:
        return Expression("le", (self, as_expression(other)))

    def __gt__(self, other: Operand) -> Expression:
        return Expression("gt", (self, as_expression(other)))

    def __ge__(self, other: Operand) -> Expression:
        return Expression("ge", (self, as_expression(other)))

    def __and__(self, other: Operand) -> Expression:
        return Expression("and", (self, as_expression(other)))

    def __or__(self, other: Operand) -> Expression:
        return Expression("or", (self, as_expression(other)))

    def __invert__(self) -> Expression:
        return Expression("not", (self,))

    def __add__(self, other: Operand) -> Expression:
        return Expression("add", (self, as_expression(other)))

    def __radd__(self, other: Operand) -> Expression:
        return Expression("add", (as_expression(other), self))

    def __sub__(self, other: Operand) -> Expression:
        return Expression("sub", (self, as_expression(other)))

    def __rsub__(self, other: Operand) -> Expression:
        return Expression("sub", (as_expression(other), self))

    def __mul__(self, other: Operand) -> Expression:
        return Expression("mul", (self, as_expression(other)))

    def __rmul__(self, other: Operand) -> Expression:
        return Expression("mul", (as_expression(other), self))

    def __truediv__(self, other: Operand) -> Expression:
        return Expression("div", (self, as_expression(other)))

    def __rtruediv__(self, other: Operand) -> Expression:
        return Expression("div", (as_expression(other), self))

    def __bool__(self) -> bool:
        raise TypeError("expected an expression joined by & | ~ or .between(), found `and`, `or`, `not` or `a < b < c`")

    def is_in(self, values: Iterable[Literal]) -> Expression:
        """Tell whether the value is one of these; a text is one value, and not its letters."""
        return Expression("is_in", (self,), (values,) if isinstance(values, str) else tuple(values))

    def between(self, least: Operand, most: Operand) -> Expression:
        """Tell whether the value is within two bounds, both included."""
        return (self >= least) & (self <= most)

    def is_null(self) -> Expression:
        """Tell whether the value is missing; this alone is never null itself."""
        return Expression("is_null", (self,))

    def matches(self, pattern: str) -> Expression:
        """Tell whether a pattern matches the whole text. The engine is RE2: linear time, no look-around."""
        return Expression("matches", (self,), pattern)

    def in_list(self, name: str) -> Expression:
        """Tell whether the id is on a list; in rules alone, for what is on a list changes."""
        return Expression("in_list", (self,), name)

    def hour(self) -> Expression:
        """Return the UTC hour of a time in epoch ms, 0 to 24 with its fraction."""
        return Expression("hour", (self,))

    def weekday(self) -> Expression:
        """Return the UTC day of the week of a time in epoch ms, Monday 0 to Sunday 6."""
        return Expression("weekday", (self,))

    def month(self) -> Expression:
        """Return the UTC month of a time in epoch ms, 1 to 12."""
        return Expression("month", (self,))

    def is_weekend(self) -> Expression:
        """Tell whether a time in epoch ms is on a Saturday or Sunday, UTC."""
        return Expression("is_weekend", (self,))

    def is_holiday(self, dates: Iterable[str]) -> Expression:
        """Tell whether a time in epoch ms is on one of these days, UTC, each written like ``2026-12-25``."""
        return Expression("is_holiday", (self,), (dates,) if isinstance(dates, str) else tuple(dates))

    def sin_of(self, period: float) -> Expression:
        """Return the sine of the value's place in a cycle: with ``cos_of``, 23 h and 0 h are close to each other."""
        return Expression("sin_of", (self,), period)

    def cos_of(self, period: float) -> Expression:
        """Return the cosine of the value's place in a cycle."""
        return Expression("cos_of", (self,), period)


def col(name: str) -> Expression:
    """Return the field, measure or flag of that name.

    >>> to_json((col("outcome") == "DECLINED") & ~col("lat").is_null())
    '["and",["eq",["col","outcome"],["lit","DECLINED"]],["not",["is_null",["col","lat"]]]]'
    """
    return Expression("col", value=name)


def money(field: str, currency_field: str | None = None) -> Expression:
    """Return an amount of minor units in base minor units, by the table of ``currencies.py``.

    Raises:
        TypeError: the field of the currency is not given.
    """
    if currency_field is None:
        raise TypeError(f"expected money({field!r}, FIELD of its currency), found no second field; {one_currency()}")
    return Expression("money", (col(field), col(currency_field)))


def one_currency(name: str = "EUR") -> str:
    """Say what a schema may have whose amounts are all of one currency: the end of a message."""
    field = f'{{"name": "currency", "type": "string", "default": "{name}"}}'
    return f"where all are of one currency, the schema may have {field}"


def as_expression(operand: object) -> Expression:
    """Return an operand as an expression; what is no literal is found when the expression is typed."""
    return operand if isinstance(operand, Expression) else Expression("lit", value=operand)


def to_data(node: Expression) -> list[Any]:
    """Return a node as lists: its operation, its parts, its value."""
    value = list(node.value) if isinstance(node.value, tuple) else node.value
    if node.op in _UNORDERED:
        value = [json.loads(text) for text in sorted({json.dumps(each, default=repr) for each in value})]
    return [node.op, *map(to_data, node.parts), *([] if value is None else [value])]


def to_json(node: Expression) -> str:
    """Return the canonical JSON of an expression: equal for equal expressions, whatever library computes them."""
    return json.dumps(to_data(node), separators=(",", ":"), default=repr)


def columns_of(node: Expression) -> frozenset[str]:
    """Return the columns that an expression reads.

    >>> sorted(columns_of(money("amount_minor", "currency")))
    ['amount_minor', 'currency']
    """
    if node.op == "col":
        return frozenset({node.value})
    return frozenset[str]().union(*map(columns_of, node.parts))


def find_money(node: Expression) -> list[Expression]:
    """Return every amount of money that an expression reads."""
    return [node] if node.op == "money" else [found for part in node.parts for found in find_money(part)]
