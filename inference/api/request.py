"""An event as JSON, checked against its Avro contract. Pure.

The fields, their types and which may be absent come from the contract itself, so that the API asks for what the topic
takes. No message repeats a value: ids are what a card number hides in.
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from weir.inference.api.body import NotJson, name_type, read_object
from weir.schemas.contracts import event_schemas
from weir.schemas.currencies import CURRENCIES
from weir.schemas.expression import Expression, find_money
from weir.schemas.records.units import EARLIEST_TIME_MS
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

_LIMITS = {"int": 1 << 31, "long": 1 << 63}
_NUMBERS = frozenset({"double", "float"})
_JSON_TYPES = {
    "string": "string", "enum": "string", "int": "integer", "long": "integer", "double": "number", "float": "number",
    "boolean": "boolean",
}  # fmt: skip
_RANGES = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_NOT_KNOWN = "UNKNOWN"
"""An enum that has this symbol as its default may be left out of a request."""


@dataclass(frozen=True)
class FieldSpec:
    """One field of the contract.

    Attributes:
        kind: ``enum``, or the Avro type.
        required: must be in a request.
        default: what stands for it where it is left out.
    """

    name: str
    kind: str
    nullable: bool
    required: bool
    symbols: tuple[str, ...]
    doc: str
    default: Any = None


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field; ``field`` is ``$`` for the document itself."""

    field: str
    message: str


class BadRequest(Exception):
    """A request that is no event of its stream; carries every field that is wrong."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors


def event_fields(stream: Stream) -> tuple[FieldSpec, ...]:
    """Return the fields of the newest schema of a stream's events, in its order."""
    return list_fields(event_schemas(stream)[-1], stream.time)


def parse_event(stream: Stream, body: bytes, *, now_ms: int) -> dict[str, Any]:
    """Read a request body.

    Args:
        stream: whose event it is.
        body: JSON.
        now_ms: stands in for an absent time of the event.

    Returns:
        A value for every field of the contract.

    Raises:
        BadRequest: naming every field that is wrong.
        UnknownEncoding: it is not plain UTF-8.
    """
    return read_event(stream, _read_document(body), now_ms=now_ms)


def parse_events(stream: Stream, body: bytes, *, count_max: int) -> list[Any]:
    """Return the documents in ``events`` of a request body, none of which is looked into; raises as ``parse_event``."""
    document = _read_document(body)
    listed = document.get("events")
    if not isinstance(listed, list):
        found = name_type(listed) if "events" in document else "nothing"
        raise BadRequest([FieldError("events", f"expected an array of {stream.event}s, found {found}")])
    if unknown := len(document) - 1:
        raise BadRequest([FieldError("$", f"{unknown} unknown field(s)")])
    if not 0 < len(listed) <= count_max:
        raise BadRequest([FieldError("events", f"expected 1 to {count_max:,} {stream.event}s, found {len(listed):,}")])
    return listed


def read_event(stream: Stream, document: Any, *, now_ms: int) -> dict[str, Any]:
    """Return a value for every field of the contract, of an event as JSON has it; raises as ``parse_event``."""
    if not isinstance(document, dict):
        raise BadRequest([FieldError("$", f"expected an object, found {name_type(document)}")])
    parsed = _read_fields(event_fields(stream), document)
    if parsed[stream.time] is None:
        parsed[stream.time] = now_ms
    return parsed


def parse_record(fields: Sequence[FieldSpec], body: bytes) -> dict[str, Any]:
    """Return a value for every field of a contract, of a request body; raises as ``parse_event``."""
    return _read_fields(fields, _read_document(body))


def _read_document(body: bytes) -> dict[str, Any]:
    try:
        return read_object(body)
    except NotJson as error:
        raise BadRequest([FieldError("$", str(error))]) from None


def _read_fields(fields: Sequence[FieldSpec], document: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields}
    # an unknown name is cut and counted on to be no secret: people put values where names belong
    errors = [FieldError("$", f"{len(unknown)} unknown field(s)")] if (unknown := set(document) - names) else []
    parsed = {field.name: _read_field(field, document, errors) for field in fields}
    if errors:
        raise BadRequest(errors)
    return parsed


def build_json_schema(stream: Stream) -> dict[str, Any]:
    """Return the request as JSON Schema, for OpenAPI."""
    bounds = _list_bounds(stream)
    properties: dict[str, Any] = {}
    for field in event_fields(stream):
        kind = _JSON_TYPES.get(field.kind, "null")
        properties[field.name] = {"type": [kind, "null"] if field.nullable else kind} | bounds.get(field.name, {})
        if field.doc:
            properties[field.name]["description"] = field.doc
        if field.symbols:
            properties[field.name]["enum"] = list(field.symbols)
    required = [field.name for field in event_fields(stream) if field.required]
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}


def _list_bounds(stream: Stream) -> dict[str, dict[str, Any]]:
    """Return what ``schemas/records`` asks beyond the type, as far as JSON Schema can say it of one field."""
    bounds: dict[str, dict[str, Any]] = {}
    for name in stream.id_fields:
        bounds[name] = {"minLength": 1, "maxLength": ID_BYTES_MAX}
    for measure in stream.measures:
        if measure.value.op == "col" and measure.bound is not None:
            name = measure.value.value
            bounds[name] = bounds.get(name, {}) | {"minimum": -measure.bound, "maximum": measure.bound}
    for check in stream.all_checks:
        for name, bound in _read_bounds(check.must):
            bounds[name] = bounds.get(name, {}) | bound
    for measure in stream.measures:
        for money in find_money(measure.value):
            bounds[money.parts[1].value] = {"enum": sorted(CURRENCIES)}
    bounds[stream.time] = {"minimum": EARLIEST_TIME_MS}
    if stream.position:
        bounds[stream.position.lat] = {"minimum": -90, "maximum": 90}
        bounds[stream.position.lon] = {"minimum": -180, "maximum": 180}
    return bounds


def _read_bounds(must: Expression) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a check says of single fields: a range or a pattern."""
    if must.op == "and":
        yield from (found for part in must.parts for found in _read_bounds(part))
    elif must.op == "matches" and must.parts[0].op == "col":
        yield must.parts[0].value, {"pattern": f"^{must.value}$"}
    elif must.op in _RANGES and (must.parts[0].op, must.parts[1].op) == ("col", "lit"):
        yield must.parts[0].value, {_RANGES[must.op]: must.parts[1].value}


@cache
def list_fields(schema: str, time: str) -> tuple[FieldSpec, ...]:
    """Return the fields of an Avro schema in its order; the one with the time may be left out of a request."""
    return tuple(_build_spec(field, time) for field in json.loads(schema)["fields"])


def _build_spec(field: dict[str, Any], time: str) -> FieldSpec:
    kind: Any = field["type"]
    nullable = isinstance(kind, list)
    if nullable:
        kind = next(each for each in kind if each != "null")
    inner = kind if isinstance(kind, dict) else {"type": kind}
    symbols = tuple(inner.get("symbols", ()))
    default = field.get("default", _NOT_KNOWN if inner.get("default") == _NOT_KNOWN else None)
    return FieldSpec(
        name=field["name"],
        kind="enum" if symbols else str(inner["type"]),
        nullable=nullable,
        required=not nullable and default is None and field["name"] != time,
        symbols=symbols,
        doc=field.get("doc", ""),
        default=default,
    )


def _read_field(field: FieldSpec, document: dict[str, Any], errors: list[FieldError]) -> Any:
    value = document.get(field.name)
    if value is None:
        if field.required:
            found = "null" if field.name in document else "nothing"
            errors.append(
                FieldError(field.name, f"expected {_CHECKS.get(field.kind, _NOTHING).expected(field)}, found {found}")
            )
        return field.default
    check = _CHECKS.get(field.kind, _NOTHING)
    if not check.accepts(field, value):
        errors.append(FieldError(field.name, f"expected {check.expected(field)}, found {_name_found(field, value)}"))
        return None
    return _as_wide(field, value) if field.kind in _NUMBERS else value


def _as_wide(field: FieldSpec, value: float) -> float:
    """Return a number as the field holds it, so that it is judged and computed with as the log would have it."""
    return ctypes.c_float(value).value if field.kind == "float" else float(value)


@dataclass(frozen=True)
class _Check:
    accepts: Callable[[FieldSpec, Any], bool]
    expected: Callable[[FieldSpec], str]


def _is_integer(field: FieldSpec, value: Any) -> bool:
    limit = _LIMITS[field.kind]
    return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _is_number(field: FieldSpec, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(_as_wide(field, value))


_INTEGER = _Check(_is_integer, lambda field: f"an integer of {32 if field.kind == 'int' else 64} bits")
_CHECKS: dict[str, _Check] = {
    "string": _Check(lambda _, value: isinstance(value, str), lambda _: "a string"),
    "enum": _Check(lambda field, value: value in field.symbols, lambda field: "one of " + ", ".join(field.symbols)),
    "int": _INTEGER,
    "long": _INTEGER,
    "double": _Check(_is_number, lambda _: "a number"),
    "float": _Check(_is_number, lambda _: "a number"),
    "boolean": _Check(lambda _, value: isinstance(value, bool), lambda _: "true or false"),
}
_NOTHING = _Check(lambda *_: False, lambda field: f"no value: a {field.kind} cannot be sent as JSON")


def _name_found(field: FieldSpec, value: Any) -> str:
    """Say what was found, and not its value."""
    found = name_type(value)
    if found != "a number":
        return "another string" if found == "a string" else found
    if field.kind not in {*_LIMITS, *_NUMBERS}:
        return found
    # beyond 64 bits an integer is read as a float: only one within them was written with a point or an exponent
    if isinstance(value, float) and field.kind in _LIMITS and abs(value) < _LIMITS["long"]:
        return "a number with a decimal point or an exponent"
    return "a number out of range"
