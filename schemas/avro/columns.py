"""The fast decoder: bodies of one writer's schema straight to Arrow columns, and back, by pyruhvro.

It reads and writes some of Avro's types and not others, and what it does with the others differs: it panics, refuses,
or answers something else. So there are two gates. ``is_columnar`` names the types that it is known to treat well; and
``Columns.prove`` has it read and write samples of this very schema, next to the exact reader, before it is trusted.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro
import pyarrow as pa
import pyruhvro

from weir.schemas.avro.native import NativeFailure, call_native

Bodies = Sequence[bytes]

TYPES_MAX = 1_000
"""Types of a schema that is read by columns: it is parsed again for each batch, 3.4 us a type."""
_PRIMITIVES = frozenset({"boolean", "int", "long", "float", "double", "string"})
"""Not ``bytes`` and not ``fixed``: pyruhvro can neither read nor write them."""
_ITEM_TURNS = ((), (1,), (0, 1))
"""Which samples an array holds in each turn."""
_SAMPLES = {
    "null": (None, None, None),
    "boolean": (False, True, True),
    "int": (0, -1, (1 << 31) - 1),
    "long": (0, -(1 << 63), (1 << 63) - 1),
    "float": (0.0, -1.5, 2.0**127),
    "double": (0.0, -1.5, 1.0e300),
    "string": ("", "a", "\u00df\U0001f4b3"),
}


def is_columnar(inlined: Any) -> bool:
    """True for types that the fast decoder is known to read and write: no bytes, maps, wide unions or recursion.

    >>> is_columnar(["null", "long"]), is_columnar("bytes")
    (True, False)
    """
    if isinstance(inlined, list):
        others = [branch for branch in inlined if branch != "null"]
        return len(inlined) == 2 and len(others) == 1 and not isinstance(others[0], list) and is_columnar(others[0])
    if isinstance(inlined, str):
        return inlined in _PRIMITIVES
    if inlined["type"] == "record":
        return bool(inlined["fields"]) and all(is_columnar(field["type"]) for field in inlined["fields"])
    if inlined["type"] == "array":
        return is_columnar(inlined["items"])
    return bool(inlined["type"] == "enum" and inlined["symbols"])


class Columns:
    """Reads and writes bodies of one schema.

    Args:
        schema_json: the writer's schema, without logical types.
    """

    def __init__(self, schema_json: str) -> None:
        self._schema_json = schema_json

    def read(self, bodies: Bodies) -> pa.RecordBatch:
        """Read bodies into columns.

        Raises:
            ValueError: one of them is refused; which one is not said.
            NativeFailure: the decoder failed in another way.
        """
        batch: pa.RecordBatch | ValueError = call_native(self._read, bodies)
        if isinstance(batch, ValueError):
            raise batch
        return batch

    def write(self, batch: pa.RecordBatch) -> pa.BinaryArray:
        """Write columns back as bodies.

        Raises:
            NativeFailure: they cannot be written.
        """
        return call_native(pyruhvro.serialize_record_batch, batch, self._schema_json, 1)[0]

    def prove(self, inlined: Any, parsed: Any) -> bool:
        """True when samples of the schema, and none of them, are read as they were written and written as they were.

        Args:
            inlined: the schema as ``weir.schemas.avro.compatibility`` inlines it.
            parsed: the schema as fastavro has it.
        """
        records = [_build_sample(inlined, turn) for turn in range(len(_ITEM_TURNS))]
        bodies = [_write_sample(parsed, record) for record in records]
        try:
            return self._holds_for([], []) and self._holds_for(bodies, records)
        except (NativeFailure, ValueError):
            return False

    def _holds_for(self, bodies: list[bytes], records: list[dict[str, Any]]) -> bool:
        batch = self.read(bodies)
        return bool(batch.to_pylist() == records and self.write(batch).to_pylist() == bodies)

    def _read(self, bodies: Bodies) -> pa.RecordBatch | ValueError:
        try:
            batch: pa.RecordBatch = pyruhvro.deserialize_array(bodies, self._schema_json)
            batch.validate(full=True)  # broken UTF-8 is not noticed until here
        except ValueError as error:
            return error
        return batch


def _build_sample(inlined: Any, turn: int) -> Any:
    """Build a value: the first turn is of nulls and empty arrays, the others hold something."""
    if isinstance(inlined, list):
        branches = sorted(inlined, key=lambda branch: branch != "null")
        return _build_sample(branches[0 if turn == 0 else -1], turn)
    if isinstance(inlined, str):
        return _SAMPLES[inlined][turn]
    if inlined["type"] == "record":
        return {field["name"]: _build_sample(field["type"], turn) for field in inlined["fields"]}
    if inlined["type"] == "array":
        return [_build_sample(inlined["items"], each) for each in _ITEM_TURNS[turn]]
    return inlined["symbols"][-1 if turn else 0]


def _write_sample(parsed: Any, record: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed, record)
    return stream.getvalue()
