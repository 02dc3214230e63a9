"""Erases the rows of an entity: bytes, decoded columns and salt go, and the leaf stays.

Numbered steps, for each table:

1. The seal of the erasure is written: which rows, when and why. From here on verification expects them to be empty.
2. Each file that holds such a row is written again with the row empty, and one commit puts the new file in its place.
3. Files that no table names any more are deleted at once, those that were joined or erased from before included, and
   their indexes; what a killed archiver left, once it is an hour old.

A run that died is repeated: it finds the rows that are still there, and finishes. No log and no seal names the id.

**Cost:** all values of the archive are read once; a file with such a row is held in memory while it is written again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.archive.columns import DAY, SORTED_BY
from weir.archive.files import delete_files, write_file
from weir.archive.holding import Wanted, holds
from weir.archive.joining import swap_files
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.seals.runs import build_runs
from weir.archive.seals.seal import seal_erasure
from weir.archive.table import ArchiveTable, OnStep
from weir.schemas.errors import Refused, Transient

KEPT = ("partition", "offset", "append_ms", DAY, "bucket", "leaf", "batch")
"""Columns of an erased row that stay: where it was and its leaf, which without the salt tells nothing."""
LEFT_OVER_HOURS = 1
"""Files in no table that are younger may be those of an archiver at work, which is about to commit them."""
_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Found:
    """The rows of one table that are about an entity.

    Attributes:
        rows: ``partition`` and ``offset``, in order.
        paths: files that hold them, by the day of each.
    """

    table: ArchiveTable
    rows: pa.Table
    paths: dict[str, date]


def find_holding(table: ArchiveTable, wanted: Wanted) -> Found:
    """Find the rows of a table that are about an entity.

    Raises:
        Transient: the store cannot be read.
    """
    files = pa.table(table.delta.get_add_actions(flatten=True))
    days = dict(zip(files["path"].to_pylist(), files[f"partition.{DAY}"].to_pylist(), strict=True))
    parts, paths = [], {}
    with table.place.errors("read"):
        for path, day in days.items():
            rows = list(_find_in(table, path, wanted))
            if rows:
                parts += rows
                paths[path] = day
    found = pa.concat_tables(parts) if parts else pa.table({"partition": [], "offset": []})
    return Found(table, found.sort_by([("partition", "ascending"), ("offset", "ascending")]), paths)


def erase(found: Found, wanted: Wanted, *, chain: Chain, key: SealKey, at_ms: int, why: str, on_step: OnStep) -> None:
    """Erase rows that were found, and delete every file that held them.

    Args:
        found: by ``find_holding``.
        wanted: the entity.
        chain: of the archive.
        key: that signs the record of the erasure.
        at_ms: now, UTC epoch ms.
        why: for the record; it holds no id.
        on_step: called after each numbered step.

    Raises:
        Refused: the reason holds the id.
        Transient: the store cannot be used now; calling again with what is found then finishes.
    """
    if wanted.id in why:
        raise Refused("expected a reason without the id that is erased, found one with it: the record of it stays")
    if len(found.rows):
        with found.table.place.errors("sealed"):
            chain.append(seal_erasure(found.table.topic, build_runs(found.rows), at_ms=at_ms, why=why), key)
        on_step("erase_recorded")
        for path, day in found.paths.items():
            _empty_file(found.table, path, day, wanted)
        on_step("erase_emptied")
    delete_left_over(found.table)
    on_step("erase_deleted")


def delete_left_over(table: ArchiveTable) -> None:
    """Delete the files that the table does not name, except those that may be of an archiver at work.

    Raises:
        Transient: the store cannot be used now.
    """
    table.look()
    with table.place.errors("swept"):
        gone = table.delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
        gone += table.delta.vacuum(LEFT_OVER_HOURS, dry_run=False, enforce_retention_duration=False, full=True)
    delete_files(table.place, gone)


def _find_in(table: ArchiveTable, path: str, wanted: Wanted) -> Iterator[pa.Table]:
    with table.place.files.open_input_file(path) as data:
        for batch in pq.ParquetFile(data).iter_batches(_ROWS_AT_ONCE):
            mask = holds(batch, wanted)
            if pc.any(mask).as_py():
                yield pa.Table.from_batches([batch.filter(mask)]).select(["partition", "offset"])


def _empty_file(table: ArchiveTable, path: str, day: date, wanted: Wanted) -> None:
    """Write a file again without what its rows hold; where another job rewrote it meanwhile, its new file instead.

    Raises:
        Transient: the store cannot be used now, or others rewrite the table all the time.
    """
    with table.place.errors("written"):
        with table.place.files.open_input_file(path) as data:
            rows = pq.read_table(data)
        added = write_file(table.place, day, _empty(table, rows, day, wanted), is_new=False)
    if not swap_files(table, day, [path], [added]):
        raise Transient(f"archive: a file of {table.topic} was joined while it was erased; run the command again")


def _empty(table: ArchiveTable, rows: pa.Table, day: date, wanted: Wanted) -> pa.Table:
    mask = pa.chunked_array([holds(batch, wanted) for batch in rows.combine_chunks().to_batches()], pa.bool_())
    for place, field in enumerate(rows.schema):
        if field.name not in KEPT:
            rows = rows.set_column(place, field, pc.if_else(mask, pa.scalar(None, field.type), rows[field.name]))
    complete = rows.append_column(pa.field(DAY, pa.date32()), pa.repeat(pa.scalar(day, pa.date32()), len(rows)))
    for field in table.schema():
        if field.name not in complete.schema.names:
            complete = complete.append_column(field, pa.nulls(len(complete), field.type))
    return complete.select(table.schema().names).sort_by([(name, "ascending") for name in SORTED_BY])


def read_clock_ms() -> int:
    """Return UTC epoch ms."""
    return int(time.time() * 1_000)
