"""From a user's raw fields to the types of a schema, or the name of the field that cannot be.

Text is accepted where a number is meant, ISO 8601 where a time is, and nothing where a field may be null; nothing is
rounded or guessed. A message quotes what was found, masked and cut, but never an id.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from schemas.contracts import schema_json
from schemas.errors import PoisonRecord
from schemas.masking import quote

_LONG = (-(2**63), 2**63 - 1)
_BOUNDS = {"int": (-(2**31), 2**31 - 1), "long": _LONG, "time": _LONG}
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})
_UNQUOTED = ("_id", "ip")
"""Ends of field names whose values a message never shows."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Value = str | int | float | bool | None


class Coercer:
    """Turns raw rows of one kind into rows of its newest schema.

    Args:
        kind: one of ``contracts.TOPIC_KINDS`` whose fields are plain values.
    """

    def __init__(self, kind: str) -> None:
        fields = json.loads(schema_json(kind))["fields"]
        self._fields = [_Field(field) for field in fields]
        self.names = frozenset(field.name for field in self._fields)

    def coerce(self, row: dict[str, Any]) -> dict[str, Value]:
        """Return the row with the schema's fields and types; unknown fields are left out.

        Raises:
            PoisonRecord: names the first field that is missing or of another type.
        """
        return {field.name: field.coerce(row.get(field.name)) for field in self._fields}


class _Field:
    def __init__(self, declared: dict[str, Any]) -> None:
        self.name: str = declared["name"]
        kind = declared["type"]
        self._nullable = isinstance(kind, list)
        kind = next(each for each in kind if each != "null") if isinstance(kind, list) else kind
        self._symbols: tuple[str, ...] = tuple(kind["symbols"]) if isinstance(kind, dict) else ()
        # what the schema itself stands in for an unknown symbol: it says "not known" and invents nothing
        self._absent: str | None = kind.get("default") if isinstance(kind, dict) else None
        self._kind: str = "enum" if isinstance(kind, dict) else "time" if self.name.endswith("_time_ms") else kind
        self._parse = _PARSERS.get(self._kind)

    def coerce(self, found: object) -> Value:
        if isinstance(found, str):
            found = found.strip()
        if found is None or found == "":
            return self._coerce_absent()
        value = self._parse_symbol(found) if self._parse is None else self._parse(found)
        if value is None:
            raise self._refuse(found)
        if self._kind in _BOUNDS and not _BOUNDS[self._kind][0] <= value <= _BOUNDS[self._kind][1]:  # type: ignore[operator]
            raise self._refuse(found)
        return value

    def _coerce_absent(self) -> Value:
        if self._nullable or self._absent is not None:
            return self._absent
        raise PoisonRecord("missing_field", f"expected a value, found none at $.{self.name}", self.name)

    def _parse_symbol(self, found: object) -> str | None:
        symbol = str(found).upper()
        return symbol if symbol in self._symbols else None

    def _refuse(self, found: object) -> PoisonRecord:
        expected = " or ".join(self._symbols) if self._symbols else _EXPECTED[self._kind]
        quoted = "a value that is not" if self.name.endswith(_UNQUOTED) else quote(str(found))
        return PoisonRecord("wrong_type", f"expected {expected}, found {quoted} at $.{self.name}", self.name)


def _parse_text(found: object) -> str | None:
    if isinstance(found, bool | float | dict | list):
        return None
    text = found.decode("utf-8", "surrogateescape") if isinstance(found, bytes) else str(found)
    # a lone surrogate stands for a byte that was not UTF-8
    return None if any("\ud800" <= character <= "\udfff" for character in text) else text


def _parse_time(found: object) -> int | None:
    if isinstance(found, datetime):
        return _milliseconds(found)
    whole = _parse_whole(found)
    return _parse_iso(found) if whole is None and isinstance(found, str) else whole


def _parse_whole(found: object) -> int | None:
    if isinstance(found, bool | dict | list):
        return None
    if isinstance(found, int):
        return found
    if isinstance(found, float):
        return int(found) if found.is_integer() else None
    return _parse_whole_text(str(found))


def _parse_whole_text(text: str) -> int | None:
    try:
        return int(text) if "_" not in text else None
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    # above 2**53 a float no longer holds every whole number
    return int(number) if number.is_integer() and abs(number) <= 2**53 else None


def _parse_iso(text: str) -> int | None:
    try:
        return _milliseconds(datetime.fromisoformat(text))
    except ValueError:
        return None


def _milliseconds(moment: datetime) -> int:
    """Return UTC epoch milliseconds; a time without an offset is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _parse_number(found: object) -> float | None:
    if isinstance(found, bool | dict | list):
        return None
    try:
        return float(str(found))
    except ValueError:
        return None


def _parse_flag(found: object) -> bool | None:
    text = str(found).lower()
    return True if text in _TRUE else False if text in _FALSE else None


_PARSERS: dict[str, Callable[[object], Value]] = {
    "string": _parse_text,
    "int": _parse_whole,
    "long": _parse_whole,
    "time": _parse_time,
    "double": _parse_number,
    "boolean": _parse_flag,
}
_EXPECTED = {
    "string": "UTF-8 text",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "time": "epoch milliseconds or an ISO 8601 time",
    "double": "a number",
    "boolean": "true or false",
}


def to_batch(rows: list[dict[str, Value]], schema: pa.Schema) -> pa.RecordBatch:
    """Return coerced rows as a record batch."""
    return pa.RecordBatch.from_pylist(rows, schema=schema)
