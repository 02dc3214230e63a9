"""The rows of decisions by the few columns that they are searched by, in blocks; those of the newest blocks are kept.

A block is one large file, or the small files of some 64 commits that follow one another: to open a file takes as long
as to look through a hundred thousand rows in memory, and the open day has a file for each commit. A block that got more
files is read on from where it was; one whose files were joined or erased from is read again.

**Cost:** some 90 bytes a row that is kept, 40 more where a request published its event, and at most ``ROWS_KEPT_MAX``
of them, the newest ones.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from weir.archive.place import Place
from weir.archive.slices import complete

ROWS_KEPT_MAX: Final = 1_000_000
"""Some 90 MB, and up to 40 more of the ids of requests."""
SMALL_ROWS: Final = 8_192
"""A file of fewer is read together with others."""
COMMITS: Final = 64
"""Small files of one block: half an hour of commits, which are opened within a tenth of a second."""
FILE, ROW = "file", "row"
"""Columns that say where a row is: the place of its file among the block's paths, and its number in the file."""


@dataclass(frozen=True)
class Block:
    """Some files, without their rows.

    Attributes:
        paths: of the files, in the order of their commits.
        oldest_ms: append time of the oldest row.
        newest_ms: and of the newest one.
        buckets: the lowest and the highest one of a key.
    """

    name: tuple[Any, ...]
    paths: tuple[str, ...]
    rows: int
    oldest_ms: int
    newest_ms: int
    buckets: tuple[int, int]


def list_blocks(files: pa.Table) -> list[Block]:
    """Return the files of a table as blocks, that with the newest row first.

    Args:
        files: as ``ArchiveTable.list_files`` returns them.
    """
    names = ("path", "partition.day", "num_records", "min.batch", *(f"{end}.{of}" for of in _OF for end in _ENDS))
    rows = sorted(zip(*(files[name].to_pylist() for name in names), strict=True), key=_name)
    return sorted(
        (_build(name, [*same]) for name, same in groupby(rows, _name)), key=lambda each: each.newest_ms, reverse=True
    )


_ENDS, _OF = ("min", "max"), ("append_ms", "bucket")


def _name(row: Sequence[Any]) -> tuple[Any, ...]:
    path, day, rows, batch = row[:4]
    return (str(day), batch // COMMITS, "") if rows < SMALL_ROWS else (str(day), batch // COMMITS, path)


def _build(name: tuple[Any, ...], files: list[tuple[Any, ...]]) -> Block:
    paths, _, rows, _, oldest, newest, low, high = zip(*sorted(files), strict=True)
    return Block(name, paths, sum(rows), min(oldest), max(newest), (min(low), max(high)))


class Blocks:
    """Reads blocks, and keeps the newest ones; safe to use from several threads."""

    def __init__(self, place: Place, columns: Sequence[str], files: Executor) -> None:
        """Keep nothing yet.

        Args:
            place: of the table.
            columns: that are searched by.
            files: reads files at once.
        """
        self._place = place
        self._columns = tuple(columns)
        self._files = files
        self._kept: dict[tuple[Any, ...], tuple[Block, pa.Table]] = {}
        self._lock = threading.Lock()

    def forget(self, paths: Collection[str]) -> None:
        """Forget the rows of files that are not among these: they were joined, removed or erased from."""
        there = set(paths)
        with self._lock:
            self._kept = {name: each for name, each in self._kept.items() if there.issuperset(each[0].paths)}

    def read(self, block: Block, stored: pa.Schema, columns: Sequence[str]) -> pa.Table:
        """Return some columns of a block's rows, with the two that say where each row is.

        Args:
            block: of the table.
            stored: its columns; one that it has not had yet is null throughout.
            columns: of those that are searched by.
        """
        known, rows = self._find(block)
        wanted = self._columns if self._is_kept(block) else columns
        if len(known) < len(block.paths):
            read = partial(self._read_file, block, stored=stored, columns=wanted)
            more = [*self._files.map(read, range(len(known), len(block.paths)))]
            parts = more if rows is None else [rows.select([*wanted, FILE, ROW]), *more]
            # a column that the table did not have yet is null in files that were read before it came
            rows = pa.concat_tables(parts, promote_options="default").combine_chunks()
            self._keep(block, rows)
        assert rows is not None
        return rows.select([*columns, FILE, ROW])

    def is_here(self, block: Block) -> bool:
        """Return whether all rows of a block are kept."""
        return self._find(block)[0] == block.paths

    def _find(self, block: Block) -> tuple[tuple[str, ...], pa.Table | None]:
        """Return the files of a block whose rows are kept, which are its first ones."""
        with self._lock:
            kept, rows = self._kept.get(block.name, (None, None))
        if kept is None or block.paths[: len(kept.paths)] != kept.paths:
            return (), None
        return kept.paths, rows

    def _is_kept(self, block: Block) -> bool:
        """Return whether a block is among the newest rows of those that are kept with it."""
        with self._lock:
            newer = sum(
                each.rows for each, _ in self._kept.values()
                if each.newest_ms > block.newest_ms and each.name != block.name
            )  # fmt: skip
        return newer + block.rows <= ROWS_KEPT_MAX

    def _keep(self, block: Block, rows: pa.Table) -> None:
        if not self._is_kept(block):
            return
        with self._lock:
            self._kept[block.name] = block, rows
            room, kept = ROWS_KEPT_MAX, {}
            for name, each in sorted(self._kept.items(), key=lambda one: one[1][0].newest_ms, reverse=True):
                room -= each[0].rows
                if room >= 0:
                    kept[name] = each
            self._kept = kept

    def _read_file(self, block: Block, number: int, *, stored: pa.Schema, columns: Sequence[str]) -> pa.Table:
        with self._place.files.open_input_file(block.paths[number]) as source:
            rows = read_columns(pq.ParquetFile(source), stored, columns)
        count = len(rows)
        rows = rows.append_column(FILE, pa.array(np.full(count, number, np.int32)))
        return rows.append_column(ROW, pa.array(np.arange(count, dtype=np.int32)))


def read_columns(
    parquet: pq.ParquetFile, stored: pa.Schema, columns: Sequence[str], groups: Sequence[int] | None = None
) -> pa.Table:
    """Return some columns of a file, or of some row groups of it; one that it has not is null."""
    schema = pa.schema([stored.field(name) if name in stored.names else pa.field(name, pa.null()) for name in columns])
    own = set(parquet.schema_arrow.names)
    names = [name for name in columns if name in own]
    rows = parquet.read(names) if groups is None else parquet.read_row_groups(list(groups), columns=names)
    return complete(rows, schema)


def split_groups(metadata: pq.FileMetaData, rows: np.ndarray[Any, Any]) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Yield row groups and the numbers in each of some rows of a file, which ascend."""
    begin = 0
    for group in range(metadata.num_row_groups):
        end = begin + metadata.row_group(group).num_rows
        inside = rows[(rows >= begin) & (rows < end)] - begin
        if len(inside):
            yield group, inside
        begin = end
