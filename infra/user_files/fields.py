"""The fields of a schema as a file has to fill them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from weir.schemas.contracts import schema_json

UNQUOTED = ("_id", "ip")
"""Ends of field names whose values a message never shows."""


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        kind: ``text``, ``enum``, ``whole``, ``time``, ``number`` or ``flag``.
        nullable: whether a file may leave it out.
        symbols: what an ``enum`` may be.
        absent: what the schema itself stands in for no value: it says "not known" and invents nothing.
        bits: of a ``whole``.
    """

    name: str
    kind: str
    nullable: bool
    symbols: tuple[str, ...] = ()
    absent: str | None = None
    bits: int = 64

    @property
    def required(self) -> bool:
        """Whether every row must have a value."""
        return not self.nullable and self.absent is None

    @property
    def is_id(self) -> bool:
        """Whether it names something, so that its value is never shown."""
        return self.name.endswith(UNQUOTED)


_KINDS = {"string": "text", "int": "whole", "long": "whole", "double": "number", "boolean": "flag"}


@cache
def fields_of(kind: str) -> tuple[Field, ...]:
    """Return the fields of a kind's newest schema, in its order.

    >>> [field.name for field in fields_of("labels") if not field.required]
    ['device_id', 'is_fraud']
    """
    return tuple(_field(declared) for declared in json.loads(schema_json(kind))["fields"])


def _field(declared: dict[str, object]) -> Field:
    name, kind = str(declared["name"]), declared["type"]
    nullable = isinstance(kind, list)
    kind = next(each for each in kind if each != "null") if isinstance(kind, list) else kind
    if isinstance(kind, dict):
        return Field(name, "enum", nullable, tuple(kind["symbols"]), kind.get("default"))
    plain = "time" if name.endswith("_time_ms") else _KINDS[str(kind)]
    return Field(name, plain, nullable, bits=32 if kind == "int" else 64)
