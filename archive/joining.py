"""Joins a day's files: ``weir archive optimize``. Rows are as they were; only which file holds them changes.

Each commit of an archiver leaves a file, some thousand a day. Once a day is closed, its files are written again as a
few large ones, each with a range of the buckets, so that a key's rows of the day are in one of them. Numbered steps:

1. The rows of one range of buckets are read from all files, sorted and written as one file; so for each range. They are
   in no table yet.
2. One commit takes the old files out of the table and brings the new ones in, if all the old ones are still in it: who
   has rewritten one of them meanwhile, as erasing does, is not undone.
3. Files that no table has named for a week are deleted, and indexes without a file.

**Delivery:** a job that dies anywhere leaves the table as it was before or after step 2.
**Cost:** one range's rows in memory at a time, some 250 MB, and more where a day has over 6 million rows; the day is
read and written once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

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

FILE_BYTES, FILE_ROWS = 24 << 20, 100_000
"""A joined file's size and rows about: a range of this much takes some 250 MB while it is sorted."""
CLOSED_AFTER = timedelta(hours=1)
"""After its end a day gets rows only of an archiver that is behind; those are joined by the next run."""
KEPT_HOURS = 168
"""Files that no table names any more are still read by who began before they were taken out."""


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


def find_days(table: ArchiveTable, now: datetime, *, open_too: bool = False) -> list[date]:
    """Return the days whose files are worth joining, oldest first.

    Args:
        table: whose days.
        now: UTC.
        open_too: also the day that still gets rows.
    """
    files = _list_files(table)
    closed = (now - CLOSED_AFTER).date()
    sums = [("path", "count"), ("size_bytes", "sum"), ("num_records", "sum")]
    by_day = files.group_by(f"partition.{DAY}").aggregate(sums).to_pylist()
    return sorted(
        each[f"partition.{DAY}"]
        for each in by_day
        if (open_too or each[f"partition.{DAY}"] < closed)
        and each["path_count"] > _count_wanted(each["size_bytes_sum"], each["num_records_sum"])
    )


def join_day(table: ArchiveTable, day: date, on_step: OnStep) -> Join:
    """Join all files of a day.

    Raises:
        Transient: the store cannot be used now.
    """
    files = _list_files(table)
    old = files.filter(pc.equal(files[f"partition.{DAY}"], day))
    paths, rows = old["path"].to_pylist(), pc.sum(old["num_records"]).as_py()
    with table.place.errors("written"):
        new = list(_write_ranges(table, day, paths, _count_wanted(pc.sum(old["size_bytes"]).as_py(), rows)))
    on_step("archive_joined")
    is_done = swap_files(table, day, paths, new)
    on_step("archive_swapped")
    return Join(day, len(paths), len(new), rows, is_done)


def sweep(table: ArchiveTable) -> int:
    """Delete files that no table has named for a week, and return how many.

    Raises:
        Transient: the store cannot be used now.
    """
    with table.place.errors("swept"):
        gone = table.delta.vacuum(retention_hours=KEPT_HOURS, dry_run=False, full=True)
        listed = table.place.files.get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
    there = {index_path(each.path) for each in listed if each.path.endswith(".parquet")}
    indexes = [each.path for each in listed if each.path.startswith(f"{INDEX_FOLDER}/")]
    table.place.delete([path for path in indexes if path not in there])
    return len(gone)


def _count_wanted(size: int, rows: int) -> int:
    return min(BUCKETS, max(1, math.ceil(size / FILE_BYTES), math.ceil(rows / FILE_ROWS)))


def _list_files(table: ArchiveTable) -> pa.Table:
    return pa.table(table.delta.get_add_actions(flatten=True))


def _write_ranges(table: ArchiveTable, day: date, paths: list[str], wanted: int) -> Iterator[AddAction]:
    own = table.schema()
    stored = own.remove(own.get_field_index(DAY))
    old = ds.dataset(paths, schema=stored, format="parquet", filesystem=table.place.files)
    for number in range(wanted):
        first, end = BUCKETS * number // wanted, BUCKETS * (number + 1) // wanted
        within = (ds.field("bucket") >= first) & (ds.field("bucket") < end)
        rows = old.to_table(filter=within, batch_readahead=1, fragment_readahead=1)
        if len(rows):
            rows = rows.sort_by([(name, "ascending") for name in SORTED_BY])
            days = pa.repeat(pa.scalar(day, pa.date32()), len(rows))
            yield write_file(table.place, day, rows.append_column(DAY, days), is_new=False)


def swap_files(table: ArchiveTable, day: date, old: list[str], new: list[AddAction]) -> bool:
    """Put new files of a day in the place of old ones, in one commit.

    Returns:
        False where another job rewrote one of the old files meanwhile; the new ones are deleted then.

    Raises:
        Transient: the store cannot be used now, or others commit all the time.
    """
    now_ms, where = int(time.time() * 1_000), {DAY: day.isoformat()}
    removed = [RemoveAction(path, False, now_ms, None, dict(where)) for path in old]
    for _ in range(ATTEMPTS_MAX):
        table.look()
        if not set(old) <= table.list_paths():
            delete_files(table.place, [each.path for each in new])
            return False
        try:
            with table.place.errors("written"):
                table.delta.create_write_transaction(
                    [*removed, *new],
                    "append",
                    table.delta.schema(),
                    partition_by=[DAY],
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
        except CommitFailedError:
            continue
        table.look()
        return True
    raise Transient(f"archive: {table.place.uri} was not joined in {ATTEMPTS_MAX} attempts: others commit all the time")


def utc_now() -> datetime:
    """Return the time that decides which days are closed."""
    return datetime.now(UTC)
