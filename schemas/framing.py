"""The Confluent wire format around an Avro body: one magic byte 0, the schema id in four bytes, then the body.

What a body holds is ``schemas/codec.py``'s; here only the frame is judged.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import PoisonRecord

MAGIC_BYTE = 0
HEADER_BYTES = 5
VALUE_BYTES_MAX = 1 << 20
"""1 MiB, Kafka's own default: a card payment that needs more is not one."""

_HEADER = struct.Struct(">bI")
_NO_HEADER = bytes(HEADER_BYTES)


@dataclass(frozen=True)
class Frames:
    """The frames of a batch.

    Attributes:
        rows: int64, shape (good,), positions of the values whose frame is sound.
        schema_ids: int64, shape (good,), aligned with ``rows``.
        errors: position and error of every other value.
    """

    rows: npt.NDArray[np.int64]
    schema_ids: npt.NDArray[np.int64]
    errors: list[tuple[int, PoisonRecord]]


def parse_frames(values: Sequence[bytes | None]) -> Frames:
    """Judge the frame of every value; nothing is copied but the headers.

    **Cost:** about 0.15 us a value.
    """
    lengths = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
    headers = b"".join([_NO_HEADER if value is None else value[:HEADER_BYTES].ljust(HEADER_BYTES) for value in values])
    table = np.frombuffer(headers, dtype=[("magic", "u1"), ("schema_id", ">u4")])
    # an empty body is a record without fields; ours have some, so the body's decoder refuses it
    good = (lengths >= HEADER_BYTES) & (lengths <= VALUE_BYTES_MAX) & (table["magic"] == MAGIC_BYTE)
    errors = [(row, _explain(values[row])) for row in np.flatnonzero(~good).tolist()]
    rows = np.flatnonzero(good)
    return Frames(rows, table["schema_id"][rows].astype(np.int64), errors)


def frame_bodies(bodies: pa.BinaryArray, schema_id: int) -> list[bytes]:
    """Put the header before each body."""
    header = _HEADER.pack(MAGIC_BYTE, schema_id)
    return [header + body for body in bodies.to_pylist()]


def _explain(value: bytes | None) -> PoisonRecord:
    if not value:
        found = "a null" if value is None else "0 bytes"
        return PoisonRecord("empty_value", f"expected an Avro value, found {found} at $")
    if len(value) > VALUE_BYTES_MAX:
        return PoisonRecord(
            "value_too_large", f"expected a value of at most {VALUE_BYTES_MAX} bytes, found {len(value)} at $"
        )
    if value[0] != MAGIC_BYTE:
        return PoisonRecord("wrong_magic", f"expected magic byte {MAGIC_BYTE}, found {value[0]} at $[0]")
    return PoisonRecord("truncated", f"expected a header of {HEADER_BYTES} bytes, found {len(value)} bytes at $")
