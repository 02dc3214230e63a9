"""Finds past decisions in an archive by what they are about, newest first, a page at a time.

Blocks of files (``archive/search/blocks.py``) are taken in the order of their newest row. As soon as a page's worth of
rows is newer than anything in the blocks that are left, the page is done: of the open day, whose files follow one
another in time, a few are read. The files of a closed day each span the day, so a page of it looks through the day.
Where the key is asked for, files and row groups whose buckets cannot hold it are passed by.

A search that takes long ends its page early, with what it has found and the place that it has come to, once at least
half of the blocks that it looked through are behind that place; so each page gets on, whatever is asked. Rows that were
erased are in none.

**Cost:** some 50 ns a row that is kept in memory, a few times that of one that is read; a page of 50 reads the values
of up to 50 row groups.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.archive.columns import bucket_of
from weir.archive.objects import Objects
from weir.archive.place import Place as Folder
from weir.archive.records import codec_of
from weir.archive.search.blocks import FILE, ROW, Block, Blocks, list_blocks, read_columns, split_groups
from weir.archive.search.matching import COLUMNS, Int64s, choose, end_of, list_columns, order, places_of
from weir.archive.search.opened import FILES_AT_ONCE, open_topic, read_newest
from weir.schemas.contracts import decisions_schema
from weir.schemas.errors import Damaged
from weir.schemas.search import Place, Search
from weir.schemas.stream import Stream

SECONDS: Final = 1.0
"""After it a page ends early, where that is possible."""
_BUCKET: Final = "bucket"


@dataclass(frozen=True)
class Page:
    """Some decisions.

    Attributes:
        decisions: as the log has them, newest first.
        next: where the next page begins; None where there is no more.
        archived_to_ms: append time of the newest decision that is archived; None where none is.
    """

    decisions: list[dict[str, Any]]
    next: Place | None
    archived_to_ms: int | None


class DecisionSearch:
    """Searches the decisions of one stream; one thread at a time."""

    def __init__(self, root: Folder, stream: Stream, topic: str, monotonic: Callable[[], float]) -> None:
        """Open the table.

        Args:
            root: of the archive.
            stream: whose decisions they are.
            topic: of its decisions.
            monotonic: seconds.

        Raises:
            NoTable: there is none.
            Refused: one that this version cannot read.
            Transient: the store cannot be read.
        """
        self._table = open_topic(root, topic)
        self._key_field = stream.key.field
        self._codec = codec_of(decisions_schema(stream))
        objects = Objects(root)
        self._schema_of = cache(lambda schema_id: objects.read_schema(topic, schema_id))
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(FILES_AT_ONCE)
        kept = set(stream.kept_in_decisions)
        ids = dict.fromkeys(field for field in stream.id_field_of.values() if field in kept)
        self._blocks = Blocks(self._table.place, [*COLUMNS, *ids], self._threads)

    @property
    def files(self) -> int:
        """How many files the table had at the last look."""
        return self._table.count_files()

    def find(self, search: Search) -> Page:
        """Return a page of what is in the table now.

        Raises:
            Damaged: a file is missing, or is not what was written.
            Transient: the store cannot be read.
        """
        return read_newest(self._table, lambda: self._find(search))

    def _find(self, search: Search) -> Page:
        files = self._table.list_files()
        self._blocks.forget(files["path"].to_pylist())
        key = search.wanted.ids.get(self._key_field)
        looked = _Look(search, self._table.schema(), None if key is None else bucket_of(_encode(key)))
        blocks = [block for block in list_blocks(files) if looked.may_be_in(block)]
        found, place = self._gather(blocks, looked)
        rows = [(blocks[number].paths[file], row) for number, file, row in found[:, 3:].tolist()]
        return Page(self._read(rows) if rows else [], place, pc.max(files["max.append_ms"]).as_py())

    def _gather(self, blocks: list[Block], looked: _Look) -> tuple[Int64s, Place | None]:
        """Return rows, each as its place, block, file and number, shape (rows, 6), and where the next page begins."""
        until, limit = self._monotonic() + SECONDS, looked.search.limit
        found = np.empty((0, 6), np.int64)
        for number, block in enumerate(blocks):
            found = np.concatenate([found, self._look_through(block, number, looked)])
            found = found[order(found)[: limit + 1]]
            if number + 1 == len(blocks):
                break
            to_ms = blocks[number + 1].newest_ms  # nothing that is newer is left
            settled = int(np.sum(found[:, 0] > to_ms))
            if settled > limit:
                break
            if self._monotonic() > until and _is_behind(blocks[: number + 1], to_ms):
                return found[:settled], Place(to_ms + 1, 0, 0)
        if len(found) <= limit:
            return found, None
        return found[:limit], Place(*found[limit - 1, :3].tolist())

    def _look_through(self, block: Block, number: int, looked: _Look) -> Int64s:
        if looked.bucket is not None and len(block.paths) == 1 and not self._blocks.is_here(block):
            rows = self._read_key(block.paths[0], looked)
        else:
            rows = self._blocks.read(block, looked.stored, looked.columns)
        wanted = choose(rows, looked.search)
        where = [rows[name].to_numpy()[wanted].astype(np.int64) for name in (FILE, ROW)]
        return np.column_stack([places_of(rows, wanted), np.full(len(wanted), number), *where])

    def _read_key(self, path: str, looked: _Look) -> pa.Table:
        """Return the rows of the row groups of one file that may hold the key."""
        with self._table.place.files.open_input_file(path) as source:
            parquet = pq.ParquetFile(source)
            metadata = parquet.metadata
            groups = [group for group in range(metadata.num_row_groups) if looked.may_be_in_group(metadata, group)]
            rows = read_columns(parquet, looked.stored, looked.columns, groups)
        ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
        numbers = [np.arange(ends[group] - metadata.row_group(group).num_rows, ends[group]) for group in groups]
        rows = rows.append_column(FILE, pa.array(np.zeros(len(rows), np.int32)))
        return rows.append_column(ROW, pa.array(np.concatenate([np.empty(0, np.int64), *numbers])))

    def _read(self, rows: list[tuple[str, int]]) -> list[dict[str, Any]]:
        """Return the decisions of some rows of files, in their order."""
        by_path: dict[str, list[int]] = {}
        for path, row in rows:
            by_path.setdefault(path, []).append(row)
        parts = self._threads.map(partial(self._read_values), by_path.items())
        values = {where: value for part in parts for where, value in part.items()}
        decoded = self._codec.decode([values[where] for where in rows], self._schema_of)
        if decoded.errors:
            raise Damaged(f"a decision in {self._table.place.uri} cannot be read: {decoded.errors[0][1]}")
        return list(decoded.batch.to_pylist())

    def _read_values(self, wanted: tuple[str, list[int]]) -> dict[tuple[str, int], bytes]:
        """Return the bytes of some rows of a file; each row group is read up to the last of them."""
        path, rows = wanted[0], np.sort(np.array(wanted[1], np.int64))
        found: list[bytes] = []
        with self._table.place.files.open_input_file(path) as source:
            parquet = pq.ParquetFile(source)
            for group, inside in split_groups(parquet.metadata, rows):
                batches = parquet.iter_batches(inside[-1] + 1, row_groups=[group], columns=["value"], use_threads=False)
                found += next(batches)[0].take(pa.array(inside)).to_pylist()
        return dict(zip([(path, row) for row in rows.tolist()], found, strict=True))


@dataclass(frozen=True)
class _Look:
    """One search of one table.

    Attributes:
        stored: the table's columns.
        bucket: of the key that is asked for; None for any.
    """

    search: Search
    stored: pa.Schema
    bucket: int | None

    @property
    def columns(self) -> list[str]:
        return list_columns(self.search)

    def may_be_in(self, block: Block) -> bool:
        """Return whether a block may hold rows that are wanted."""
        is_in_time = block.oldest_ms < end_of(self.search) and block.newest_ms >= self.search.first_ms
        return is_in_time and (self.bucket is None or block.buckets[0] <= self.bucket <= block.buckets[1])

    def may_be_in_group(self, metadata: pq.FileMetaData, group: int) -> bool:
        """Return whether a row group may hold rows of the key."""
        has = metadata.row_group(group).column(metadata.schema.names.index(_BUCKET)).statistics
        return self.bucket is None or bool(has.min <= self.bucket <= has.max)


def _encode(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _is_behind(blocks: list[Block], to_ms: int) -> bool:
    """Return whether most blocks were looked through to their end: the others are again by the next page."""
    return 2 * sum(block.oldest_ms <= to_ms for block in blocks) <= len(blocks)
