"""Reads the rows of a range of key buckets, column by column, out of files whose rows are sorted by bucket.

Row groups that can have none of the range are passed by, and of the others the range is a slice: only the groups at its
ends have their rows looked at, and no row is copied. A column of which a file's statistics say that every row has one
value is not read.

**Cost:** the columns of the row groups that overlap the range; of a file that is read in parts the footer is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from weir.archive.place import Place

_BUCKET = "bucket"
Groups = npt.NDArray[np.int64]
_OPEN_MAX = 64
"""Files that stay open for the next part: a day that is joined has a few."""


@dataclass(frozen=True)
class _File:
    """An open file.

    Attributes:
        low: the lowest bucket of each row group.
        high: the highest one.
        columns: that it has.
        constants: of the columns that were looked at, the one value of all rows, or None for several.
    """

    parquet: pq.ParquetFile
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    columns: frozenset[str]
    constants: dict[str, pa.Scalar | None] = field(default_factory=dict)

    def find_constants(self, schema: pa.Schema) -> dict[str, pa.Scalar]:
        """Return the one value of each column that has one."""
        for each in schema:
            if each.name not in self.constants:
                self.constants[each.name] = _find_constant(self.parquet.metadata, each)
        return {name: value for name in schema.names if (value := self.constants[name]) is not None}

    def find_within(self, groups: Groups, buckets: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return which rows of some row groups are of a range; only groups that reach beyond it are looked at."""
        beyond = (self.low[groups] < buckets[0]) | (self.high[groups] > buckets[1])
        counts = self._count(groups)
        kept = np.ones(sum(counts), np.bool_)
        if beyond.any():
            of = self.parquet.read_row_groups(groups[beyond].tolist(), columns=[_BUCKET])[_BUCKET].to_numpy()
            kept[np.repeat(beyond, counts)] = (of >= buckets[0]) & (of <= buckets[1])
        return kept

    def leave_out(self, groups: Groups, kept: npt.NDArray[np.bool_]) -> tuple[Groups, npt.NDArray[np.bool_]]:
        """Return the row groups of which any row is kept, and which of their rows are."""
        of = np.repeat(np.arange(len(groups)), self._count(groups))
        used = np.unique(of[kept])
        return groups[used], kept[np.isin(of, used)]

    def _count(self, groups: Groups) -> list[int]:
        return [self.parquet.metadata.row_group(group).num_rows for group in groups.tolist()]


class SliceReader:
    """Reads some files of one table, for one thread at a time; those that were read last stay open."""

    def __init__(self, place: Place) -> None:
        """Bind to the table's folder."""
        self._place = place
        self._open: dict[tuple[str, tuple[str, ...]], _File] = {}
        self._lock = Lock()

    def read(
        self, paths: Sequence[str], schema: pa.Schema, buckets: tuple[int, int], rows: slice | None = None
    ) -> pa.Table:
        """Return the rows of a range of buckets, both included, in the order of the files and of their rows.

        Args:
            paths: of the files.
            schema: the columns that are read; texts whose type is a dictionary are made once for each text.
            buckets: the range.
            rows: which of those rows, by their place in the whole; None for all.
        """
        texts = tuple(each.name for each in schema if pa.types.is_dictionary(each.type))
        wanted = [(path, texts) for path in paths]
        with self._lock:
            self._open = {each: file for each, file in self._open.items() if each in wanted}
            tables = [table for each in self._find(wanted, buckets, rows) for table in _read(*each, schema)]
        return pa.concat_tables(tables or [schema.empty_table()])

    def _find(
        self, wanted: Sequence[tuple[str, tuple[str, ...]]], buckets: tuple[int, int], rows: slice | None
    ) -> Iterator[tuple[_File, Groups, npt.NDArray[np.bool_]]]:
        """Yield the row groups of each file that are read, and which of their rows are wanted."""
        before = 0
        for each in wanted:
            file = self._open.get(each) or self._open_file(*each)
            groups = np.flatnonzero((file.low <= buckets[1]) & (file.high >= buckets[0]))
            kept = file.find_within(groups, buckets)
            if rows is not None:
                places = np.flatnonzero(kept)
                kept = np.zeros_like(kept)
                kept[places[max(0, rows.start - before) : max(0, rows.stop - before)]] = True
                before += len(places)
                groups, kept = file.leave_out(groups, kept)
            yield file, groups, kept

    def _open_file(self, path: str, texts: tuple[str, ...]) -> _File:
        source = self._place.files.open_input_file(path)
        metadata = pq.read_metadata(source)
        there = set(metadata.schema.names)  # an older file may lack a text, and none is made of it then
        parquet = pq.ParquetFile(
            source,
            metadata=metadata,
            read_dictionary=[text for text in texts if text in there],
            pre_buffer=self._place.is_remote,  # of a file that is here it is only work
        )
        place = next(at for at, column in enumerate(parquet.schema) if column.path == _BUCKET)
        groups = (parquet.metadata.row_group(number) for number in range(parquet.num_row_groups))
        ends = [(each.min, each.max) for each in (group.column(place).statistics for group in groups)]
        low, high = np.array(ends, np.int64).reshape(-1, 2).T
        file = _File(parquet, low, high, frozenset(parquet.schema_arrow.names))
        if len(self._open) < _OPEN_MAX:
            self._open[path, texts] = file
        return file


def _read(file: _File, groups: Groups, kept: npt.NDArray[np.bool_], schema: pa.Schema) -> Iterator[pa.Table]:
    if len(groups):
        constants = file.find_constants(schema)
        names = file.columns - constants.keys()
        rows = file.parquet.read_row_groups(groups.tolist(), columns=[name for name in schema.names if name in names])
        yield complete(_pick(rows, kept), schema, constants)


def _pick(rows: pa.Table, kept: npt.NDArray[np.bool_]) -> pa.Table:
    first, count = int(kept.argmax()), int(kept.sum())
    return rows.slice(first, count) if kept[first : first + count].all() else rows.filter(pa.array(kept))


def _find_constant(metadata: pq.FileMetaData, wanted: pa.Field) -> pa.Scalar | None:
    """Return the one value that a text or a whole number has in all rows, or the null that any column has."""
    place = next((at for at in range(metadata.num_columns) if metadata.schema.column(at).path == wanted.name), None)
    if place is None:
        return None
    found: set[Any] = set()
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(place)
        counted = chunk.statistics
        if counted is None or not counted.has_null_count or counted.null_count not in {0, chunk.num_values}:
            return None
        if counted.null_count:
            found.add(None)
        elif counted.has_min_max and counted.min == counted.max and _is_exact(wanted.type):
            found.add(counted.min)
        else:
            return None
        if len(found) > 1:
            return None
    return pa.array([*found], wanted.type)[0] if found else None


def _is_exact(kind: pa.DataType) -> bool:
    """Return whether statistics see every value: of numbers with a fraction they do not see those that are none."""
    return bool(pa.types.is_dictionary(kind) or pa.types.is_integer(kind))


def complete(rows: pa.Table, schema: pa.Schema, constants: Mapping[str, pa.Scalar] | None = None) -> pa.Table:
    """Return columns as a schema has them: what was not read is constant, or null where an older file lacks it."""
    columns, known, count = dict(zip(rows.column_names, rows.columns, strict=True)), constants or {}, len(rows)
    for each in schema:
        if each.name not in columns:
            columns[each.name] = _fill(known.get(each.name), each.type, count)
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _fill(value: pa.Scalar | None, kind: pa.DataType, rows: int) -> pa.Array:
    return pa.repeat(value, rows) if value is not None and value.is_valid else pa.nulls(rows, kind)


def to_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; it is copied only where it is in several pieces."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def with_dictionaries(schema: pa.Schema, columns: Iterable[str]) -> pa.Schema:
    """Return some columns of a table, texts as dictionaries."""
    fields = [schema.field(name) for name in columns]
    kind = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([field.with_type(kind) if pa.types.is_string(field.type) else field for field in fields])
