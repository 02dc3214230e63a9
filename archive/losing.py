"""Takes files out of a table that are gone or damaged, where there is no copy, and says in the chain what is lost.

Until then a batch of such a file has no seal, nor has any later one, and who reads the table ends with an error.

Numbered steps, for each table:

1. It is looked again whether the files are in the table and cannot be read: another job may have rewritten them.
2. One seal says which rows are lost, when and why. Rows that were never sealed are counted in its reason.
3. One commit for each day takes the files out of the table. The archiver then seals what came since.

A job that dies between the last two is repeated. How far partitions are archived is not touched, so no row comes back.

**Cost:** every file of the table is read whole once; memory of the places of all rows in the damaged files' batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import DAY
from weir.archive.joining import swap_files
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.seals.reading import list_files, read_file
from weir.archive.seals.runs import Runs, build_runs
from weir.archive.seals.seal import LOSS, NO_BATCH, read_seal, seal_loss
from weir.archive.table import ArchiveTable
from weir.schemas.errors import Damaged, Refused, Transient

_CHANGED: Final = "archive: {}: the table changed; run it again"
_PLACE = ("partition", "offset")
_SCHEMA = pa.schema([("partition", pa.int32()), ("offset", pa.int64())])


@dataclass(frozen=True)
class Lost:
    """What a table lost.

    Attributes:
        table: that lost it.
        files: of the table's log: path, day and statistics of each that is gone or damaged.
        runs: sealed rows that were in them, and are in no record of a loss yet.
        unsealed: how many rows of them no seal tells of.
    """

    table: ArchiveTable
    files: pa.Table
    runs: Runs
    unsealed: int


def find_lost(table: ArchiveTable, chain: Chain) -> Lost:
    """Read every file of a table, and find out which rows are lost with those that cannot be read.

    Args:
        table: as of now.
        chain: of the archive.

    Raises:
        Refused: more sealed rows are missing than these files had, so something else took them.
        Transient: the store does not answer, which is no loss.
    """
    files = table.list_files()
    is_lost = [not _is_whole(table, path) for path in files["path"].to_pylist()]
    files = files.filter(pa.array(is_lost, pa.bool_()))
    if not len(files):
        return Lost(table, files, Runs({}), 0)
    first, last, rows = _measure(files)
    with table.place.errors("sealed"):
        first = max(first, chain.read_removed_batch(table.topic) + 1)
        is_sealed = last <= chain.read_sealed_batch(table.topic)
        recorded = [read_seal(each.text) for each in chain.read_of(table.topic, NO_BATCH)]
        sealed = [read_seal(each.text).runs for each in chain.read_between(table.topic, first, last)]
    known = [_to_rows(each.runs) for each in recorded if each.kind == LOSS]
    runs = _subtract(sealed, [*known, *_read_places(table, set(files["path"].to_pylist()), first, last)])
    if runs.count > rows:
        raise Refused(
            f"{table.topic}: expected at most {rows} rows to be missing, those of the files that cannot be read, found "
            f"{runs.count}; `weir evidence verify` names them, and nothing was dropped"
        )
    return Lost(table, files, runs, 0 if is_sealed else rows - runs.count)


def _measure(files: pa.Table) -> tuple[int, int, int]:
    """Return the first and the last batch of some files, and how many rows they have, as the table's log says."""
    first, last = pc.min(files["min.batch"]), pc.max(files["max.batch"])
    return first.as_py(), last.as_py(), pc.sum(files["num_records"]).as_py()


def drop_lost(lost: Lost, *, chain: Chain, key: SealKey, at_ms: int, why: str) -> None:
    """Record a loss, and take the files out of the table.

    Args:
        lost: by ``find_lost``.
        chain: of the archive.
        key: that signs the record.
        at_ms: now, UTC epoch ms.
        why: for the record.

    Raises:
        Transient: the store cannot be used now, or another job changed the files; calling again with what is found
            then finishes.
    """
    _check_still_lost(lost)
    if lost.runs.count or lost.unsealed:
        text = f"{why}; {lost.unsealed} more rows had no seal" if lost.unsealed else why
        with lost.table.place.errors("sealed"):
            chain.append(seal_loss(lost.table.topic, lost.runs, at_ms=at_ms, why=text), key)
    days: dict[date, list[str]] = {}
    for each in lost.files.select(["path", f"partition.{DAY}"]).to_pylist():
        days.setdefault(each[f"partition.{DAY}"], []).append(each["path"])
    for day, paths in days.items():
        if not swap_files(lost.table, day, paths, []):
            raise Transient(_CHANGED.format(lost.table.topic))


def _check_still_lost(lost: Lost) -> None:
    """Raise where another job rewrote a file since, or somebody put it back: its rows are not lost."""
    lost.table.look()
    paths = lost.files["path"].to_pylist()
    if not set(paths) <= lost.table.list_paths() or any(_is_whole(lost.table, path) for path in paths):
        raise Transient(_CHANGED.format(lost.table.topic))


def _is_whole(table: ArchiveTable, path: str) -> bool:
    try:
        with table.place.errors("read"):
            for _ in read_file(table.place, path, None):
                pass
    except Damaged:
        return False
    return True


def _read_places(table: ArchiveTable, lost: set[str], first: int, last: int) -> Iterator[pa.Table]:
    with table.place.errors("read"):
        for path in list_files(table.delta, "batch", first, last):
            for rows in read_file(table.place, path, _PLACE) if path not in lost else ():
                yield pa.Table.from_batches([rows]).cast(_SCHEMA)


def _to_rows(runs: Runs) -> pa.Table:
    parts = [(number, runs.offsets_of(number)) for number in runs.of]
    return pa.concat_tables(
        [
            _SCHEMA.empty_table(),
            *(pa.table([np.full(len(each), number, np.int32), each], schema=_SCHEMA) for number, each in parts),
        ]
    )


def _subtract(runs: list[Runs], rows: list[pa.Table]) -> Runs:
    """Return the rows of some runs without others."""
    own = pa.concat_tables([_SCHEMA.empty_table(), *map(_to_rows, runs)])
    left = own.join(pa.concat_tables([_SCHEMA.empty_table(), *rows]), [*_PLACE], join_type="left anti")
    return build_runs(left.sort_by([(name, "ascending") for name in _PLACE]))
