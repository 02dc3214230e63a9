"""From a request to the record that is published: checked as the processor checks it, encoded as every producer does.

What would become a dead letter is refused here, before it is published, by the same rules. One is left to the stream:
an event from the near future is judged by the broker's time, which no request knows.

One record at a time, so without columns: the checks that say yes or no are of a row, and fastavro writes the bytes that
the column encoder of other producers writes. Tests hold both to their twins.

**Cost:** some 40 us an event; what is wrong with one that is refused costs a millisecond more.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa

from weir.inference.api.request import BadRequest, FieldError
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.avro.framing import HEADER_BYTES, MAGIC_BYTE
from weir.schemas.contracts import event_schemas
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.one_row import RowPlan
from weir.schemas.records.validation import QUOTE_NOTHING, validate_events
from weir.schemas.stream import Stream

CLOCK_OFF_MS_MAX = 24 * 60 * 60 * 1_000
"""A clock that is further off the broker's is noticed by other means; a time further ahead is refused here."""


@dataclass(frozen=True)
class EventRecord:
    """What is published; ``event_id`` is the event's own."""

    event_id: str
    key: bytes
    value: bytes


class EventEncoder:
    """Turns parsed requests of one stream into records."""

    def __init__(self, stream: Stream, placeholders: Placeholders, schema_id: Callable[[], int]) -> None:
        """Bind to a stream.

        Args:
            stream: whose events they are.
            placeholders: ids that name nobody in this deployment.
            schema_id: the registry's id of the newest schema of its events; may raise ``Transient``.
        """
        self._stream = stream
        self._placeholders = placeholders
        self._plan = RowPlan(stream, placeholders)
        self._ask_schema_id = schema_id
        self._schema_id: int | None = None
        schema = event_schemas(stream)[-1]
        self._avro = fastavro.parse_schema(json.loads(schema))
        self._columns: pa.Schema = BatchCodec(schema=schema).arrow_schema

    @property
    def is_ready(self) -> bool:
        """Whether ``encode`` asks nobody."""
        return self._schema_id is not None

    def prepare(self) -> int:
        """Ask for the schema's id, once; may block.

        Raises:
            Transient: the registry is unreachable.
        """
        if self._schema_id is None:
            self._schema_id = self._ask_schema_id()
        return self._schema_id

    def encode(self, event: dict[str, Any], *, now_ms: int) -> EventRecord:
        """Return the record of an event.

        Args:
            event: a value per field of the contract, from ``parse_event``.
            now_ms: stands for the broker's append time, UTC epoch ms.

        Raises:
            BadRequest: a value is wrong; the field is named and the value is not.
            Transient: the registry is unreachable.
        """
        key = str(event[self._stream.key.field]).encode()
        # as if appended at its own time: our clock is not the one that tells what is from the future
        append_ms = max(now_ms, min(int(event[self._stream.time]), now_ms + CLOCK_OFF_MS_MAX))
        if not self._plan.passes(self._plan.derive(event), append_time_ms=append_ms):
            self._refuse(event, key, append_ms)
        value = io.BytesIO()
        value.write(MAGIC_BYTE.to_bytes(1, "big") + self.prepare().to_bytes(HEADER_BYTES - 1, "big"))
        fastavro.schemaless_writer(value, self._avro, event)
        return EventRecord(str(event[self._stream.id]), key, value.getvalue())

    def _refuse(self, event: dict[str, Any], key: bytes, append_ms: int) -> None:
        """Say what is wrong with an event, as the processor says it.

        Raises:
            BadRequest: always, but for a bug of one of the two checks: the stream is then left to judge.
        """
        columns = [pa.array([event[field.name]], field.type) for field in self._columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._columns)
        append = np.array([append_ms], dtype=np.int64)
        for _, error in validate_events(
            self._stream, batch, keys=[key], append_time_ms=append, placeholders=self._placeholders
        ):
            said = describe(error.reason, str(error), error.hint)
            raise BadRequest([FieldError(error.field or "$", said)])


def describe(reason: str, message: str, hint: str = "") -> str:
    """Say what was expected: a dead letter quotes what was found, an answer never repeats a value.

    >>> describe("amount_out_of_range", "expected amount_minor >= 0, found -12 at $.amount_minor; sent to DLQ")
    'expected amount_minor >= 0'
    """
    expected = message if reason in QUOTE_NOTHING else message.partition(", found ")[0]
    return f"{expected}; {hint}" if hint and not expected.endswith(hint) else expected
