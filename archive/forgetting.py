"""Removes rows that are older than their kind is kept, whole days at a time.

Numbered steps, for each table:

1. One seal says up to which batch all rows are removed: batches that are sealed, and none of whose rows was appended
   on a day that is kept. A batch is kept or removed as a whole, so that every seal of rows stays checkable: rows at the
   end of the last old day stay for a day more where their batch has rows of the day that is kept.
2. One commit for each day takes its files out of the table. A file with rows that stay is written again with
   them alone.
3. The files themselves are deleted by the sweep, when no table has named them for a week.

**Delivery:** a job that dies anywhere is finished by the next one. How far partitions are archived is not touched, so
no row comes back.
**Cost:** the table's log; of files, only those are read that have rows of both kinds, one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from weir.archive.columns import DAY
from weir.archive.files import write_file
from weir.archive.joining import swap_files
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.seals.seal import seal_retention
from weir.archive.table import ArchiveTable, OnStep

_DAY = f"partition.{DAY}"


def forget(
    table: ArchiveTable, *, keep_days: int, chain: Chain, key: SealKey, now: datetime, on_step: OnStep
) -> Iterator[str]:
    """Remove what is old, and yield a line for each day whose rows are gone; a step between any two.

    Args:
        table: to remove from.
        keep_days: so many whole UTC days before today are kept.
        chain: of the archive.
        key: that signs the record of it.
        now: UTC.
        on_step: called after each numbered step.

    Raises:
        Transient: the store cannot be used now; the next job finishes.
        Damaged: a file is missing or is not what was written.
    """
    first_kept = (now - timedelta(days=keep_days)).date()
    table.look()
    last = _record(table, first_kept, keep_days, chain, key, now)
    on_step("retention_recorded")
    for day in _list_days(table, first_kept, last):
        rows = _remove(table, day, last)
        on_step("retention_removed")
        yield f"{table.topic} {day}: {rows} rows removed, which were kept for {keep_days} days"


def _record(table: ArchiveTable, first_kept: date, keep_days: int, chain: Chain, key: SealKey, now: datetime) -> int:
    """Say in the chain what is removed, and return up to which batch all is."""
    with table.place.errors("sealed"):
        last = _find_last(table, first_kept, chain.read_sealed_batch(table.topic))
        removed = chain.read_removed_batch(table.topic)
        if last > removed:
            at_ms = int(now.timestamp() * 1_000)
            chain.append(seal_retention(table.topic, last, at_ms=at_ms, why=f"kept for {keep_days} days"), key)
        return max(last, removed)


def _find_last(table: ArchiveTable, first_kept: date, sealed: int) -> int:
    """Return the last batch of those that are sealed before the first one with a row that is kept."""
    files = table.list_files()
    kept = files.filter(pc.greater_equal(files[_DAY], first_kept))
    first = pc.min(kept["min.batch"]).as_py() if len(kept) else table.batch + 1
    return int(min(first - 1, sealed))


def _list_days(table: ArchiveTable, first_kept: date, last: int) -> list[date]:
    files = table.list_files()
    old = files.filter(pc.and_(pc.less(files[_DAY], first_kept), pc.less_equal(files["min.batch"], last)))
    return sorted(pc.unique(old[_DAY]).to_pylist())


def _remove(table: ArchiveTable, day: date, last: int) -> int:
    """Take the rows of old batches out of a day, and return how many they were; 0 where another job was faster."""
    files = table.list_files()
    old = files.filter(pc.and_(pc.equal(files[_DAY], day), pc.less_equal(files["min.batch"], last)))
    if not len(old):  # another job was here
        return 0
    mixed = old.filter(pc.greater(old["max.batch"], last))["path"].to_pylist()
    stay = [_write_rest(table, path, day, last) for path in mixed]
    is_done = swap_files(table, day, old["path"].to_pylist(), [added for added, _ in stay])
    return int(pc.sum(old["num_records"]).as_py()) - sum(rows for _, rows in stay) if is_done else 0


def _write_rest(table: ArchiveTable, path: str, day: date, last: int) -> tuple[AddAction, int]:
    with table.place.errors("read"), table.place.files.open_input_file(path) as data:
        rows = pq.read_table(data)
    rest = rows.filter(pc.greater(rows["batch"], last))
    days = pa.repeat(pa.scalar(day, pa.date32()), len(rest))
    with table.place.errors("written"):
        return write_file(table.place, day, rest.append_column(DAY, days), is_new=False), len(rest)
