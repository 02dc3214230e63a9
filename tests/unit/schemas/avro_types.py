"""Every type of Avro as somebody may add it to a schema of ours, with values, at several depths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Field = tuple[Any, Any]
"""A type, and a value that it holds."""


def _logical(kind: str, name: str, value: Any, **more: Any) -> Field:
    return {"type": kind, "logicalType": name, **more}, value


def _fixed(name: str, size: int, **more: Any) -> Field:
    return {"type": "fixed", "name": name, "size": size, **more}, b"\x01" * size


def _record(name: str, *types: Field) -> Field:
    fields = [{"name": f"f{number}", "type": kind} for number, (kind, _) in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}, {f"f{n}": value for n, (_, value) in enumerate(types)}


_LIST = {
    "type": "record",
    "name": "Item",
    "fields": [{"name": "n", "type": "int"}, {"name": "next", "type": ["null", "Item"], "default": None}],
}
_TREE = {"type": "record", "name": "Node", "fields": [{"name": "under", "type": {"type": "array", "items": "Node"}}]}

TYPES: dict[str, Field] = {
    "null": ("null", None),
    "boolean": ("boolean", True),
    "int": ("int", -3),
    "long": ("long", 1 << 40),
    "float": ("float", 1.5),
    "double": ("double", 2.5),
    "string": ("string", "\u00df\U0001f4b3"),
    "bytes": ("bytes", b"\x00\xff"),
    "string of java": ({"type": "string", "avro.java.string": "String"}, "x"),
    "decimal on bytes": _logical("bytes", "decimal", b"\x01\x02", precision=12, scale=2),
    "big-decimal": _logical("bytes", "big-decimal", b"\x02\x02\x04"),
    "decimal on fixed": _fixed("Money", 6, logicalType="decimal", precision=12, scale=2),
    "duration": _fixed("Duration", 12, logicalType="duration"),
    "uuid on fixed": _fixed("Id", 16, logicalType="uuid"),
    "uuid": _logical("string", "uuid", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
    "uuid that is none": _logical("string", "uuid", "none"),
    "date": _logical("int", "date", 19_000),
    "date out of range": _logical("int", "date", (1 << 31) - 1),
    "time-millis": _logical("int", "time-millis", 1_000),
    "time-micros": _logical("long", "time-micros", 1_000),
    "timestamp-millis": _logical("long", "timestamp-millis", 1_700_000_000_000),
    "timestamp-micros": _logical("long", "timestamp-micros", 1_700_000_000_000_000),
    "timestamp-nanos": _logical("long", "timestamp-nanos", 1_700_000_000_000_000_000),
    "timestamp out of range": _logical("long", "timestamp-millis", (1 << 63) - 1),
    "local-timestamp-millis": _logical("long", "local-timestamp-millis", 1_700_000_000_000),
    "local-timestamp-micros": _logical("long", "local-timestamp-micros", -1),
    "local-timestamp-nanos": _logical("long", "local-timestamp-nanos", 5),
    "a logical type nobody knows": _logical("bytes", "polygon", b"\x01"),
    "a logical type on the wrong type": _logical("int", "decimal", 7, precision=4),
    "decimal without a precision": _logical("bytes", "decimal", b"\x01"),
    "decimal of less than nothing": _logical("bytes", "decimal", b"\x01", precision=-1),
    "decimal of more scale than precision": _logical("bytes", "decimal", b"\x01", precision=2, scale=5),
    "decimal that its fixed cannot hold": _fixed("Tiny", 1, logicalType="decimal", precision=90),
    "duration of another size": _fixed("Short", 4, logicalType="duration"),
    "enum": ({"type": "enum", "name": "Tier", "symbols": ["GOLD", "TIN"]}, "TIN"),
    "enum with a default": ({"type": "enum", "name": "Tier", "symbols": ["A", "B"], "default": "A"}, "B"),
    "fixed": _fixed("Hash", 4),
    "fixed of nothing": _fixed("Nothing", 0),
    "record": _record("Place", ("string", "x"), ("long", 1)),
    "record of bytes": _record("Blob", ("bytes", b"\x01")),
    "record of nothing": _record("Empty"),
    "record of null": _record("Null", ("null", None)),
    "record in a record": _record("Outer", _record("Inner", (["null", "bytes"], b"\x01"))),
    "recursive list": (_LIST, {"n": 1, "next": {"n": 2, "next": None}}),
    "recursive tree": (_TREE, {"under": [{"under": []}, {"under": [{"under": []}]}]}),
    "array of long": ({"type": "array", "items": "long"}, [1, 2]),
    "array of bytes": ({"type": "array", "items": "bytes"}, [b"\x01"]),
    "array of null": ({"type": "array", "items": "null"}, [None, None]),
    "array of arrays": ({"type": "array", "items": {"type": "array", "items": "string"}}, [["a"], []]),
    "array of unions": ({"type": "array", "items": ["null", "bytes", "int"]}, [None, b"\x01", 3]),
    "map of string": ({"type": "map", "values": "string"}, {"a": "b"}),
    "map of bytes": ({"type": "map", "values": "bytes"}, {"a": b"\x01"}),
    "map of maps": ({"type": "map", "values": {"type": "map", "values": "long"}}, {"a": {"b": 1}}),
    "wide union": (["null", "int", "string", "bytes"], b"\x01"),
    "wide union without null": (["int", "string"], "x"),
    "union of one": (["int"], 3),
    "union of null": (["null"], None),
    "union of records": (["null", _record("One", ("int", 1))[0], _record("Two", ("string", "x"))[0]], {"f0": "x"}),
}

WRAPPINGS: dict[str, Callable[[Any, Any], Field]] = {
    "plain": lambda kind, value: (kind, value),
    "nullable": lambda kind, value: (["null", kind], value),
    "nullable at the end": lambda kind, value: ([kind, "null"], value),
    "in an array": lambda kind, value: ({"type": "array", "items": kind}, [value, value]),
    "in a map": lambda kind, value: ({"type": "map", "values": kind}, {"k": value}),
    "in a record": lambda kind, value: _record("Wrap", (kind, value)),
    "nullable in a nullable record": lambda kind, value: (["null", _record("Wrap", (["null", kind], value))[0]], None),
    "in records, arrays and maps": lambda kind, value: (
        ["null", _record("Deep", ({"type": "array", "items": {"type": "map", "values": kind}}, None))[0]],
        {"f0": [{"k": value}, {}]},
    ),
}


def further_fields() -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield a name, a type and its values: the full one, and null where the type takes it."""
    for name, (kind, value) in TYPES.items():
        for how, wrap in WRAPPINGS.items():
            wrapped, held = wrap(kind, value)
            if isinstance(wrapped, list) and (isinstance(kind, list) or kind == "null"):
                continue  # Avro has no union in a union, nor null twice
            if how == "nullable in a nullable record" and (isinstance(kind, list) or kind == "null"):
                continue
            yield f"{name}, {how}", wrapped, [held] if not _takes_null(wrapped) else [held, None]


def _takes_null(kind: Any) -> bool:
    return kind == "null" or (isinstance(kind, list) and "null" in kind)
