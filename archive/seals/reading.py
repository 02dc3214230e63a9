"""Reads rows of a table file by file, and only the files that can hold them.

One file after the other in one thread: an error names its file, and no read is under way when it is raised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from weir.archive.place import Place
from weir.archive.table import ArchiveTable

ANY = (1 << 63) - 1
ROWS_AT_ONCE = 16_384
_BATCH = "batch"


def list_files(delta: DeltaTable, column: str, first: int, last: int) -> list[str]:
    """Return the paths of the files in which a column may have a value from one to another, both included."""
    files = pa.table(delta.get_add_actions(flatten=True))
    if f"min.{column}" not in files.schema.names:
        return list(files["path"].to_pylist())
    may = pc.and_(pc.less_equal(files[f"min.{column}"], last), pc.greater_equal(files[f"max.{column}"], first))
    return list(files.filter(pc.fill_null(may, True))["path"].to_pylist())


def group_files(delta: DeltaTable, column: str, paths: Collection[str]) -> Iterator[list[str]]:
    """Yield files in the order of a column's values, those together whose values overlap."""
    files = pa.table(delta.get_add_actions(flatten=True))
    ends = [f"min.{column}", f"max.{column}"]
    if not set(ends) <= set(files.schema.names) or any(files[each].null_count for each in ends):
        yield [*paths]
        return
    found = zip(*(files[each].to_pylist() for each in (*ends, "path")), strict=True)
    group: list[str] = []
    newest = 0
    for first, last, path in sorted(file for file in found if file[2] in paths):
        if group and first > newest:
            yield group
            group = []
        group.append(path)
        newest = max(newest, last)
    yield group


def read_file(place: Place, path: str, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield columns of the rows of a file; all of them for None.

    Raises:
        OSError, ArrowException, DeltaError: it cannot be read.
    """
    with place.files.open_input_file(path) as data:
        try:
            yield from pq.ParquetFile(data).iter_batches(
                ROWS_AT_ONCE, columns=None if columns is None else list(columns), use_threads=False
            )
        except UnicodeDecodeError as error:
            raise pa.ArrowInvalid(f"{path}: a name is no text: {error}") from None


def read_batches(table: ArchiveTable, first: int, last: int, columns: Sequence[str]) -> pa.Table:
    """Return columns of the rows of batches from one to another, both included, in no order.

    A file from before a column was declared has null in it.

    Raises:
        OSError, ArrowException, DeltaError: a file cannot be read.
    """
    wanted = list(dict.fromkeys([*columns, _BATCH]))
    parts = [
        part.filter(pc.and_(pc.greater_equal(part.column(_BATCH), first), pc.less_equal(part.column(_BATCH), last)))
        for path in list_files(table.delta, _BATCH, first, last)
        for part in read_file(table.place, path, wanted)
    ]
    schema = pa.schema([table.schema().field(name) for name in wanted])
    return pa.Table.from_batches([_fit(part, schema) for part in parts], schema)


def _fit(part: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = set(part.schema.names)
    columns = [
        part.column(each.name).cast(each.type) if each.name in names else pa.nulls(len(part), each.type)
        for each in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
