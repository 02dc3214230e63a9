"""The fields of a schema as a file has to fill them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.errors import Refused
from weir.schemas.expression import find_money
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

UNQUOTED = "_id"
"""The end of field names whose values a message never shows."""


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        kind: ``text``, ``enum``, ``whole``, ``time``, ``number`` or ``flag``.
        nullable: whether a file may leave it out.
        symbols: what an ``enum`` may be.
        absent: what the schema itself stands in for no value: it says "not known" and invents nothing.
        bits: of a ``whole``.
        somebody: whether the stream says that it holds ids, whatever its name.
        currency: of an amount of money, the field of its currency.
    """

    name: str
    kind: str
    nullable: bool
    symbols: tuple[str, ...] = ()
    absent: str | int | float | bool | None = None
    bits: int = 64
    somebody: bool = False
    currency: str = ""

    @property
    def required(self) -> bool:
        """Whether every row must have a value."""
        return not self.nullable and self.absent is None

    @property
    def is_id(self) -> bool:
        """Whether it names something, so that its value is never shown."""
        return self.somebody or self.name.endswith(UNQUOTED)


_KINDS = {"string": "text", "int": "whole", "long": "whole", "float": "number", "double": "number", "boolean": "flag"}


def fields_of(kind: str, stream: Stream = payments) -> tuple[Field, ...]:
    """Return the fields of a kind's newest schema, in its order.

    >>> [field.name for field in fields_of("labels") if not field.required]
    ['device_id', 'is_fraud']

    Raises:
        Refused: the stream has no such records, or a file cannot fill one of the fields.
    """
    times = {stream.time, *([stream.labels.time] if stream.labels else [])}
    currencies = {node.parts[0].value: node.parts[1].value for m in stream.measures for node in find_money(m.value)}
    found = _fields_of(schema_of(kind, stream))
    return tuple(
        replace(
            each,
            kind="time" if each.name in times else each.kind,
            somebody=each.name in stream.id_fields,
            currency=currencies.get(each.name, ""),
        )
        for each in found
    )


def schema_of(kind: str, stream: Stream) -> str:
    """Return the newest Avro schema of a stream's ``transactions``, which are its events, or ``labels``.

    Raises:
        Refused: the stream has no such records.
    """
    found = label_schemas(stream) if kind == "labels" else event_schemas(stream)
    if not found:
        raise Refused(f"stream {stream.name}: expected labels=Labels(...) in its declaration, found none")
    return found[-1]


@cache
def _fields_of(schema: str) -> tuple[Field, ...]:
    return tuple(_field(declared) for declared in json.loads(schema)["fields"])


def _field(declared: dict[str, Any]) -> Field:
    name, kind = str(declared["name"]), declared["type"]
    branches = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
    nullable, kind = isinstance(kind, list) and "null" in kind, branches[0] if len(branches) == 1 else None
    absent = declared.get("default")
    if isinstance(kind, dict) and kind["type"] == "enum":
        return Field(name, "enum", nullable, tuple(kind["symbols"]), kind.get("default", absent))
    plain = kind["type"] if isinstance(kind, dict) else kind
    if plain not in _KINDS:
        raise Refused(f"expected {name} to be text, a number, a flag or an enum, found {kind}: no file can fill it")
    read = "time" if name.endswith("_time_ms") else _KINDS[plain]
    return Field(name, read, nullable, absent=absent, bits=32 if plain == "int" else 64)
