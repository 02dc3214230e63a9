"""Reads an archive: one event or decision by its id, one key's records over a time, all rows of some days.

Only the table's log says which files count. A lookup by id goes through the files' own indexes (``id_index.py``); one
by key passes by every file whose buckets or append times cannot hold the key's rows, and reads those row groups of the
others that can.

**Cost:** by id, a binary search in each file's index, some 0.1 ms where the files are here; by key, the row groups of
8,192 rows that hold it, one or two in each file of its days.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from weir.archive.by_key import read_keys
from weir.archive.columns import DAY, bucket_of, hash_id
from weir.archive.id_index import find_rows, index_path
from weir.archive.place import Place
from weir.archive.slices import SliceReader
from weir.archive.table import ArchiveTable, find_table
from weir.schemas.errors import Refused

MS_MAX = (1 << 63) - 1
_IN_TIME = ("append_ms", "partition", "offset")
Row = dict[str, Any]
Ends = npt.NDArray[np.int64]
MayHold = Callable[[Ends, Ends], npt.NDArray[np.bool_]]
"""Says of each of some files whether it is read, by its lowest and highest append time, UTC epoch milliseconds."""


class TableReader:
    """Reads one topic's table as it was when it was opened; ``look`` takes what came since."""

    def __init__(self, table: ArchiveTable) -> None:
        """Bind to a table."""
        self._table = table
        self._slices = SliceReader(table.place)

    def look(self) -> None:
        """Take what was committed since.

        Raises:
            Transient: the store cannot be read.
        """
        self._table.look()
        for known in ("files", "schema"):
            self.__dict__.pop(known, None)

    @cached_property
    def files(self) -> pa.Table:
        """Path, day and statistics of each file, newest first."""
        found = pa.table(self._table.delta.get_add_actions(flatten=True))
        return found.sort_by([(f"partition.{DAY}", "descending"), ("max.batch", "descending")])

    def find(self, event_id: str) -> list[Row]:
        """Return every row of an event's id, newest file first: one each of events, features and decisions as a rule.

        Raises:
            Transient: the store cannot be read.
        """
        wanted, found = hash_id(event_id), []
        with self._table.place.errors("read"):
            for path in self.files["path"].to_pylist():
                rows = self._find_in(path, wanted)
                found += [row for row in self._read_rows(path, rows) if row["id"] == event_id] if rows else []
        return found

    def history(
        self, key: bytes, first_ms: int = 0, end_ms: int = MS_MAX, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return a key's rows by append time; see ``histories``."""
        return self.histories([key], first_ms, end_ms, columns)

    def histories(
        self,
        keys: Collection[bytes],
        first_ms: int = 0,
        end_ms: int = MS_MAX,
        columns: Sequence[str] | None = None,
        may_hold: MayHold | None = None,
    ) -> pa.Table:
        """Return the rows of some keys by append time.

        Args:
            keys: as in the records.
            first_ms: append time of the first one that is wanted, UTC epoch milliseconds.
            end_ms: and of the first one that is not.
            columns: only these; None for all.
            may_hold: says of the files which are read, by their lowest and highest append time; None reads all.

        Raises:
            Transient: the store cannot be read.
        """
        own = self._stored()
        names = own.names if columns is None else list(dict.fromkeys([*columns, *_IN_TIME]))
        paths = self._list_between(first_ms, end_ms, {bucket_of(key) for key in keys}, may_hold)
        with self._table.place.errors("read"):
            found = read_keys(self._table.place, paths, keys, pa.schema([own.field(name) for name in names]))
        at = found["append_ms"]
        found = found.filter(pc.and_(pc.greater_equal(at, first_ms), pc.less(at, end_ms)))
        found = found.sort_by([(name, "ascending") for name in _IN_TIME])
        return found if columns is None else found.select(list(columns))

    def keys_of(
        self, column: str, values: Collection[str], first_ms: int = 0, end_ms: int = MS_MAX
    ) -> list[bytes | None]:
        """Return the keys of all rows that have one of some texts in a column; reads that column of every row.

        Raises:
            Transient: the store cannot be read.
        """
        wanted = ds.field(column).isin(pa.array(sorted(values), pa.string()))
        wanted &= (ds.field("append_ms") >= first_ms) & (ds.field("append_ms") < end_ms)
        with self._table.place.errors("read"):
            rows = self._dataset(self._list_between(first_ms, end_ms)).to_table(columns=["key"], filter=wanted)
        found: list[bytes | None] = rows["key"].unique().to_pylist()
        return found

    def find_at(self, offset: int, partition: int | None = None) -> pa.Table:
        """Return the rows at an offset, of one partition or of each.

        Raises:
            Transient: the store cannot be read.
        """
        wanted, files = ds.field("offset") == offset, self.files
        may = pc.and_(pc.less_equal(files["min.offset"], offset), pc.greater_equal(files["max.offset"], offset))
        if partition is not None:
            wanted &= ds.field("partition") == partition
        with self._table.place.errors("read"):
            return self._dataset(files.filter(may)["path"].to_pylist()).to_table(filter=wanted)

    def _list_between(
        self, first_ms: int, end_ms: int, buckets: Collection[int] = (), may_hold: MayHold | None = None
    ) -> list[str]:
        """Return the paths of the files that may hold rows of a range of append times, and of some buckets."""
        files = self.files
        may = pc.and_(pc.less(files["min.append_ms"], end_ms), pc.greater_equal(files["max.append_ms"], first_ms))
        if buckets:
            low, high = files["min.bucket"], files["max.bucket"]
            has = [pc.and_(pc.less_equal(low, each), pc.greater_equal(high, each)) for each in buckets]
            may = pc.and_(may, functools.reduce(pc.or_, has))
        if may_hold is not None:
            lowest, highest = (files[f"{end}.append_ms"].to_numpy() for end in ("min", "max"))
            may = pc.and_(may, pa.array(may_hold(lowest, highest), pa.bool_()))
        found: list[str] = files.filter(may)["path"].to_pylist()
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self._table.schema()

    def scan(
        self, first: date, last: date, columns: Sequence[str] | None = None, wanted: ds.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the days from one to another, both included, in no order; memory is a few batches.

        Args:
            first: day.
            last: day.
            columns: only these; None for all.
            wanted: what a row has to fulfil; None for all.

        Raises:
            Transient: the store cannot be read.
        """
        with self._table.place.errors("read"):
            yield from self._dataset(self._list_paths(first, last)).to_batches(columns=columns, filter=wanted)

    def read_buckets(
        self, first: date, last: date, schema: pa.Schema, buckets: tuple[int, int], rows: slice | None = None
    ) -> pa.Table:
        """Return the rows of the days from one to another whose keys are in a range of buckets, all ends included.

        Args:
            first: day.
            last: day.
            schema: the columns, as ``SliceReader.read`` takes them.
            buckets: the range.
            rows: which of those rows, by their place in the whole; None for all.

        Raises:
            Transient: the store cannot be read.
        """
        with self._table.place.errors("read"):
            return self._slices.read(self._list_paths(first, last), schema, buckets, rows)

    def _list_paths(self, first: date, last: date) -> list[str]:
        days = self.files[f"partition.{DAY}"]
        within = pc.and_(pc.greater_equal(days, first), pc.less_equal(days, last))
        found: list[str] = self.files.filter(within)["path"].to_pylist()
        return found

    def _dataset(self, paths: list[str]) -> ds.Dataset:
        files = ds.ParquetFileFormat()
        return ds.dataset(paths, schema=self._stored(), format=files, filesystem=self._table.place.files)

    def _stored(self) -> pa.Schema:
        """Return the columns of the table's files: the day is in their paths."""
        own = self.schema
        return own.remove(own.get_field_index(DAY))

    def _find_in(self, path: str, wanted: int) -> list[int]:
        files = self._table.place.files
        # where its index is missing or damaged, the file itself is asked
        with suppress(FileNotFoundError, DeltaError, ValueError), files.open_input_file(index_path(path)) as index:
            return find_rows(index.read_buffer(), wanted)
        with files.open_input_file(path) as data:
            hashes = pq.read_table(data, columns=["id_hash"])["id_hash"].to_pylist()
        return [row for row, each in enumerate(hashes) if each == wanted]

    def _read_rows(self, path: str, rows: Sequence[int]) -> Iterator[Row]:
        """Yield rows of a file by their numbers, which ascend; each row group is read once."""
        with self._table.place.files.open_input_file(path) as data:
            parquet, begin = pq.ParquetFile(data), 0
            for group in range(parquet.num_row_groups):
                end = begin + parquet.metadata.row_group(group).num_rows
                inside = [row - begin for row in rows if begin <= row < end]
                if inside:
                    yield from map(_with_day, parquet.read_row_group(group).take(inside).to_pylist())
                begin = end


def _with_day(row: Row) -> Row:
    return row | {DAY: datetime.fromtimestamp(row["append_ms"] / 1_000, UTC).date()}


def open_reader(root: Place, topic: str) -> TableReader:
    """Open the table of a topic for reading.

    Raises:
        Refused: there is none, or one that this version cannot read.
        Transient: the store cannot be read.
    """
    table = find_table(root.below(topic))
    if table is None:
        raise Refused(f"expected the table of topic {topic} in {root.uri}, found none; `weir archive` makes it")
    return TableReader(table)
