"""A whole column of a file as a column of the schema: at once where nothing is in doubt, else value by value.

Also which Arrow types may fill a field at all: a column of another type is the file's fault, not each row's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from weir.infra.user_files.blocks import Column
from weir.infra.user_files.fields import Field
from weir.infra.user_files.values import Instant, LocalInstant, Value, parse_value
from weir.schemas.errors import PoisonRecord
from weir.schemas.masking import quote

_types = pa.types
_MILLISECONDS = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
"""What a timestamp of each unit is multiplied with and divided by."""
_SURE_DIGITS = {32: 9, 64: 18}
"""Numbers of so many digits fit in so many bits whatever they are."""


@dataclass(frozen=True)
class Converted:
    """A column of the schema's type; the rows in ``errors`` have no value in it."""

    values: Any
    errors: dict[int, PoisonRecord] = field(default_factory=dict)


def convert(target: Field, column: Column, kind: Any, parse: Callable[[object], Value] | None = None) -> Converted:
    """Convert one column.

    Args:
        target: the field that it fills.
        column: an Arrow array or a list.
        kind: the Arrow type of the field.
        parse: as for ``values.parse_value``.
    """
    if parse is None:
        quick = _convert_at_once(target, column, kind)
        if quick is not None:
            return Converted(quick)
    values: list[Value] = []
    errors: dict[int, PoisonRecord] = {}
    for row, found in enumerate(as_objects(column)):
        try:
            values.append(parse_value(target, found, parse))
        except PoisonRecord as error:
            values.append(None)
            errors[row] = error.with_traceback(None)  # a traceback would keep the whole block
    return Converted(pa.array(values, kind), errors)


def _convert_at_once(target: Field, column: Column, kind: Any) -> Any:
    """Return the column where every value is certain to fit as it is, else None."""
    if isinstance(column, list):
        quick = _convert_digits(target, column, kind)
        return _convert_texts(target, column) if quick is None and target.kind in {"text", "enum"} else quick
    if target.kind in {"text", "enum"} and (_types.is_string(column.type) or _types.is_large_string(column.type)):
        return _convert_text(target, column)
    if column.null_count and not target.nullable:
        return None
    return column if column.type.equals(kind) and target.kind in {"whole", "time", "flag"} else None


def _convert_digits(target: Field, column: list[object], kind: Any) -> Any:
    if target.kind not in {"whole", "time"} or not column or not all(isinstance(each, str) and each for each in column):
        return None
    texts = cast(list[str], column)
    joined = "".join(texts)
    if not (joined.isascii() and joined.isdigit()) or max(map(len, texts)) > _SURE_DIGITS[target.bits]:
        return None
    return pa.array(list(map(int, texts)), kind)


def _convert_texts(target: Field, column: list[object]) -> Any:
    if not all(isinstance(found, str) for found in column):
        return None
    try:
        return _convert_text(target, pa.array(column, pa.string()))
    except UnicodeEncodeError:
        return None  # bytes of another encoding


def _convert_text(target: Field, column: pa.Array) -> Any:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return None  # bytes that are not UTF-8
    trimmed = pc.utf8_trim_whitespace(column).cast(pa.string())
    empty = pc.equal(pc.binary_length(trimmed), 0)
    if target.kind == "enum":
        upper = pc.utf8_upper(trimmed)
        is_known = pc.all(pc.is_in(upper, pa.array(target.symbols)), skip_nulls=False).as_py()
        return upper if is_known and not upper.null_count else None
    if (pc.any(empty).as_py() or trimmed.null_count) and not target.nullable:
        return None
    if pc.any(pc.match_substring_regex(trimmed, r"\x00|[eE]\+")).as_py():
        return None
    return pc.if_else(empty, pa.scalar(None, pa.string()), trimmed)


def as_objects(column: Column) -> list[object]:
    """Return a column's values as plain ones; no value of any type raises."""
    if isinstance(column, list):
        return column
    if _types.is_timestamp(column.type):
        return _timestamps(column)
    if _types.is_string(column.type) or _types.is_large_string(column.type):
        column = column.cast(pa.large_binary() if _types.is_large_string(column.type) else pa.binary())
        return [None if found is None else found.decode("utf-8", "surrogateescape") for found in column.to_pylist()]
    values: list[object] = column.to_pylist()
    return values


def _timestamps(column: pa.Array) -> list[object]:
    """Return milliseconds of a timestamp column; by integers alone, so that no year is out of reach."""
    times, per = _MILLISECONDS[column.type.unit]
    whole = column.cast(pa.int64()).to_pylist()
    kind = LocalInstant if column.type.tz is None else Instant
    return [None if found is None else kind(found * times // per) for found in whole]


_NUMERIC = (_types.is_integer, _types.is_floating, _types.is_decimal, _types.is_null)
_TEXTUAL = (_types.is_string, _types.is_large_string, _types.is_binary, _types.is_large_binary, _types.is_null)
_FITTING: dict[str, tuple[Callable[[Any], bool], ...]] = {
    "text": (*_TEXTUAL, _types.is_integer),
    "enum": _TEXTUAL,
    "whole": (*_NUMERIC, *_TEXTUAL),
    "time": (*_NUMERIC, *_TEXTUAL, _types.is_timestamp),
    "number": (*_NUMERIC, *_TEXTUAL),
    "flag": (*_NUMERIC, *_TEXTUAL, _types.is_boolean),
}
_NEEDED = {
    "text": "text or whole numbers",
    "enum": "text",
    "whole": "whole numbers",
    "time": "timestamps, epoch milliseconds or ISO 8601 text",
    "number": "numbers",
    "flag": "booleans",
}


def why_unfit(target: Field, kind: Any) -> str:
    """Return why no value of an Arrow type can fill a field, or ``""``."""
    inner = kind.value_type if _types.is_dictionary(kind) else kind
    if any(test(inner) for test in _FITTING[target.kind]) and not _rounds(target, inner):
        return ""
    return f"expected column {target.name} to hold {_NEEDED[target.kind]}, found {quote(str(inner))}"


def _rounds(target: Field, kind: Any) -> bool:
    """Return whether a float type is too short for the field: 32 bits hold no time and no large amount exactly."""
    return (
        target.kind in {"whole", "time"} and target.bits > 32 and (_types.is_float32(kind) or _types.is_float16(kind))
    )
