"""The fields of a stream's events or labels, as a file has to fill them: by the Avro schema and the declaration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.errors import Refused
from weir.schemas.expression import find_money
from weir.schemas.stream import Stream


@dataclass(frozen=True)
class RowKind:
    """What the rows of a file are: events of a stream, or its labels."""

    stream: Stream
    labels: bool = False

    @property
    def name(self) -> str:
        """What messages and files call them."""
        return "labels" if self.labels else self.stream.name

    @property
    def schemas(self) -> tuple[str, ...]:
        """The Avro schemas as JSON text, oldest version first; the newest one is what a file has to fill.

        Raises:
            Refused: labels of a stream that has none.
        """
        found = label_schemas(self.stream) if self.labels else event_schemas(self.stream)
        if not found:
            raise Refused(f"expected a stream with labels, found {self.stream.name}, which declares none")
        return found


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        kind: ``text``, ``enum``, ``whole``, ``time``, ``number`` or ``flag``.
        nullable: whether a file may leave it out.
        symbols: what an ``enum`` may be.
        absent: what the schema itself stands in for no value: it says "not known" and invents nothing.
        bits: of a ``whole``.
        is_id: whether it names something, so that its value is never shown.
        currency: of an amount of money, the field with its currency; else ``""``.
    """

    name: str
    kind: str
    nullable: bool
    symbols: tuple[str, ...] = ()
    absent: str | int | float | bool | None = None
    bits: int = 64
    is_id: bool = False
    currency: str = ""

    @property
    def required(self) -> bool:
        """Whether every row must have a value."""
        return not self.nullable and self.absent is None


_KINDS = {
    "string": "text",
    "int": "whole",
    "long": "whole",
    "float": "number",
    "double": "number",
    "boolean": "flag",
}


@cache
def fields_of(kind: RowKind) -> tuple[Field, ...]:
    """Return the fields that a file can fill, in the order of the newest schema.

    Raises:
        Refused: a field that every row must have is of a nested type.

    >>> from weir.schemas.project import load_shipped
    >>> kind = RowKind(load_shipped("payments").stream, labels=True)
    >>> [field.name for field in fields_of(kind) if not field.required]
    ['device_id', 'is_fraud']
    """
    found = (_field(kind.stream, declared) for declared in json.loads(kind.schemas[-1])["fields"])
    return tuple(field for field in found if field is not None)


def _field(stream: Stream, declared: dict[str, Any]) -> Field | None:
    name, kind = str(declared["name"]), declared["type"]
    nullable = isinstance(kind, list) and "null" in kind
    branches = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
    if len(branches) > 1 or not (plain := _kind_of(stream, name, branches[0])):
        _check_left_out(stream, name, declared)
        return None
    symbols = tuple(branches[0]["symbols"]) if plain == "enum" else ()
    own = branches[0].get("default") if plain == "enum" else None
    return Field(
        name,
        plain,
        nullable,
        symbols,
        absent=declared.get("default") if own is None else own,
        bits=32 if branches[0] == "int" else 64,
        is_id=name in stream.id_fields or name.endswith("_id"),
        currency=_currency_of(stream, name),
    )


def _kind_of(stream: Stream, name: str, kind: Any) -> str:
    if isinstance(kind, dict):
        return "enum" if kind.get("type") == "enum" else _KINDS.get(str(kind.get("type")), "")
    times = {stream.time, stream.labels.time} if stream.labels else {stream.time}
    return "time" if name in times or name.endswith("_time_ms") else _KINDS.get(str(kind), "")


def _check_left_out(stream: Stream, name: str, declared: dict[str, Any]) -> None:
    """Check that a nested field, which no file of rows can fill, is null by default.

    Raises:
        Refused: it is not.
    """
    if declared.get("default", ...) is not None:
        raise Refused(f"expected a plain type, or null by default, of {name} in {stream.schema}: no file can fill it")


def _currency_of(stream: Stream, name: str) -> str:
    amounts = (node for measure in stream.measures for node in find_money(measure.value))
    return next((node.parts[1].value for node in amounts if node.parts[0].value == name), "")
