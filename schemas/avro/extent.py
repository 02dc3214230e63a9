"""How much a writer's schema can stand for: bounds that hold before anything native walks along it.

A schema of a kilobyte can name types that hold each other forty times, and a body of ten bytes can say that an array
holds 2^60 nulls or that a list is nested 100,000 deep: the compiled reader follows until memory or its stack is gone,
and takes the process with it. So a schema is measured once, and the bodies of the few schemas that allow such a thing
are walked here, in Python and with a bound, before they are decoded.

**Cost:** nothing for a body of a schema that is not open-ended; about 0.5 us a value for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weir.schemas.errors import PoisonRecord

TYPES_MAX = 100_000
"""Types of a schema, each counted wherever it is used; a schema of a megabyte has some 40,000."""
SCHEMA_DEPTH_MAX = 128
"""Levels of a schema; what walks it recurses, and Python's own bound is near a thousand frames."""
VALUE_DEPTH_MAX = 200
"""Levels of a value of a recursive schema: a list of 100 items. The compiled reader's stack ends near 10,000."""
VALUES_PER_BYTE_MAX, EMPTY_VALUES_MAX = 16, 4_096
"""Values in a body: so many for each of its bytes (records in records begin at one), and so many that take none."""
_VARINT_BYTES_MAX = 10
_SIZES = {"null": 0, "boolean": 1, "float": 4, "double": 8}


@dataclass(frozen=True)
class Extent:
    """The size of a schema.

    Attributes:
        types: how many, each counted wherever it is used.
        depth: levels.
        is_empty: a value may take no bytes.
        is_open_ended: a few bytes may stand for any number of values or levels.
    """

    types: int = 1
    depth: int = 1
    is_empty: bool = False
    is_open_ended: bool = False


def measure(schema: Any) -> Extent:
    """Measure a schema that fastavro parsed.

    >>> measure({"type": "array", "items": "null"})
    Extent(types=2, depth=2, is_empty=False, is_open_ended=True)
    """
    return _measure(schema, {})


def find_excess(body: bytes, schema: Any, types: int) -> PoisonRecord | None:
    """Walk a body; return why it may not be decoded, or ``None``.

    Args:
        body: an Avro body, without the frame.
        schema: the writer's, as fastavro parsed it.
        types: how many it has, as ``measure`` counts them.
    """
    try:
        _Walk(body, dict(schema["__named_schemas"]), types).enter(schema, 1)
    except PoisonRecord as error:
        return error
    return None


def _measure(node: Any, known: dict[str, Extent | None]) -> Extent:
    """Measure a node; ``known`` holds each named type once it is measured, and ``None`` while it is."""
    if isinstance(node, str):
        if node in known:
            return known[node] or Extent(is_empty=True, is_open_ended=True)
        return Extent(is_empty=node == "null")
    if isinstance(node, list):
        return _sum([_measure(branch, known) for branch in node], is_empty=False)
    name = node.get("name", "")
    known |= {name: None} if name else {}
    extent = _measure_composite(node, known)
    known |= {name: extent} if name else {}
    return extent


def _measure_composite(node: dict[str, Any], known: dict[str, Extent | None]) -> Extent:
    match node["type"]:
        case "record" | "error":
            parts = [_measure(field["type"], known) for field in node["fields"]]
            return _sum(parts, is_empty=all(part.is_empty for part in parts))
        case "array":
            items = _measure(node["items"], known)
            return _sum([items], is_empty=False, is_open_ended=items.is_empty)
        case "map":
            return _sum([_measure(node["values"], known)], is_empty=False)
        case "fixed":
            return Extent(is_empty=node["size"] <= 0)
        case "enum":
            return Extent()
        case inner:
            return _measure(inner, known)


def _sum(parts: list[Extent], *, is_empty: bool, is_open_ended: bool = False) -> Extent:
    return Extent(
        types=1 + sum(part.types for part in parts),
        depth=1 + max((part.depth for part in parts), default=0),
        is_empty=is_empty,
        is_open_ended=is_open_ended or any(part.is_open_ended for part in parts),
    )


class _Walk:
    """Goes along one body by its writer's schema, and keeps nothing of it."""

    def __init__(self, body: bytes, named: dict[str, Any], types: int) -> None:
        self._body = body
        self._named = named
        self._at = 0
        self._values_left = types + EMPTY_VALUES_MAX + VALUES_PER_BYTE_MAX * len(body)

    def enter(self, node: Any, level: int) -> None:
        """Pass over the value that begins here."""
        self._values_left -= 1
        if level > VALUE_DEPTH_MAX:
            raise _refuse(f"at most {VALUE_DEPTH_MAX} levels of values", "more")
        if self._values_left < 0:
            raise _refuse("values of some bytes", "many that take none")
        if isinstance(node, str):
            if node not in self._named:
                self._pass_primitive(node)
                return
            node = self._named[node]
        if isinstance(node, list):
            self.enter(self._pick(node), level + 1)
        else:
            self._enter_composite(node, level)

    def _enter_composite(self, node: dict[str, Any], level: int) -> None:
        match node["type"]:
            case "record" | "error":
                for field in node["fields"]:
                    self.enter(field["type"], level + 1)
            case "array":
                self._enter_blocks(node["items"], level, is_map=False)
            case "map":
                self._enter_blocks(node["values"], level, is_map=True)
            case "fixed":
                self._pass(node["size"])
            case "enum":
                self._varint()
            case inner:
                self.enter(inner, level)

    def _enter_blocks(self, items: Any, level: int, *, is_map: bool) -> None:
        while count := self._varint():
            if count < 0:
                self._varint()  # the block's size in bytes
            if abs(count) > self._values_left:
                raise _refuse("an array that fits", "one of more items than it may have")
            for _ in range(abs(count)):
                if is_map:
                    self._pass(self._varint())
                self.enter(items, level + 1)

    def _pick(self, branches: list[Any]) -> Any:
        index = self._varint()
        if not 0 <= index < len(branches):
            raise _refuse("a branch of a union", "an index that it does not have")
        return branches[index]

    def _pass_primitive(self, name: str) -> None:
        if name in {"int", "long"}:
            self._varint()
        elif name in {"string", "bytes"}:
            self._pass(self._varint())
        else:
            self._pass(_SIZES[name])

    def _pass(self, size: int) -> None:
        if not 0 <= size <= len(self._body) - self._at:
            raise PoisonRecord(
                "truncated", "expected a whole body by its writer's schema, found its end too early at $"
            )
        self._at += size

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
            self._pass(1)
            byte = self._body[self._at - 1]
            value |= (byte & 127) << shift
            if byte < 128:
                return value >> 1 ^ -(value & 1)
        raise _refuse(f"a number of at most {_VARINT_BYTES_MAX} bytes", "a longer one")


def _refuse(expected: str, found: str) -> PoisonRecord:
    return PoisonRecord("undecodable", f"expected {expected} in the body, found {found} at $")
