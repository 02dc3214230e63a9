"""Checks that the columns which were read from a record's bytes are still what the bytes say.

A row's leaf is of its bytes. Who changes a decoded column alone changes no leaf, but whatever reads the column. So each
row is made again from its bytes, by the schemas that are kept, and compared. A column that is null is no finding: rows
from before a field was declared have null there. Nor is a row that cannot be decoded here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from weir.archive.columns import decoded_columns
from weir.archive.objects import Objects
from weir.archive.records import lookup_of
from weir.archive.rows import Raw, RowMaker
from weir.archive.run import Followed
from weir.archive.seals.findings import MISREAD, UNREADABLE, Finding, name_row
from weir.archive.seals.reading import ANY, list_files, read_file
from weir.archive.table import ArchiveTable
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.avro.framing import frame_by_header
from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.letter import UNDECODED

_UNCHECKED = frozenset(
    {"undecoded", "salt", "leaf", "batch", "day", "partition", "offset", "append_ms", "key", "value", "headers"}
)
"""Columns that the leaf or the path of the file stands for, and one of which the bytes alone say nothing."""


def check_columns(table: ArchiveTable, followed: Followed, objects: Objects, since_ms: int) -> Iterator[Finding]:
    """Yield the rows of a table whose columns are not what their bytes say.

    Args:
        table: of the archive.
        followed: its topic, as it is declared here.
        objects: of the archive.
        since_ms: append time from which on files are read; 0 reads all.
    """
    maker, is_decoded = _build_maker(table, followed, objects), bool(followed.schema)
    for path in list_files(table.delta, "append_ms", since_ms, ANY):
        try:
            for rows in read_file(table.place, path, None):
                for partition, offset in _find_changed(rows, maker, is_decoded=is_decoded):
                    yield Finding(MISREAD, name_row(followed.topic, partition, offset))
        except (OSError, pa.ArrowException, DeltaError):
            # the check of rows named it too, unless what is damaged is none of what it reads
            yield Finding(UNREADABLE, f"{followed.topic}/{path}")


def _build_maker(table: ArchiveTable, followed: Followed, objects: Objects) -> RowMaker:
    if not followed.schema:
        return RowMaker(followed.topic, {}, None, followed.id_field, bytes)
    codec, own, schema_of = BatchCodec(schema=followed.schema), table.schema(), lookup_of(objects, followed.topic)
    declared = decoded_columns(codec.arrow_schema)
    columns = {name: own.field(column.name) for name, column in declared.items() if column.name in own.names}
    return RowMaker(followed.topic, columns, lambda values: codec.decode(values, schema_of), followed.id_field, bytes)


def _find_changed(rows: pa.RecordBatch, maker: RowMaker, *, is_decoded: bool) -> Iterator[tuple[int, int]]:
    rows = rows.filter(pc.and_(rows.column("salt").is_valid(), rows.column("headers").is_valid()))
    made = maker.make(_to_raw(rows))
    wrong = np.zeros(len(rows), np.bool_)
    for name in made.schema.names:
        if name not in _UNCHECKED and name in rows.schema.names:
            wrong |= _differs(rows.column(name), made.column(name))
    if is_decoded:
        wrong &= made.column("id").is_valid().to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(wrong).tolist():
        yield rows.column("partition")[place].as_py(), rows.column("offset")[place].as_py()


def _to_raw(rows: pa.RecordBatch) -> Raw:
    numbers = [rows.column(name).to_pylist() for name in ("partition", "offset", "append_ms")]
    keys, values = rows.column("key").to_pylist(), rows.column("value").to_pylist()
    headers = [[(each["name"], each["value"]) for each in some or []] for some in rows.column("headers").to_pylist()]
    reasons = rows.column("undecoded").to_pylist() if "undecoded" in rows.schema.names else [None] * len(rows)
    found = [frame_by_header(value, some, _unknown) for value, some in zip(values, headers, strict=True)]
    # a record that ended a decoder would end this process too
    framed = [
        None if isinstance(each, PoisonRecord) or reason in UNDECODED else each
        for each, reason in zip(found, reasons, strict=True)
    ]
    return Raw(numbers[0], numbers[1], numbers[2], keys, values, headers, framed)


def _unknown(_: object) -> PoisonRecord:
    return PoisonRecord("unknown_schema_id", "expected a schema's id, found a GUID, which the registry alone knows")


def _differs(stored: pa.Array, made: pa.Array) -> npt.NDArray[np.bool_]:
    """Return per row whether a value that is there is another than the one that is made."""
    if pa.types.is_nested(stored.type):
        pairs = zip(stored.to_pylist(), made.to_pylist(), strict=True)
        return np.array([was is not None and was != now for was, now in pairs], np.bool_)
    same = pc.fill_null(pc.equal(stored, made), False)
    if pa.types.is_floating(stored.type):
        same = pc.or_(same, pc.fill_null(pc.and_(pc.is_nan(stored), pc.is_nan(made)), False))
    different: npt.NDArray[np.bool_] = pc.and_(stored.is_valid(), pc.invert(same)).to_numpy(zero_copy_only=False)
    return different
