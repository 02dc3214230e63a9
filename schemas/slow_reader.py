"""The slow, exact reader: one body at a time by fastavro, with schema resolution, to the body's last byte.

``schemas/projection.py`` asks it where the fast decoder is not enough. It never quotes the bytes it refuses.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fastavro import _read_py

from schemas.errors import PoisonRecord

_LONG_VARINT = re.compile(rb"[\x80-\xff]{9}")
"""What every varint of more than 63 bits has in it, and hardly anything else has."""
_UNREADABLE = (ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError, struct.error, RecursionError)
"""What fastavro raises on bytes that are no record of the schema, and Arrow on values outside a column's type."""


def read_whole(body: bytes, writer: Any, reader: Any) -> dict[str, Any] | PoisonRecord:
    """Read one body to its end.

    Args:
        body: an Avro body, without the frame.
        writer: the writer's schema, parsed by fastavro.
        reader: the reader's schema, parsed by fastavro; ``None`` reads the record as it was written.
    """
    stream = io.BytesIO(body)
    # the compiled reader drops what a varint holds beyond 64 bits; the interpreted one keeps it for Arrow to refuse
    read = _read_py.schemaless_reader if _LONG_VARINT.search(body) else fastavro.schemaless_reader
    try:
        record: Any = read(stream, writer, reader)
    except (EOFError, IndexError, struct.error):
        message = "expected a whole body by its writer's schema, found its end too early at $"
        return PoisonRecord("truncated", message)
    except _UNREADABLE as error:
        # the reader's own words may quote the bytes it found, which may hold a card number: name its class only
        return undecodable(type(error).__name__)
    if stream.tell() < len(body):
        return PoisonRecord("trailing_bytes", f"expected {stream.tell()} bytes of body, found {len(body)} at $")
    return dict(record)


def undecodable(found: str) -> PoisonRecord:
    """Build the error of a body that is no record of its writer's schema."""
    return PoisonRecord("undecodable", f"expected an Avro body by its writer's schema, found {found} at $")


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
        batch = pa.RecordBatch.from_pylist(records, schema=schema)
        batch.validate(full=True)
    except _UNREADABLE:
        return None
    return batch
