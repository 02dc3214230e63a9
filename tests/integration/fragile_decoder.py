"""A child of ``streaming/isolation.py`` whose decoder ends, hangs, or is ended once, as the bytes it meets tell it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from weir.schemas.avro.codec import BatchCodec, Decoded, SchemaLookup, WriterSchema
from weir.streaming import isolation

ENDS, HANGS, IS_ENDED_ONCE = b"ends", b"hangs", b"once:"
HANG_SECONDS = 3_600
ENDS_BY_SCHEMA = 66
"""The id of a schema for which no plan can be made without an end."""
_decode, _decode_each = BatchCodec.decode, isolation.decode_each
_build_plan = BatchCodec._build_plan


def decode_each(kind: str, values: Sequence[bytes | None], schemas: object, report: Connection) -> None:
    """Stand in for ``isolation.decode_each`` in the child."""
    BatchCodec.decode = _decode_or_end  # type: ignore[method-assign, assignment]
    _decode_each(kind, values, schemas, report)  # type: ignore[arg-type]


def decode_each_with_fragile_plans(*arguments: Any) -> None:
    """Be a child that a schema ends, whatever the bytes."""
    BatchCodec._build_plan = _build_plan_or_end  # type: ignore[method-assign, assignment]
    _decode_each(*arguments)


def end_at_once(*_: object) -> None:
    """Be a child that cannot even start."""
    sys.exit(1)


def _decode_or_end(codec: BatchCodec, values: Sequence[bytes | None], schema_of: SchemaLookup) -> Decoded:
    for value in values:
        _meet(value or b"")
    return _decode(codec, values, schema_of)


def _build_plan_or_end(codec: BatchCodec, writer: WriterSchema) -> Any:
    if writer.schema_id == ENDS_BY_SCHEMA:
        os.kill(os.getpid(), signal.SIGKILL)
    return _build_plan(codec, writer)


def _meet(value: bytes) -> None:
    if value == HANGS:
        time.sleep(HANG_SECONDS)
    if value.startswith(IS_ENDED_ONCE):
        note = Path(value.removeprefix(IS_ENDED_ONCE).decode())
        if note.exists():
            return
        note.touch()
    if value == ENDS or value.startswith(IS_ENDED_ONCE):
        os.kill(os.getpid(), signal.SIGKILL)
