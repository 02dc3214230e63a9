"""The slow, exact reader: one body at a time by fastavro, with schema resolution, to the body's last byte.

``schemas/avro/projection.py`` asks it where the fast decoder is not enough. It never quotes the bytes it refuses.
"""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fastavro import _read_py
from fastavro.validation import validate

from weir.schemas.avro.compatibility import parse_plain
from weir.schemas.avro.extent import find_excess, measure
from weir.schemas.avro.native import NativeFailure, call_native
from weir.schemas.errors import PoisonRecord

_LONG_VARINT = re.compile(rb"[\x80-\xff]{9}")
"""What every varint of more than 63 bits has in it, and hardly anything else has."""
_ENDS_EARLY = (EOFError, IndexError, struct.error)


class SlowReader:
    """Reads bodies of one writer's schema.

    Args:
        writer_json: the writer's schema.
        reader_json: the schema whose fields are wanted.

    Attributes:
        plain: the writer's schema as JSON values, without logical types: what lies beneath them is what is written.
        writer: the same as fastavro has it.
        extent: its size.
    """

    def __init__(self, writer_json: str, reader_json: str) -> None:
        self.plain: Any = parse_plain(writer_json)
        self.writer: Any = fastavro.parse_schema(self.plain, named_schemas={}, _ignore_default_error=True)
        self.extent = measure(self.writer)
        # fastavro resolves records of one name alone; here the subject says what the record is, not its name
        names = {key: self.plain[key] for key in ("name", "namespace") if key in self.plain}
        reader = {key: value for key, value in json.loads(reader_json).items() if key != "namespace"}
        self._reader: Any = fastavro.parse_schema(reader | names, named_schemas={})

    def read(self, body: bytes) -> dict[str, Any] | PoisonRecord:
        """Read one body as the reader's schema has it."""
        found = self._read_whole(body, self._reader)
        if isinstance(found, PoisonRecord) and found.reason == "undecodable":
            return self._find_fault(body) or found
        return found

    def read_as_written(self, body: bytes) -> dict[str, Any] | PoisonRecord:
        """Read one body as the writer's schema has it."""
        return self._read_whole(body, None)

    def _read_whole(self, body: bytes, reader: Any) -> dict[str, Any] | PoisonRecord:
        excess = find_excess(body, self.writer, self.extent.types) if self.extent.is_open_ended else None
        if excess is not None:
            return excess
        stream = io.BytesIO(body)
        # the compiled reader drops what a varint holds beyond 64 bits; the interpreted one keeps it for Arrow to refuse
        read = _read_py.schemaless_reader if _LONG_VARINT.search(body) else fastavro.schemaless_reader
        try:
            record: Any = read(stream, self.writer, reader)
        except _ENDS_EARLY:
            message = "expected a whole body by its writer's schema, found its end too early at $"
            return PoisonRecord("truncated", message)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever fastavro raises on foreign bytes, it is this one record's
            # the reader's own words may quote the bytes it found, which may hold a card number: name its class only
            return undecodable(type(error).__name__)
        if stream.tell() < len(body):
            return PoisonRecord("trailing_bytes", f"expected {stream.tell()} bytes of body, found {len(body)} at $")
        return dict(record)

    def _find_fault(self, body: bytes) -> PoisonRecord | None:
        """Say whether a body is unsound as it was written, or which field cannot be resolved into the reader's."""
        record = self.read_as_written(body)
        if isinstance(record, PoisonRecord):
            return record
        for field in self._reader["fields"]:
            name = field["name"]
            if name in record and not validate(record[name], field["type"], raise_errors=False):
                return null_field(name) if record[name] is None else unresolvable(name)
        return None


def undecodable(found: str) -> PoisonRecord:
    """Build the error of a body that is no record of its writer's schema."""
    return PoisonRecord("undecodable", f"expected an Avro body by its writer's schema, found {found} at $")


def null_field(name: str) -> PoisonRecord:
    """Build the error of a record whose writer may leave out what every record must have, and did."""
    return PoisonRecord("missing_field", f"expected a value, found null at $.{name}", name)


def unresolvable(name: str) -> PoisonRecord:
    """Build the error of a value that its writer may write and we cannot take."""
    return PoisonRecord("undecodable", f"expected a value of our schema's type, found another at $.{name}", name)


def tabulate(records: Sequence[dict[str, Any]], schema: pa.Schema) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Put records into columns.

    Returns:
        The records that fit, in order, and bool, shape (records,), which they are: Arrow checks the ranges of
        numbers, fastavro does not.
    """
    batch = _fit(records, schema)
    if batch is not None:
        return batch, np.ones(len(records), dtype=bool)
    fits = np.array([_fit([record], schema) is not None for record in records], dtype=bool)
    kept = [record for record, is_fit in zip(records, fits, strict=True) if is_fit]
    return pa.RecordBatch.from_pylist(kept, schema=schema), fits


def _fit(records: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch | None:
    try:
        return call_native(_build_batch, records, schema)
    except NativeFailure:
        return None


def _build_batch(records: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pylist(records, schema=schema)
    batch.validate(full=True)
    return batch
