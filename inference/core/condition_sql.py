"""A condition as SQL text for DuckDB, over feature rows as they are kept: the rows that it finds are those that match.

A missing value is NULL, and NaN is made NULL before anything is compared with it, for to SQL engines it is the largest
number. What is unknown then spreads by SQL's own logic, which is that of ``conditions.py``. Numbers are as wide as
there: REAL for a feature next to a literal, DOUBLE for what is computed, BIGINT for whole numbers, NULL where they
overflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np

from weir.inference.core.lists import APPEND_TIME, Lists
from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, TEXT, Column, kind_of
from weir.schemas.currencies import CURRENCIES, micro_rate
from weir.schemas.expression import ARITHMETIC, COMPARISONS, Expression

_DAY_MS: Final = 24 * 3_600_000
_EPOCH: Final = date(1970, 1, 1)
_SIGNS: Final = {
    "eq": "=",
    "ne": "<>",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "add": "+",
    "sub": "-",
    "mul": "*",
}


def to_sql(condition: Expression, columns: Mapping[str, Column], lists: Lists) -> str:
    r"""Return a condition as an expression of DuckDB, for ``WHERE`` or a column.

    Args:
        condition: without a fault.
        columns: what it can read, each a column of the table by its name; see ``rule_columns``.
        lists: that it may ask; their entries become part of the text.

    >>> from weir.schemas.expression import col
    >>> to_sql(col("n") > 3, {"n": Column(INTEGER, avro="long")}, Lists())
    '(CAST("n" AS BIGINT) > CAST(\'3\' AS BIGINT))'
    """
    return _Writer(columns, lists).truth(condition)


class _Writer:
    """Writes one condition."""

    def __init__(self, columns: Mapping[str, Column], lists: Lists) -> None:
        self._columns = columns
        self._lists = lists

    def truth(self, node: Expression) -> str:
        """Write what is true, false or NULL."""
        if node.op == "lit":
            return str(bool(node.value)).upper()
        if node.op in {"and", "or"}:
            return f"({self.truth(node.parts[0])} {node.op.upper()} {self.truth(node.parts[1])})"
        if node.op == "not":
            return f"(NOT {self.truth(node.parts[0])})"
        if node.op in COMPARISONS:
            return self._compare(node)
        return getattr(self, f"_{node.op}")(node)  # type: ignore[no-any-return]  # each of them writes text

    def _col(self, node: Expression) -> str:
        return _quote(node.value)

    def _is_null(self, node: Expression) -> str:
        (part,) = node.parts
        kind = self._kind(part)
        inner = self.truth(part) if kind == BOOLEAN else self._text(part) if kind == TEXT else self._own(part)
        return f"({inner} IS NULL)"

    def _compare(self, node: Expression) -> str:
        kinds = {self._kind(part) for part in node.parts}
        write = self.truth if BOOLEAN in kinds else self._text if TEXT in kinds else self._as_wide_as(*node.parts)
        return f"({write(node.parts[0])} {_SIGNS[node.op]} {write(node.parts[1])})"

    def _is_in(self, node: Expression) -> str:
        (part,) = node.parts
        kind, values = self._kind(part), [Expression("lit", value=value) for value in node.value]
        write = self.truth if kind == BOOLEAN else self._text if kind == TEXT else self._as_wide_as(part, *values)
        return f"({write(part)} IN ({', '.join(map(write, values))}))"

    def _in_list(self, node: Expression) -> str:
        name, entity = node.parts[0].value, self._columns[node.parts[0].value].entity
        until = {
            entry: self._lists.note(node.value, entity, entry).until_ms
            for entry in sorted(self._lists.of(node.value).get(entity, frozenset()))
        }
        endless = ", ".join(_text_literal(entry) for entry, until_ms in until.items() if not until_ms)
        found = [
            f"({_quote(name)} IN ({endless}))" if endless else f"({_quote(name)} <> {_quote(name)})",  # false, or NULL
            *(
                f"({_quote(name)} = {_text_literal(entry)} AND {_quote(APPEND_TIME)} < {until_ms})"
                for entry, until_ms in until.items()
                if until_ms
            ),
        ]
        return f"({' OR '.join(found)})"

    def _matches(self, node: Expression) -> str:
        pattern = _text_literal(rf"\A(?:{node.value})\z")
        return f"regexp_matches({self._text(node.parts[0])}, {pattern})"

    def _is_weekend(self, node: Expression) -> str:
        return f"({self._weekday(node)} >= 5)"

    def _is_holiday(self, node: Expression) -> str:
        days = ", ".join(str((date.fromisoformat(text) - _EPOCH).days) for text in node.value)
        return f"({_day(self._whole(node.parts[0]))} IN ({days}))"

    def _weekday(self, node: Expression) -> str:
        # 1970-01-01 was a Thursday; the remainder of a negative day is negative in SQL
        return f"((({_day(self._whole(node.parts[0]))} + 3) % 7 + 7) % 7)"

    def _text(self, node: Expression) -> str:
        return _text_literal(node.value) if node.op == "lit" else f"CAST({_quote(node.value)} AS VARCHAR)"

    def _as_wide_as(self, *parts: Expression) -> Any:
        """Return what writes numbers of one width: the one at which ``conditions.py`` compares these."""
        written = [part for part in parts if part.op != "lit"]
        literals = [part.value for part in parts if part.op == "lit"]
        if all(self._kind(part) == INTEGER for part in written) and all(isinstance(value, int) for value in literals):
            return self._whole
        return self._narrow if written and all(map(self._is_feature, written)) else self._double

    def _own(self, node: Expression) -> str:
        """Write a number at its own width."""
        return self._whole(node) if self._kind(node) == INTEGER else self._double(node)

    def _narrow(self, node: Expression) -> str:
        if node.op == "lit":
            return f"CAST({_double_literal(float(np.float32(node.value)))} AS REAL)"
        return f"nullif(CAST({_quote(node.value)} AS REAL), CAST('NaN' AS REAL))"

    def _double(self, node: Expression) -> str:
        if node.op == "lit":
            return _double_literal(float(node.value))
        if self._kind(node) == INTEGER:
            return f"CAST({self._whole(node)} AS DOUBLE)"
        return f"nullif({self._number(node)}, CAST('NaN' AS DOUBLE))"

    def _number(self, node: Expression) -> str:
        """Write a DOUBLE that may be NaN."""
        if node.op == "col":
            # a score is kept wider than it is
            return f"CAST(CAST({_quote(node.value)} AS REAL) AS DOUBLE)" if self._is_feature(node) else _as_double(node)
        if node.op == "hour":
            time = self._whole(node.parts[0])
            return f"((({time} % {_DAY_MS} + {_DAY_MS}) % {_DAY_MS}) / CAST(3600000 AS DOUBLE))"
        left = self._double(node.parts[0])
        if node.op == "div":
            return f"({left} / nullif({self._double(node.parts[1])}, 0))"
        if node.op in ARITHMETIC:
            return f"({left} {_SIGNS[node.op]} {self._double(node.parts[1])})"
        turn = f"{left} / {_double_literal(float(node.value))} * {_double_literal(2.0 * np.pi)}"
        return f"TRY({node.op.removesuffix('_of')}({turn}))"

    def _whole(self, node: Expression) -> str:
        if node.op == "lit":
            return f"CAST('{node.value}' AS BIGINT)"
        if node.op == "col":
            return f"CAST({_quote(node.value)} AS BIGINT)"
        if node.op in ARITHMETIC:
            return f"TRY({self._whole(node.parts[0])} {_SIGNS[node.op]} {self._whole(node.parts[1])})"
        if node.op == "month":
            return f"TRY(month(epoch_ms({self._whole(node.parts[0])})))"
        return self._weekday(node) if node.op == "weekday" else self._money(node)

    def _money(self, node: Expression) -> str:
        amount, currency = self._whole(node.parts[0]), self._text(node.parts[1])
        rates = " ".join(f"WHEN {_text_literal(code)} THEN {micro_rate(code)}" for code in sorted(CURRENCIES))
        rate = f"(CASE {currency} {rates} END)"
        return f"TRY(sign({amount}) * ((abs({amount}) * CAST({rate} AS BIGINT) + 500000) // 1000000))"

    def _kind(self, node: Expression) -> str:
        return kind_of(node, self._columns)

    def _is_feature(self, node: Expression) -> bool:
        return node.op == "col" and self._kind(node) == NUMBER and not self._columns[node.value].avro


def _day(time: str) -> str:
    return f"({time} // {_DAY_MS} - CASE WHEN {time} % {_DAY_MS} < 0 THEN 1 ELSE 0 END)"


def _as_double(node: Expression) -> str:
    return f"CAST({_quote(node.value)} AS DOUBLE)"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double_literal(number: float) -> str:
    return f"CAST('{number!r}' AS DOUBLE)"
