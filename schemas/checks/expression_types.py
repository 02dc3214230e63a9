"""The type of an expression over an Avro record, or what is wrong with it, all of it at once.

A fault is a sentence: what was expected, what was found, and the nearest name that would be right. Avro's types fall
into four kinds: ``boolean``, ``integer`` (int, long), ``number`` (float, double) and ``text`` (string, enum). A field
of any other type can be passed on, and not computed with.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.currencies import CURRENCIES
from weir.schemas.expression import ARITHMETIC, CALENDAR, COMPARISONS, LISTS, Expression, one_currency

BOOLEAN: Final = "boolean"
INTEGER: Final = "integer"
NUMBER: Final = "number"
TEXT: Final = "text"
_NUMERIC: Final = frozenset({INTEGER, NUMBER})
_KINDS: Final = {
    "boolean": BOOLEAN, "int": INTEGER, "long": INTEGER, "float": NUMBER, "double": NUMBER, "string": TEXT,
}  # fmt: skip
_RESULTS: Final = {
    **dict.fromkeys((*COMPARISONS, "and", "or", "not", "is_null", "is_in", "in_list", "matches"), BOOLEAN),
    "is_weekend": BOOLEAN, "is_holiday": BOOLEAN, "hour": NUMBER, "weekday": INTEGER, "month": INTEGER,
    "sin_of": NUMBER, "cos_of": NUMBER, "money": INTEGER,
}  # fmt: skip
"""What an operation gives; a sum or product is of its parts' kind."""
INT64: Final = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class Column:
    """What is known of a column before any record is read.

    Attributes:
        kind: one of the four kinds; ``""`` where nothing can be computed with it.
        nullable: null is a value of it.
        symbols: of an enum, all its values.
        avro: the type as the schema has it, for messages.
        absent: why it cannot be read here, though there is such a field: the end of a message.
        entity: whose id it is, where lists can be asked for it.
    """

    kind: str
    nullable: bool = False
    symbols: tuple[str, ...] = ()
    avro: str = ""
    absent: str = ""
    entity: str = ""


class NodeFault(NamedTuple):
    """What is wrong with one node of an expression."""

    node: Expression
    fault: str


@dataclass
class Typing:
    """The type of an expression, where it has one, and the faults that were found on the way."""

    kind: str = ""
    found: list[NodeFault] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What is wrong, as sentences alone."""
        return [each.fault for each in self.found]


_OF_BYTES = frozenset({"decimal", "big-decimal", "duration"})
"""Logical types that messages name: what is beneath says nothing to who wrote the schema."""
_Check: TypeAlias = Callable[[Expression, list[str], Mapping[str, Column]], list[str]]
"""Says what is wrong with a node, given the kinds of its parts."""


def read_columns(fields: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """Return the columns of an Avro record's fields.

    >>> read_columns([{"name": "ip", "type": ["null", "string"]}])["ip"]
    Column(kind='text', nullable=True, symbols=(), avro='string', absent='', entity='')
    """
    return {each["name"]: _read_column(each["type"]) for each in fields}


def _read_column(avro: Any) -> Column:
    nullable = isinstance(avro, list) and "null" in avro
    branches = [branch for branch in avro if branch != "null"] if isinstance(avro, list) else [avro]
    if len(branches) != 1:
        return Column("", nullable, avro="union of several types")
    inner = branches[0]
    name = inner if isinstance(inner, str) else str(inner.get("type"))
    logical = str(inner.get("logicalType", "")) if isinstance(inner, dict) else ""
    if "timestamp" in logical and logical != "timestamp-millis":
        return Column("", nullable, avro=logical)  # times are epoch milliseconds: another unit would be another number
    if name == "enum":
        return Column(TEXT, nullable, tuple(inner["symbols"]), name)
    return Column(_KINDS.get(name, ""), nullable, avro=logical if logical in _OF_BYTES else name)


def type_of(node: Expression, columns: Mapping[str, Column], expected: str = "a field of the schema") -> Typing:
    """Type an expression.

    Args:
        node: the expression.
        columns: what it may read; see ``read_columns``.
        expected: what the columns are, for messages.

    >>> from weir.schemas.expression import col
    >>> type_of(col("outcom") == "x", read_columns([{"name": "outcome", "type": "string"}])).faults
    ["expected a field of the schema, found 'outcom'; did you mean 'outcome'?"]
    """
    typing = Typing()
    typing.kind = _find_kind(node, columns, expected, typing.found)
    return typing


def kind_of(node: Expression, columns: Mapping[str, Column]) -> str:
    """Return the kind of an expression without a fault; no part of a condition is looked at."""
    if node.op == "col":
        return columns[node.value].kind
    if node.op in ARITHMETIC and node.op != "div":
        return NUMBER if NUMBER in {kind_of(part, columns) for part in node.parts} else INTEGER
    return _literal_kind(node.value) if node.op == "lit" else NUMBER if node.op == "div" else _RESULTS[node.op]


def nearest(found: object, names: Iterable[str]) -> str:
    """Return the end of a message that names the nearest right name, or the few there are; else nothing."""
    known = sorted(set(names))
    close = difflib.get_close_matches(str(found), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are {', '.join(known)}" if 0 < len(known) <= 8 else ""  # a longer list hides the message


def _find_kind(node: Expression, columns: Mapping[str, Column], expected: str, found: list[NodeFault]) -> str:
    if node.op == "col":
        found.extend(NodeFault(node, fault) for fault in _find_column_faults(node.value, columns, expected))
        return columns[node.value].kind if isinstance(node.value, str) and node.value in columns else ""
    if node.op == "lit":
        found.extend(NodeFault(node, fault) for fault in _find_literal_faults(node.value))
        return _literal_kind(node.value)
    if node.op == "money" and (fault := _find_constant_currency(node, columns)):
        found.append(NodeFault(node, fault))
        return INTEGER
    kinds = [_find_kind(part, columns, expected, found) for part in node.parts]
    found.extend(NodeFault(node, fault) for fault in _CHECKS[node.op](node, kinds, columns))
    if node.op in ARITHMETIC:
        return NUMBER if NUMBER in kinds or node.op == "div" else INTEGER
    return _RESULTS[node.op]


def _find_column_faults(name: str, columns: Mapping[str, Column], expected: str) -> Iterator[str]:
    if not isinstance(name, str) or name not in columns:
        yield f"expected {expected}, found {name!r}{nearest(name, columns)}"
    elif columns[name].absent:
        yield f"expected {expected}, found {name!r}, {columns[name].absent}"
    elif not columns[name].kind:
        yield f"expected a boolean, integer, number or text, found field {name!r} of {columns[name].avro}"


def _literal_kind(value: object) -> str:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int) and value in INT64:
        return INTEGER
    if isinstance(value, float) and math.isfinite(value):
        return NUMBER
    return TEXT if isinstance(value, str) else ""


def _find_literal_faults(value: object) -> list[str]:
    if _literal_kind(value):
        return []
    hint = "; write .is_null()" if value is None else ""
    return [f"expected a boolean, a 64-bit integer, a finite number or text, found {value!r}{hint}"]


def _check_comparison(node: Expression, kinds: list[str], columns: Mapping[str, Column]) -> list[str]:
    if "" in kinds:
        return []  # a fault stands already
    faults = []
    if kinds[0] != kinds[1] and not set(kinds) <= _NUMERIC:
        faults.append(f"expected two values of one kind around {node.op!r}, found {kinds[0]} and {kinds[1]}")
    elif node.op not in {"eq", "ne"} and BOOLEAN in kinds:
        faults.append(f"expected numbers or text around {node.op!r}, found a boolean")
    for one, other in (node.parts, node.parts[::-1]):
        if other.op == "lit":
            faults.extend(_find_symbol_faults(one, [other.value], columns))
    return faults


def _find_symbol_faults(node: Expression, values: Iterable[object], columns: Mapping[str, Column]) -> list[str]:
    """An enum never equals what is none of its symbols: a misspelt one would be a flag that is never set."""
    symbols = columns[node.value].symbols if node.op == "col" and node.value in columns else ()
    wrong = [value for value in values if symbols and isinstance(value, str) and value not in symbols]
    return [f"expected a value of {node.value!r}, found {value!r}{nearest(value, symbols)}" for value in wrong]


def _expect(*wanted: str) -> _Check:
    """Return a check that each part is of one of these kinds."""

    def check(node: Expression, kinds: list[str], _: Mapping[str, Column]) -> list[str]:
        wrong = [kind for kind in kinds if kind and kind not in wanted]
        return [f"expected {' or '.join(wanted)} for {node.op!r}, found {kind}" for kind in wrong]

    return check


def _check_division(node: Expression, kinds: list[str], columns: Mapping[str, Column]) -> list[str]:
    faults = _expect(INTEGER, NUMBER)(node, kinds, columns)
    divisor = node.parts[1]
    if divisor.op == "lit" and divisor.value == 0:
        faults.append(f"expected a divisor that is not 0, found {divisor.value!r}")
    return faults


def _check_listed(node: Expression, _: list[str], columns: Mapping[str, Column]) -> list[str]:
    faults = []
    if node.value not in LISTS:
        faults.append(f"expected a list, found {node.value!r}{nearest(node.value, LISTS)}")
    (part,) = node.parts
    ids = [name for name, column in columns.items() if column.entity]
    if part.op != "col" or (part.value in columns and part.value not in ids):
        found = repr(part.value) if part.op == "col" else "another value"
        hint = f"{nearest(part.value, ids)}" if part.op == "col" else ""
        faults.append(f"expected the id of an entity in in_list(), found {found}{hint}")
    return faults


def _check_money(_: Expression, kinds: list[str], __: Mapping[str, Column]) -> list[str]:
    if "" in kinds or kinds == [INTEGER, TEXT]:
        return []
    return [f"expected an integer of minor units and the text of its currency in money(), found {' and '.join(kinds)}"]


def _find_constant_currency(node: Expression, columns: Mapping[str, Column]) -> str:
    """Say what to do where a currency is given and not its field."""
    name = node.parts[1].value
    if name in columns or name not in CURRENCIES:
        return ""
    return f"expected the field of the currency in money(), found the currency {name!r}; {one_currency(name)}"


def _check_cycle(node: Expression, kinds: list[str], columns: Mapping[str, Column]) -> list[str]:
    faults = _expect(INTEGER, NUMBER)(node, kinds, columns)
    return faults if _is_period(node.value) else [*faults, f"expected a period above 0, found {node.value!r}"]


def _check_holidays(node: Expression, kinds: list[str], columns: Mapping[str, Column]) -> list[str]:
    wrong = [text for text in node.value if not _is_date(text)]
    return _expect(INTEGER)(node, kinds, columns) + [f"expected a date like 2026-12-25, found {t!r}" for t in wrong]


def _check_list(node: Expression, kinds: list[str], columns: Mapping[str, Column]) -> list[str]:
    if not node.value:
        return ["expected at least one value in .is_in(), found none"]
    faults = [fault for value in node.value for fault in _find_literal_faults(value)]
    found = {kinds[0], *map(_literal_kind, node.value)} - {""}
    if len(found) > 1 and not found <= _NUMERIC:
        faults.append(f"expected values of one kind in .is_in(), found {' and '.join(sorted(found))}")
    return faults + _find_symbol_faults(node.parts[0], node.value, columns)


def _check_pattern(node: Expression, kinds: list[str], columns: Mapping[str, Column]) -> list[str]:
    faults = _expect(TEXT)(node, kinds, columns)
    if not isinstance(node.value, str):
        return [*faults, f"expected a pattern as text, found {node.value!r}"]
    try:  # alone and as it is run: "a)|(b" is a pattern only within the other's brackets
        for each in (node.value, rf"\A(?:{node.value})\z"):
            pc.match_substring_regex(pa.array([""]), each)
    except pa.ArrowInvalid as error:
        faults.append(f"expected a pattern of RE2, found {node.value!r}: {str(error).partition(': ')[2]}")
    return faults


def _is_period(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


_CHECKS: Final[Mapping[str, _Check]] = {
    **dict.fromkeys(COMPARISONS, _check_comparison),
    **dict.fromkeys(ARITHMETIC, _expect(INTEGER, NUMBER)),
    "div": _check_division,
    "in_list": _check_listed,
    **dict.fromkeys(("and", "or", "not"), _expect(BOOLEAN)),
    **dict.fromkeys(CALENDAR, _expect(INTEGER)),
    "is_holiday": _check_holidays,
    "sin_of": _check_cycle,
    "cos_of": _check_cycle,
    "money": _check_money,
    "is_null": _expect(BOOLEAN, INTEGER, NUMBER, TEXT),
    "is_in": _check_list,
    "matches": _check_pattern,
}
