"""Joins a day's files. Rows are as they were; only which file holds them changes.

Each commit of an archiver leaves a file, some thousand a day. Once a day is closed, those that are small, or have rows
of most buckets, are written again as a few large ones, each with a range of the buckets, so that a key's rows of the
day are in one of them. Of a day with millions of rows, so many files are joined at once as make 64 large ones. Numbered
steps:

1. The rows of one range of buckets are read from all files, sorted and written as one file; so for each range. They are
   in no table yet.
2. One commit takes the old files out of the table and brings the new ones in, if all the old ones are still in it: who
   has rewritten one of them meanwhile, as erasing does, is not undone.
3. Files that no table has named for a week are deleted, and indexes without a file.

**Delivery:** a job that dies anywhere leaves the table as it was before or after step 2.
**Cost:** one range's rows in memory at a time, some 150 MB; the day is read and written once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow import fs

from weir.archive.columns import BUCKETS, DAY, SORTED_BY
from weir.archive.files import delete_files, write_file
from weir.archive.id_index import INDEX_FOLDER, index_path
from weir.archive.table import ATTEMPTS_MAX, ArchiveTable, OnStep
from weir.schemas.errors import Transient

FILE_BYTES, FILE_ROWS = 16 << 20, 64_000
"""A joined file's size and rows about: a range of this much takes some 150 MB while it is sorted."""
MADE_MAX = BUCKETS
"""Files that are made at once: a bucket is in one of them, so more would not be smaller."""
CLOSED_AFTER = timedelta(hours=1)
"""After its end a day gets rows only of an archiver that is behind; those are joined by the next run."""
KEPT_HOURS = 168
"""Files that no table names any more are still read by who began before they were taken out."""


_DAY = f"partition.{DAY}"


@dataclass(frozen=True)
class Join:
    """What a job did to one day.

    Attributes:
        is_done: False where another job rewrote the same files meanwhile, which counts.
    """

    day: date
    files: int
    joined: int
    rows: int
    is_done: bool

    def __str__(self) -> str:
        became = f"{self.files} files became {self.joined}" if self.is_done else "another job rewrote its files"
        return f"{self.day}: {became}, {self.rows} rows"


def find_days(table: ArchiveTable, now: datetime, *, open_too: bool = False) -> list[date]:
    """Return the days whose files are worth joining, oldest first.

    Args:
        table: whose days.
        now: UTC.
        open_too: also the day that still gets rows.
    """
    files = table.list_files()
    closed = (now - CLOSED_AFTER).date()
    days = [day for day in pc.unique(files[_DAY]).to_pylist() if open_too or day < closed]
    return sorted(day for day in days if _is_worth(_choose(files, day)))


def join_day(table: ArchiveTable, day: date, on_step: OnStep) -> Join:
    """Join the files of a day that are worth joining, as many as are joined at once.

    Raises:
        Transient: the store cannot be used now.
        Damaged: a file is missing or is not what was written.
    """
    *_, done = join_in_steps(table, day, on_step)
    assert done is not None
    return done


def join_in_steps(table: ArchiveTable, day: date, on_step: OnStep) -> Iterator[Join | None]:
    """Join files as ``join_day`` does, and yield after each one that is written; what was done at last."""
    old = _choose(table.list_files(), day)
    paths, rows = old["path"].to_pylist(), pc.sum(old["num_records"]).as_py() or 0
    new = []
    for added in _write_ranges(table, day, paths, _count_wanted(old)):
        new.append(added)
        yield None
    on_step("archive_joined")
    is_done = swap_files(table, day, paths, new)
    on_step("archive_swapped")
    yield Join(day, len(paths), len(new), rows, is_done)


def sweep(table: ArchiveTable) -> int:
    """Delete files that no table has named for a week, and return how many; old entries of the table's log go too.

    Raises:
        Transient: the store cannot be used now.
    """
    with table.place.errors("swept"):
        gone = table.delta.vacuum(retention_hours=KEPT_HOURS, dry_run=False, full=True)
        table.delta.create_checkpoint()
        table.delta.cleanup_metadata()
        listed = table.place.files.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
    there = {index_path(each.path) for each in listed if each.path.endswith(".parquet")}
    indexes = [each.path for each in listed if each.path.startswith(f"{INDEX_FOLDER}/")]
    table.place.delete([path for path in indexes if path not in there])
    return len(gone)


def _choose(files: pa.Table, day: date) -> pa.Table:
    """Return the files of a day that are small or of most buckets, oldest first, no more than are joined at once."""
    is_small = pc.and_(pc.less(files["num_records"], FILE_ROWS // 2), pc.less(files["size_bytes"], FILE_BYTES // 2))
    is_wide = pc.greater(pc.subtract(files["max.bucket"], files["min.bucket"]), BUCKETS // 2)
    chosen = files.filter(pc.and_(pc.equal(files[_DAY], day), pc.or_(is_small, is_wide))).sort_by("path")
    rows, size = (np.cumsum(chosen[name].to_numpy()) for name in ("num_records", "size_bytes"))
    return chosen.slice(0, int(np.sum((rows <= MADE_MAX * FILE_ROWS) & (size <= MADE_MAX * FILE_BYTES))))


def _is_worth(chosen: pa.Table) -> bool:
    return len(chosen) > _count_wanted(chosen)


def _count_wanted(chosen: pa.Table) -> int:
    rows, size = (pc.sum(chosen[name]).as_py() or 0 for name in ("num_records", "size_bytes"))
    return min(BUCKETS, max(1, math.ceil(size / FILE_BYTES), math.ceil(rows / FILE_ROWS)))


def _write_ranges(table: ArchiveTable, day: date, paths: list[str], wanted: int) -> Iterator[AddAction]:
    own = table.schema()
    stored = own.remove(own.get_field_index(DAY))
    with table.place.errors("read"):
        old = ds.dataset(paths, schema=stored, format="parquet", filesystem=table.place.files)
    for number in range(wanted):
        first, end = BUCKETS * number // wanted, BUCKETS * (number + 1) // wanted
        within = (ds.field("bucket") >= first) & (ds.field("bucket") < end)
        with table.place.errors("read"):
            rows = old.to_table(filter=within, batch_readahead=1, fragment_readahead=1)
        if len(rows):
            rows = rows.sort_by([(name, "ascending") for name in SORTED_BY])
            days = pa.repeat(pa.scalar(day, pa.date32()), len(rows))
            with table.place.errors("written"):
                added = write_file(table.place, day, rows.append_column(DAY, days), is_new=False)
            yield added


def swap_files(table: ArchiveTable, day: date, old: list[str], new: list[AddAction]) -> bool:
    """Put new files of a day in the place of old ones; see ``replace_files``."""
    return replace_files(table, dict.fromkeys(old, day), new)


def replace_files(
    table: ArchiveTable, old: Mapping[str, date], new: list[AddAction], notes: Mapping[str, str] | None = None
) -> bool:
    """Put new files in the place of old ones, in one commit.

    Args:
        table: of the files.
        old: the day of each, by its path.
        new: that are written.
        notes: what the table's log is to say of the commit, by name.

    Returns:
        False where another job rewrote one of the old files meanwhile; the new ones are deleted then.

    Raises:
        Transient: the store cannot be used now, or others commit all the time.
    """
    now_ms = int(time.time() * 1_000)
    removed = [RemoveAction(path, False, now_ms, None, {DAY: day.isoformat()}) for path, day in old.items()]
    for _ in range(ATTEMPTS_MAX):
        table.look()
        if not old.keys() <= table.list_paths():
            delete_files(table.place, [each.path for each in new])
            return False
        try:
            with table.place.errors("written"):
                table.delta.create_write_transaction(
                    [*removed, *new],
                    "append",
                    table.delta.schema(),
                    partition_by=[DAY],
                    commit_properties=CommitProperties(dict(notes or {}), max_commit_retries=0),
                )
        except CommitFailedError:
            continue
        table.look()
        return True
    raise Transient(f"archive: {table.place.uri} was not joined in {ATTEMPTS_MAX} attempts: others commit all the time")


def utc_now() -> datetime:
    """Return the time that decides which days are closed."""
    return datetime.now(UTC)
