"""Hypothesis strategies for records of an Avro schema, and fastavro as the slow, obvious codec."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
from hypothesis import strategies as st

from weir.schemas.avro.compatibility import parse_inlined
from weir.schemas.contracts import schema_json

_INTEGERS = {"int": (-(1 << 31), (1 << 31) - 1), "long": (-(1 << 63), (1 << 63) - 1)}


def records(kind: str, version: int | None = None) -> st.SearchStrategy[dict[str, Any]]:
    return _values(parse_inlined(schema_json(kind, version)))


def _values(schema: Any) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([_values(branch) for branch in schema])
    if isinstance(schema, dict):
        return _composite(schema)
    if schema in _INTEGERS:
        low, high = _INTEGERS[schema]
        return st.integers(low, high) | st.sampled_from([low, high, 0])
    simple = {
        "null": st.none(),
        "boolean": st.booleans(),
        "float": st.floats(width=32),
        "double": st.floats(),
        "string": st.text(max_size=12) | st.sampled_from(["", "\x00", "\U0001f4b3", "ß" * 40]),
    }
    return simple[schema]


def _composite(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if schema["type"] == "record":
        return st.fixed_dictionaries({field["name"]: _values(field["type"]) for field in schema["fields"]})
    if schema["type"] == "enum":
        return st.sampled_from(schema["symbols"])
    return st.lists(_values(schema["items"]), max_size=3)


def parsed(schema: str) -> Any:
    return fastavro.parse_schema(json.loads(schema), named_schemas={})


def write_body(record: dict[str, Any], schema: str) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed(schema), record)
    return stream.getvalue()


def frame(body: bytes, schema_id: int) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + body


def same(left: object, right: object) -> bool:
    """Equality in which NaN equals itself."""
    return repr(left) == repr(right)
