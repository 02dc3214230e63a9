"""A whole column of a file as a column of the schema: at once where nothing is in doubt, else value by value.

Also which Arrow types may fill a field at all: a column of another type is the file's fault, not each row's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.user_files.blocks import Column
from infra.user_files.fields import Field
from infra.user_files.values import Value, parse_value
from schemas.errors import PoisonRecord

_types = pa.types
_MILLISECONDS = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
"""What a timestamp of each unit is multiplied with and divided by."""


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
            errors[row] = error
    return Converted(pa.array(values, kind), errors)


def _convert_at_once(target: Field, column: Column, kind: Any) -> Any:
    """Return the column where every value is certain to fit as it is, else None."""
    if isinstance(column, list):
        return _convert_digits(target, column, kind)
    if column.null_count and not target.nullable:
        return None
    if target.kind == "text" and (_types.is_string(column.type) or _types.is_large_string(column.type)):
        return _convert_text(column)
    if column.type.equals(kind) and target.kind in {"whole", "time", "flag"}:
        return column
    return None


def _convert_digits(target: Field, column: list[object], kind: Any) -> Any:
    if target.kind not in {"whole", "time"} or not all(isinstance(found, str) and found for found in column):
        return None
    joined = "".join(column)  # type: ignore[arg-type]
    if not (joined.isascii() and joined.isdigit()):
        return None
    try:
        return pa.array([int(found) for found in column if len(found) < target.bits // 4], kind)  # type: ignore[call-overload,arg-type]
    except (pa.ArrowInvalid, OverflowError):
        return None


def _convert_text(column: pa.Array) -> Any:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return None  # bytes that are not UTF-8
    trimmed = pc.utf8_trim_whitespace(column)
    doubtful = pc.or_(pc.equal(pc.binary_length(trimmed), 0), pc.match_substring_regex(trimmed, r"\x00|[eE]\+"))
    return None if pc.any(doubtful).as_py() else trimmed.cast(pa.string())


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
    return [None if found is None else found * times // per for found in whole]


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
    return f"expected column {target.name} to hold {_NEEDED[target.kind]}, found {inner}"


def _rounds(target: Field, kind: Any) -> bool:
    """Return whether a float type is too short for the field: 32 bits hold no time and no large amount exactly."""
    return (
        target.kind in {"whole", "time"} and target.bits > 32 and (_types.is_float32(kind) or _types.is_float16(kind))
    )
