"""``replay``: what a stream makes of a few records, for tests of a declaration: no server, no topic.

The records go the way that they go in production: written in Avro by the stream's own schema and read back, checked,
told apart from duplicates, and computed by the same kernel, as one input partition sees them in this order. What each
came to is in the order of the records.

**Cost:** the kernel is compiled at the first call, half a minute once for streams of one shape, and kept for the next
process; then milliseconds.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import fastavro
import numpy as np
import pyarrow as pa

from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.framing import MAGIC_BYTE
from weir.schemas.checks.expression_types import nearest
from weir.schemas.contracts import event_schemas, label_schemas
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.project import load_file
from weir.schemas.records.validation import validate_events, validate_labels
from weir.schemas.stream import Stream
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.core.backfill import backfill
from weir.streaming.core.columns import read_integers
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.layout import COUNTED, DUPLICATE

Rows: TypeAlias = "Sequence[Mapping[str, Any]] | pa.Table"

APPEND_TIME: Final = "append_time_ms"
"""A row may have it next to the fields of the schema: when the broker appended it; its own time by default."""
_KERNELS_MAX: Final = 8
_SCHEMA_ID: Final = 1


@dataclass(frozen=True)
class Replayed:
    """What one record came to.

    Attributes:
        features: by name, ``None`` for a missing one; nothing for a record that is a dead letter.
        reason: of the dead letter; ``""`` for a record that counts.
        message: what the dead letter says was expected and found.
        late: older than the look-back: it has features, and counts in no window.
    """

    features: Mapping[str, float | None]
    reason: str = ""
    message: str = ""
    late: bool = False


def load_stream(path: str | Path) -> Stream:
    """Load the stream of a file.

    Raises:
        Refused: it has faults, or not one stream; each fault is a line.
    """
    loaded, findings = load_file(Path(path).absolute())
    if findings:
        raise Refused("\n".join(map(str, findings)))
    if len(loaded) != 1:
        raise Refused(f"expected one stream in {path}, found {', '.join(each.stream.name for each in loaded)}")
    return loaded[0].stream


def replay(stream: Stream, rows: Rows, *, labels: Rows = ()) -> list[Replayed]:
    """Compute what records of a stream come to.

    Args:
        stream: the declarations.
        rows: the records in the order of the log: dicts by field, or an Arrow table. A field that is left out has the
            default of the schema.
        labels: what became known of them, in any order; a record sees those that were known by its time.

    Returns:
        What each row came to, in order.

    Raises:
        ValueError: a row is none of the schema; a label is bad.
        Refused: the stream cannot be computed.
    """
    records = _as_dicts(rows)
    batch, kept, dead = _read_events(stream, records)
    told = _read_labels(stream, _as_dicts(labels))
    outcomes = {row: Replayed({}, error.reason, str(error)) for row, error in dead.items()}
    steps = backfill(_build_kernel(stream), [batch], told, placeholders=BUILT_IN)
    computed = [each for _, step in steps for each in zip(step.verdicts, step.late, step.features, strict=True)]
    for row, (verdict, late, features) in zip(kept, computed, strict=True):
        outcomes[row] = _describe(stream, int(verdict), bool(late), features)
    return [outcomes[row] for row in range(len(records))]


@lru_cache(_KERNELS_MAX)
def _build_kernel(stream: Stream) -> Kernel:
    kernel = Kernel(stream)
    compile_kernel(kernel, tell_on_stderr)
    return kernel


def _as_dicts(rows: Rows) -> list[Mapping[str, Any]]:
    return rows.to_pylist() if isinstance(rows, pa.Table) else list(rows)


def _read_events(
    stream: Stream, records: list[Mapping[str, Any]]
) -> tuple[pa.RecordBatch, list[int], dict[int, PoisonRecord]]:
    """Return the good records, which rows they are, and the errors of the others."""
    bare = [{name: value for name, value in record.items() if name != APPEND_TIME} for record in records]
    batch, rows, dead = _through_avro(event_schemas(stream)[-1], stream.schema, "rows", bare)
    keys = [str(records[row].get(stream.key.field)).encode() for row in rows]
    own_times = read_integers(batch, stream.time).tolist()
    append = [records[row].get(APPEND_TIME, time) for row, time in zip(rows, own_times, strict=True)]
    times = np.array(append, np.int64)
    bad = dict(validate_events(stream, batch, keys=keys, append_time_ms=times, placeholders=BUILT_IN))
    good = [index not in bad for index in range(len(rows))]
    dead |= {rows[index]: error for index, error in bad.items()}
    batch = batch.append_column(APPEND_TIME, pa.array(times)).filter(pa.array(good, pa.bool_()))
    return batch, [row for row, is_good in zip(rows, good, strict=True) if is_good], dead


def _read_labels(stream: Stream, labels: list[Mapping[str, Any]]) -> pa.Table | None:
    if not labels:
        return None
    if stream.labels is None:
        raise ValueError(f"expected no labels for {stream.name}, which declares none, found {len(labels)}")
    batch, rows, dead = _through_avro(label_schemas(stream)[-1], stream.labels.schema, "labels", labels)
    keys = [str(labels[row].get(stream.key.field)).encode() for row in rows]
    both = [read_integers(batch, name) for name in (stream.time, stream.labels.time)]
    dead |= dict(validate_labels(stream, batch, keys=keys, append_time_ms=np.maximum(*both), placeholders=BUILT_IN))
    for row, error in sorted(dead.items()):
        raise ValueError(f"labels[{row}]: {error}")
    return pa.Table.from_batches([batch])


def _through_avro(
    schema_json: str, name: str, what: str, records: Iterable[Mapping[str, Any]]
) -> tuple[pa.RecordBatch, list[int], dict[int, PoisonRecord]]:
    """Write records as a producer does and read them as a processor does."""
    schema = json.loads(schema_json)
    parsed = fastavro.parse_schema(schema)
    fields = [field["name"] for field in schema["fields"]]
    values = [_write(parsed, fields, record, f"{what}[{row}]", name) for row, record in enumerate(records)]
    decoded = BatchCodec(schema=schema_json).decode(values, lambda _: WriterSchema(_SCHEMA_ID, True, schema_json))
    return decoded.batch, decoded.rows.tolist(), dict(decoded.errors)


def _write(parsed: Any, fields: Sequence[str], record: Mapping[str, Any], where: str, schema: str) -> bytes:
    for name in record:
        if name not in fields:
            raise ValueError(f"{where}: expected a field of {schema}, found {name!r}{nearest(name, fields)}")
    body = io.BytesIO()
    try:
        fastavro.schemaless_writer(body, parsed, dict(record), strict_allow_default=True)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{where}: expected a record of {schema}, found: {error}") from error
    return bytes([MAGIC_BYTE]) + _SCHEMA_ID.to_bytes(4, "big") + body.getvalue()


def _describe(stream: Stream, verdict: int, late: bool, features: Any) -> Replayed:
    if verdict == COUNTED:
        values = (None if math.isnan(value) else value for value in features.tolist())
        return Replayed(dict(zip(stream.feature_names, values, strict=True)), late=late)
    if verdict == DUPLICATE:
        return Replayed({}, "duplicate", f"expected each {stream.event} once, found it again")
    return Replayed({}, "id_reused", f"expected a new {stream.id}, found one used before with another body")
