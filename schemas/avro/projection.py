"""How one writer's bodies become the reader's columns: planned once per writer schema, applied per batch.

Two paths. *Columns*: pyruhvro decodes straight to Arrow, and the reader's columns are picked, reordered and filled
with nulls or defaults; taken when every field that both know has one type, and the fast decoder has proved on samples
of this very schema that it treats all of them well. *Records*: fastavro resolves record by record; taken for all else
(promotions, unknown enum symbols, aliases, types that the fast decoder does not know), because right is better than
fast there.

Idea of the column path: pyruhvro does not resolve schemas, lets trailing bytes and broken UTF-8 pass, and wraps an
int that is too large. So what it decoded is encoded again and compared with the input. Equal bytes prove the record
sound, as Avro's encoding is a prefix code; unequal ones are only a suspicion, settled by fastavro, since a writer may
use longer varints than it must. Should it fail in any way that is not a refusal, fastavro fills the same columns from
then on: a record that was accepted must be accepted again whenever it is folded again, whichever reader was at work.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from weir.schemas.avro.columns import TYPES_MAX, Bodies, Columns, is_columnar
from weir.schemas.avro.compatibility import find_unreadable, parse_inlined
from weir.schemas.avro.native import NativeFailure, call_native
from weir.schemas.avro.slow_reader import SlowReader, null_field, tabulate, undecodable
from weir.schemas.errors import PoisonRecord

_OUT_OF_RANGE = undecodable("a number outside its type")

Outcome = tuple[pa.RecordBatch, list[tuple[int, PoisonRecord]]]
"""The reader's columns of the good bodies in input order, and position and error of the others."""


@dataclass(frozen=True)
class _Column:
    """Where a reader's column comes from: a column of the writer's, or one constant when it wrote none.

    Attributes:
        may_lack: the writer may write null where the reader wants a value.
    """

    name: str
    type: pa.DataType
    written: bool
    default: Any = None
    may_lack: bool = False


class Projection:
    """Decodes bodies of one writer schema into one reader schema.

    Args:
        reader_json: Avro schema whose columns are wanted.
        writer_json: Avro schema that the bodies were written with.

    Raises:
        ValueError: the writer's schema cannot be parsed, or the reader cannot read it; the message says where.
    """

    def __init__(self, reader_json: str, writer_json: str) -> None:
        reader, writer = parse_inlined(reader_json), parse_inlined(writer_json)
        reason = find_unreadable(reader, writer)
        if reason:
            raise ValueError(reason)
        self._arrow = pyruhvro.avro_to_arrow_schema(reader_json)
        try:
            self._slow = call_native(SlowReader, writer_json, reader_json)
            self._fast = call_native(_build_columns, self._slow, writer)
        except NativeFailure as error:
            raise ValueError(f"expected an Avro schema that resolves, found one that does not: {error}") from None
        self._columns = _plan_columns(reader, writer, self._arrow) if self._fast else None
        self._written: pa.Schema = self._fast.read([]).schema if self._fast else self._arrow

    def decode(self, bodies: Bodies) -> Outcome:
        """Decode bodies; what cannot be decoded is in the errors, each body exactly once in either.

        **Cost:** about 0.6 us a body by columns, 10 us by records, and for each bad body by columns some 300 us more.
        """
        if self._columns is None:
            return self._decode_by_records(bodies)
        if self._fast is not None:
            try:
                return self._decode_by_columns(bodies, self._fast, self._columns)
            except NativeFailure:
                self._fast = None  # not tried again: each failure of a native library may leave something behind
        return self._decode_as_written(bodies, self._columns)

    def _decode_by_columns(self, bodies: Bodies, fast: Columns, columns: tuple[_Column, ...]) -> Outcome:
        refused, accepted = [], bodies
        try:
            batch = fast.read(bodies)
        except ValueError:
            refused = _find_refused(fast, bodies, 0)
            accepted = [bodies[row] for row in np.delete(np.arange(len(bodies)), refused).tolist()]
            batch = call_native(fast.read, accepted)
        errors = [(row, self._explain(bodies[row])) for row in refused]
        rows = np.delete(np.arange(len(bodies)), refused)
        return self._project(batch, columns, rows, self._find_wrong(fast, batch, accepted), errors)

    def _decode_as_written(self, bodies: Bodies, columns: tuple[_Column, ...]) -> Outcome:
        """Do what the fast decoder would, without it."""
        readable, records, errors = _part([self._slow.read_as_written(body) for body in bodies])
        batch, fits = tabulate(records, self._written)
        rows = np.array(readable, np.int64)
        errors += [(row, _OUT_OF_RANGE) for row in rows[~fits].tolist()]
        return self._project(batch, columns, rows[fits], [], errors)

    def _find_wrong(self, fast: Columns, batch: pa.RecordBatch, bodies: Bodies) -> list[tuple[int, PoisonRecord]]:
        """Find what the column decoder read wrongly without saying so: where fastavro does not read the same."""
        suspects = np.flatnonzero(~_equal(fast.write(batch), pa.array(bodies, pa.binary()))).tolist()
        if not suspects:
            return []
        found = [self._slow.read_as_written(bodies[row]) for row in suspects]
        readable, records, errors = _part(found)
        theirs, fits = tabulate(records, batch.schema)
        rows = np.array(suspects)[readable]
        agreed = fits.copy()
        agreed[fits] = _equal(fast.write(batch.take(pa.array(rows[fits]))), fast.write(theirs))
        errors = [(suspects[position], error) for position, error in errors]
        return errors + [(row, _OUT_OF_RANGE) for row in rows[~agreed].tolist()]

    def _explain(self, body: bytes) -> PoisonRecord:
        """Say what is wrong with a body that the column decoder refused."""
        found = self._slow.read_as_written(body)
        return found if isinstance(found, PoisonRecord) else undecodable("an invalid value")

    def _project(
        self,
        batch: pa.RecordBatch,
        columns: tuple[_Column, ...],
        rows: npt.NDArray[np.int64],
        wrong: list[tuple[int, PoisonRecord]],
        errors: list[tuple[int, PoisonRecord]],
    ) -> Outcome:
        """Turn the writer's columns into the reader's.

        Args:
            batch: the writer's columns.
            columns: how each of the reader's is made.
            rows: int64, shape (batch,), which body each row of it was.
            wrong: rows of the batch that were not read as they must be, and their errors.
            errors: bodies that are not in the batch, and their errors.
        """
        found = dict(reversed([*wrong, *_find_lacking(batch, columns)]))  # the first error of each row
        if found:
            batch = batch.take(pa.array(np.delete(np.arange(batch.num_rows), list(found))))
        errors = errors + [(int(rows[row]), error) for row, error in found.items()]
        arrays = [
            batch.column(column.name) if column.written else _constant(column, batch.num_rows) for column in columns
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._arrow), sorted(errors, key=_position)

    def _decode_by_records(self, bodies: Bodies) -> Outcome:
        readable, records, errors = _part([self._slow.read(body) for body in bodies])
        batch, fits = tabulate(records, self._arrow)
        errors += [(row, _OUT_OF_RANGE) for row in np.array(readable, np.int64)[~fits].tolist()]
        return batch, sorted(errors, key=_position)


def _part(
    found: Sequence[dict[str, Any] | PoisonRecord],
) -> tuple[list[int], list[dict[str, Any]], list[tuple[int, PoisonRecord]]]:
    """Part what was read: positions and records of the readable, position and error of the others."""
    readable = [row for row, each in enumerate(found) if not isinstance(each, PoisonRecord)]
    errors = [(row, each) for row, each in enumerate(found) if isinstance(each, PoisonRecord)]
    return readable, [each for each in found if not isinstance(each, PoisonRecord)], errors


def _find_refused(fast: Columns, bodies: Bodies, start: int) -> list[int]:
    """Find what the column decoder refuses: it does not say which, so halve until each stands alone."""
    try:
        fast.read(bodies)
    except ValueError:
        if len(bodies) == 1:
            return [start]
        middle = len(bodies) // 2
        return _find_refused(fast, bodies[:middle], start) + _find_refused(fast, bodies[middle:], start + middle)
    return []


def _find_lacking(batch: pa.RecordBatch, columns: tuple[_Column, ...]) -> list[tuple[int, PoisonRecord]]:
    """Find rows with a null where the reader wants a value; each row once, by its first such field."""
    lacking: dict[int, PoisonRecord] = {}
    for column in columns:
        if column.may_lack and batch.column(column.name).null_count:
            nulls = pc.is_null(batch.column(column.name)).to_numpy(zero_copy_only=False)
            lacking = {row: null_field(column.name) for row in np.flatnonzero(nulls).tolist()} | lacking
    return list(lacking.items())


def _position(located: tuple[int, PoisonRecord]) -> int:
    return located[0]


def _equal(left: pa.BinaryArray, right: pa.BinaryArray) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = pc.equal(left, right).to_numpy(zero_copy_only=False)
    return same


def _constant(column: _Column, rows: int) -> pa.Array:
    return pa.array([column.default] * rows, column.type)


def _build_columns(slow: SlowReader, inlined: Any) -> Columns | None:
    """Return the fast decoder of a schema, or ``None`` where it does not treat the schema well."""
    if slow.extent.types > TYPES_MAX or not is_columnar(inlined):
        return None
    columns = Columns(json.dumps(slow.plain))
    return columns if columns.prove(inlined, slow.writer) else None


def _plan_columns(reader: dict[str, Any], writer: dict[str, Any], arrow: pa.Schema) -> tuple[_Column, ...] | None:
    """Plan the column path, or return ``None`` when some field needs resolution."""
    written = {field["name"]: field["type"] for field in writer["fields"]}
    columns = []
    for field in reader["fields"]:
        name = field["name"]
        if name in written:
            if not _reads_alike(field["type"], written[name]):
                return None
            may_lack = "null" in _branches(written[name]) and "null" not in _branches(field["type"])
            columns.append(_Column(name, arrow.field(name).type, written=True, may_lack=may_lack))
        elif "aliases" in field:
            return None
        else:
            columns.append(_Column(name, arrow.field(name).type, written=False, default=field["default"]))
    return tuple(columns)


def _reads_alike(reader: Any, writer: Any) -> bool:
    """True when a value of the writer's type is, unchanged, one of the reader's, and has the same Arrow type.

    A null does not count: where the reader takes none, those rows are found by ``_find_lacking``.
    """
    if isinstance(reader, list) or isinstance(writer, list):
        (inner,) = [branch for branch in _branches(writer) if branch != "null"]  # no other unions are columnar
        return any(_reads_alike(branch, inner) for branch in _branches(reader) if branch != "null")
    if isinstance(reader, dict) and isinstance(writer, dict) and reader["type"] == writer["type"] == "enum":
        return set(writer["symbols"]) <= set(reader["symbols"])
    return bool(reader == writer)


def _branches(schema: Any) -> list[Any]:
    return schema if isinstance(schema, list) else [schema]
