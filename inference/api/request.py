"""A transaction as JSON, checked against its Avro contract. Pure.

The fields, their types and which may be absent come from the contract itself, so that the API asks for what the topic
takes. No message repeats a value: ids are what a card number hides in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from weir.inference.api.body import NotJson, name_type, read_object
from weir.schemas.contracts import schema_json
from weir.schemas.currencies import CURRENCIES
from weir.schemas.streams.payments import MCC_MAX, payments
from weir.schemas.units import EARLIEST_TIME_MS
from weir.schemas.validation import ID_BYTES_MAX

_LIMITS = {"int": 1 << 31, "long": 1 << 63}
_COUNTRY: dict[str, Any] = {"pattern": "^[A-Z]{2}$"}
_BOUNDS: dict[str, dict[str, Any]] = {
    **{name: {"minLength": 1, "maxLength": ID_BYTES_MAX} for name in payments.id_fields},
    "mcc": {"minimum": 0, "maximum": MCC_MAX},
    "currency": {"enum": sorted(CURRENCIES)},
    "country": _COUNTRY,
    "issuer_country": _COUNTRY,
    "event_time_ms": {"minimum": EARLIEST_TIME_MS},
    "lat": {"minimum": -90, "maximum": 90},
    "lon": {"minimum": -180, "maximum": 180},
}
"""What ``schemas/validation.py`` asks beyond the type, as far as JSON Schema can say it of one field."""
_FILLED_IN = frozenset({"event_time_ms", "outcome"})
"""May be left out of a request: now, and not known."""


@dataclass(frozen=True)
class FieldSpec:
    """One field of the contract.

    Attributes:
        kind: ``string``, ``int``, ``long``, ``double`` or ``enum``.
        required: must be in a request.
    """

    name: str
    kind: str
    nullable: bool
    required: bool
    symbols: tuple[str, ...]
    doc: str


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field; ``field`` is ``$`` for the document itself."""

    field: str
    message: str


class BadRequest(Exception):
    """A request that is not a transaction; carries every field that is wrong."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


@cache
def transaction_fields() -> tuple[FieldSpec, ...]:
    """Return the fields of the newest transaction contract, in its order."""
    return tuple(_build_spec(field) for field in json.loads(schema_json("transactions"))["fields"])


def parse_transaction(body: bytes, *, now_ms: int) -> dict[str, Any]:
    """Read a request body.

    Args:
        body: JSON.
        now_ms: stands in for an absent ``event_time_ms``.

    Returns:
        A value for every field of the contract.

    Raises:
        BadRequest: naming every field that is wrong.
        UnknownEncoding: it is not plain UTF-8.
    """
    try:
        document = read_object(body)
    except NotJson as error:
        raise BadRequest([FieldError("$", str(error))]) from None
    fields = transaction_fields()
    names = {field.name for field in fields}
    # an unknown name is cut and counted on to be no secret: people put values where names belong
    errors = [FieldError("$", f"{len(unknown)} unknown field(s)")] if (unknown := set(document) - names) else []
    parsed = {field.name: _read_field(field, document, errors) for field in fields}
    if errors:
        raise BadRequest(errors)
    if parsed["event_time_ms"] is None:
        parsed["event_time_ms"] = now_ms
    parsed["outcome"] = parsed["outcome"] or "UNKNOWN"
    return parsed


def build_json_schema() -> dict[str, Any]:
    """Return the request as JSON Schema, for OpenAPI."""
    types = {"string": "string", "enum": "string", "int": "integer", "long": "integer", "double": "number"}
    properties: dict[str, Any] = {}
    for field in transaction_fields():
        kind = types[field.kind]
        properties[field.name] = {"type": [kind, "null"] if field.nullable else kind} | _BOUNDS.get(field.name, {})
        if field.doc:
            properties[field.name]["description"] = field.doc
        if field.symbols:
            properties[field.name]["enum"] = list(field.symbols)
    required = [field.name for field in transaction_fields() if field.required]
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


def _build_spec(field: dict[str, Any]) -> FieldSpec:
    kind: Any = field["type"]
    nullable = isinstance(kind, list)
    if nullable:
        kind = next(each for each in kind if each != "null")
    symbols = tuple(kind["symbols"]) if isinstance(kind, dict) else ()
    return FieldSpec(
        name=field["name"],
        kind="enum" if symbols else str(kind),
        nullable=nullable,
        required=not nullable and field["name"] not in _FILLED_IN,
        symbols=symbols,
        doc=field.get("doc", ""),
    )


def _read_field(field: FieldSpec, document: dict[str, Any], errors: list[FieldError]) -> Any:
    value = document.get(field.name)
    if value is None:
        if field.required:
            found = "null" if field.name in document else "nothing"
            errors.append(FieldError(field.name, f"expected {_CHECKS[field.kind].expected(field)}, found {found}"))
        return None
    check = _CHECKS[field.kind]
    if not check.accepts(field, value):
        errors.append(FieldError(field.name, f"expected {check.expected(field)}, found {_name_found(field, value)}"))
        return None
    return float(value) if field.kind == "double" else value


@dataclass(frozen=True)
class _Check:
    accepts: Callable[[FieldSpec, Any], bool]
    expected: Callable[[FieldSpec], str]


def _is_integer(field: FieldSpec, value: Any) -> bool:
    limit = _LIMITS[field.kind]
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _is_number(_: FieldSpec, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_INTEGER = _Check(_is_integer, lambda field: f"an integer of {32 if field.kind == 'int' else 64} bits")
_CHECKS: dict[str, _Check] = {
    "string": _Check(lambda _, value: isinstance(value, str), lambda _: "a string"),
    "enum": _Check(lambda field, value: value in field.symbols, lambda field: "one of " + ", ".join(field.symbols)),
    "int": _INTEGER,
    "long": _INTEGER,
    "double": _Check(_is_number, lambda _: "a number"),
}


def _name_found(field: FieldSpec, value: Any) -> str:
    """Say what was found, and not its value."""
    found = name_type(value)
    if found != "a number":
        return "another string" if found == "a string" else found
    if field.kind not in {*_LIMITS, "double"}:
        return found
    # beyond 64 bits an integer is read as a float: only one within them was written with a point or an exponent
    if isinstance(value, float) and field.kind in _LIMITS and abs(value) < _LIMITS["long"]:
        return "a number with a decimal point or an exponent"
    return "a number out of range"
