"""Batches of framed Avro values to Arrow and back: every value is either a row or an error, never neither.

Values of several writer schemas may be mixed in one batch: each schema's values are decoded together and put back
into input order. Pure: which schema an id stands for is asked of the caller, who may ask the registry.
How one writer's bodies become the reader's columns is in ``schemas/avro/projection.py``.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyruhvro

from weir.schemas.avro.columns import is_columnar
from weir.schemas.avro.compatibility import parse_inlined, parse_plain
from weir.schemas.avro.framing import HEADER_BYTES, frame_bodies, parse_frames
from weir.schemas.avro.projection import Projection
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord

PLANS_MAX, PLANS_BYTES_MAX = 256, 16 << 20
"""Writer schemas whose plan is kept per codec, and their text; a topic has a handful, of kilobytes."""


@dataclass(frozen=True)
class WriterSchema:
    """A schema as the registry has it.

    Attributes:
        schema_id: the registry's id.
        subject_ok: the id is registered under the topic's own subject.
        schema: Avro schema as JSON text.
    """

    schema_id: int
    subject_ok: bool
    schema: str


SchemaLookup = Callable[[int], WriterSchema | PoisonRecord]


@dataclass
class Decoded:
    """The outcome of a batch of values; each value is in ``rows`` or in ``errors``, once.

    Attributes:
        batch: the reader's columns, good rows only, in input order.
        rows: int64, shape (good,), the input position of each row of ``batch``, ascending.
        errors: input position and error of every other value, ascending.
        schema_ids: int64, shape (good,), the writer's schema id of each row of ``batch``.
    """

    batch: pa.RecordBatch
    rows: npt.NDArray[np.int64]
    errors: list[tuple[int, PoisonRecord]]
    schema_ids: npt.NDArray[np.int64]


class BatchCodec:
    """Decodes and encodes one kind of record, by its newest local schema.

    Args:
        kind: one of ``contracts.TOPIC_KINDS``, of the payments.
        schema: the newest schema of a kind of any stream, instead.
    """

    def __init__(self, kind: str = "", *, schema: str = "") -> None:
        # a time, a date or a UUID is read as the number or text beneath it, as it is of a writer
        self._reader_json = json.dumps(parse_plain(schema or schema_json(kind)))
        self._is_columnar = is_columnar(parse_inlined(self._reader_json))
        self._plans: OrderedDict[str, Projection | PoisonRecord] = OrderedDict()
        self._plans_bytes = 0
        self.arrow_schema: pa.Schema = pyruhvro.avro_to_arrow_schema(self._reader_json)
        self._required = [at for at, field in enumerate(self.arrow_schema) if not field.nullable]

    def decode(self, values: Sequence[bytes | None], schema_of: SchemaLookup) -> Decoded:
        """Decode framed values.

        Args:
            values: record values as they stood in the log; ``None`` for a null value.
            schema_of: the writer's schema of an id, or why there is none; called once per distinct id.

        Raises:
            Transient: whatever ``schema_of`` raises; nothing is decided then.
        """
        frames = parse_frames(values)
        errors = list(frames.errors)
        parts: list[tuple[pa.RecordBatch, npt.NDArray[np.int64], int]] = []
        for schema_id in np.unique(frames.schema_ids).tolist():
            rows = frames.rows[frames.schema_ids == schema_id]
            plan = self._plan(schema_of(schema_id))
            if isinstance(plan, PoisonRecord):
                errors.extend((row, plan) for row in rows.tolist())
                continue
            batch, bad = plan.decode([values[row][HEADER_BYTES:] for row in rows.tolist()])
            errors.extend((int(rows[position]), error) for position, error in bad)
            parts.append((batch, np.delete(rows, [position for position, _ in bad]), schema_id))
        errors.sort(key=lambda each: each[0])
        return self._join(parts, errors)

    def encode(self, batch: pa.RecordBatch, schema_id: int) -> list[bytes]:
        """Encode rows as framed values, in order.

        Args:
            batch: the columns of ``arrow_schema``, in any order, without nulls where it has none.
            schema_id: what the registry calls this codec's newest schema.

        Raises:
            ValueError: a column is missing, of another type, or null where it must not be; an unknown enum symbol.
        """
        ordered = batch.select(self.arrow_schema.names) if batch.schema.names != self.arrow_schema.names else batch
        self._check_columns(ordered)
        fast, slow = pyruhvro.serialize_record_batch, self._write
        bodies = fast(ordered, self._reader_json, 1) if self._is_columnar else [slow(ordered)]
        return [value for array in bodies for value in frame_bodies(array, schema_id)]

    def _write(self, batch: pa.RecordBatch) -> pa.BinaryArray:
        """Write rows one by one, for types that the fast encoder ends the process on, such as bytes."""
        schema = fastavro.parse_schema(json.loads(self._reader_json), named_schemas={})
        bodies = []
        for row in batch.to_pylist():
            stream = io.BytesIO()
            fastavro.schemaless_writer(stream, schema, row)
            bodies.append(stream.getvalue())
        return pa.array(bodies, pa.binary())

    def _check_columns(self, batch: pa.RecordBatch) -> None:
        """Refuse what pyruhvro would write as something else: a null in a plain string becomes an empty one."""
        if not batch.schema.equals(self.arrow_schema):
            for field, column in zip(self.arrow_schema, batch.columns, strict=True):
                if column.type != field.type:
                    raise ValueError(f"expected {field.type} in {field.name}, found {column.type}; a bug of the caller")
        for at in self._required:
            column = batch.column(at)
            if column.null_count or _has_null_items(column):
                name = self.arrow_schema.names[at]
                raise ValueError(f"expected no null in {name}, found one; a bug of the caller")

    def _plan(self, writer: WriterSchema | PoisonRecord) -> Projection | PoisonRecord:
        if isinstance(writer, PoisonRecord):
            return writer
        if not writer.subject_ok:
            message = f"expected a schema of this topic's subject, found id {writer.schema_id} of another at $[1:5]"
            return PoisonRecord("foreign_schema_id", message)
        plan = self._plans.get(writer.schema)
        if plan is None:
            plan = self._plans[writer.schema] = self._build_plan(writer)
            self._plans_bytes += len(writer.schema)
        self._plans.move_to_end(writer.schema)
        while len(self._plans) > PLANS_MAX or (self._plans_bytes > PLANS_BYTES_MAX and len(self._plans) > 1):
            text, _ = self._plans.popitem(last=False)
            self._plans_bytes -= len(text)
        return plan

    def _build_plan(self, writer: WriterSchema) -> Projection | PoisonRecord:
        try:
            return Projection(self._reader_json, writer.schema)
        except ValueError as error:
            message = f"expected a writer's schema that can be read, found id {writer.schema_id}: {error}"
            return PoisonRecord("incompatible_schema", message)

    def _join(
        self, parts: list[tuple[pa.RecordBatch, npt.NDArray[np.int64], int]], errors: list[tuple[int, PoisonRecord]]
    ) -> Decoded:
        if not parts:
            none = np.empty(0, np.int64)
            return Decoded(pa.RecordBatch.from_pylist([], schema=self.arrow_schema), none, errors, none)
        rows = np.concatenate([part[1] for part in parts])
        schema_ids = np.concatenate([np.full(len(part[1]), part[2], np.int64) for part in parts])
        if len(parts) == 1:
            return Decoded(parts[0][0], rows, errors, schema_ids)
        order = np.argsort(rows, kind="stable")
        batch = pa.concat_batches([part[0] for part in parts]).take(pa.array(order))
        return Decoded(batch, rows[order], errors, schema_ids[order])


def _has_null_items(column: pa.Array) -> bool:
    """True when a list holds a null, at any depth; Avro's arrays here never do."""
    if pa.types.is_list(column.type):
        items = column.flatten()
        return bool(items.null_count) or _has_null_items(items)
    if pa.types.is_struct(column.type):
        return any(bool(child.null_count) or _has_null_items(child) for child in column.flatten())
    return False
