"""Takes files out of a table that are gone or damaged, where there is no copy, and says in the chain what is lost.

Until then a batch of such a file has no seal, nor has any later one, and who reads the table ends with an error.

Numbered steps, for each table:

1. It is looked again whether the files are in the table and cannot be read: another job may have rewritten them.
2. One commit takes the files out of the table, if all are still in it, and notes in the table's log when, why and of
   which batches.
3. One seal says which rows are lost, as the note does. Rows that were never sealed are counted in its reason. The
   archiver then seals what came since.

So no loss is signed of a file that another job rewrote. After a job that died between the last two, the next one finds
the note without a seal, and signs it. How far partitions are archived is not touched, so no row comes back.

**Cost:** every file of the table is read whole once; memory of the places of all rows in the damaged files' batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.columns import DAY
from weir.archive.joining import replace_files
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey
from weir.archive.seals.reading import list_files, read_file
from weir.archive.seals.runs import Runs, build_runs
from weir.archive.seals.seal import LOSS, NO_BATCH, Seal, read_seal, seal_loss
from weir.archive.table import ArchiveTable
from weir.schemas.errors import Damaged, Refused, Transient

_CHANGED: Final = "archive: {}: the table changed; run it again"
_PLACE = ("partition", "offset")
_SCHEMA = pa.schema([("partition", pa.int32()), ("offset", pa.int64())])
_NOTE: Final = "weir.loss"
"""Name of what the table's log says of a commit that took lost files out."""


@dataclass(frozen=True)
class Gone:
    """The first and the last batch of some files, and how many rows they have, as the table's log says."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Note:
    """What a commit that takes lost files out says, and its seal after it."""

    at_ms: int
    why: str
    gone: Gone

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def read_note(text: str) -> Note:
    """Return the note that a text holds."""
    document = json.loads(text)
    return Note(document["at_ms"], document["why"], Gone(**document["gone"]))


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
    gone = _measure(files)
    runs = _find_missing(table, chain, gone, set(files["path"].to_pylist()))
    with table.place.errors("sealed"):
        is_sealed = gone.last <= chain.read_sealed_batch(table.topic)
    return Lost(table, files, runs, 0 if is_sealed else gone.rows - runs.count)


def _measure(files: pa.Table) -> Gone:
    first, last = pc.min(files["min.batch"]), pc.max(files["max.batch"])
    return Gone(first.as_py(), last.as_py(), pc.sum(files["num_records"]).as_py())


def _find_missing(table: ArchiveTable, chain: Chain, gone: Gone, lost: set[str]) -> Runs:
    """Return the sealed rows of some batches that are in no file but the lost ones, and in no record of a loss."""
    with table.place.errors("sealed"):
        first = max(gone.first, chain.read_removed_batch(table.topic) + 1)
        sealed = [read_seal(each.text).runs for each in chain.read_between(table.topic, first, gone.last)]
    known = [_to_rows(each.runs) for each in _list_losses(table, chain)]
    runs = _subtract(sealed, [*known, *_read_places(table, lost, first, gone.last)])
    if runs.count > gone.rows:
        raise Refused(
            f"{table.topic}: expected at most {gone.rows} rows to be missing, those of the files that cannot be read, "
            f"found {runs.count}; `weir evidence verify` names them, and nothing was dropped"
        )
    return runs


def _list_losses(table: ArchiveTable, chain: Chain) -> list[Seal]:
    with table.place.errors("sealed"):
        found = [read_seal(each.text) for each in chain.read_of(table.topic, NO_BATCH)]
    return [each for each in found if each.kind == LOSS]


def drop_lost(lost: Lost, *, chain: Chain, key: SealKey, at_ms: int, why: str) -> None:
    """Take the files out of the table, and record the loss.

    Args:
        lost: by ``find_lost``.
        chain: of the archive.
        key: that signs the record.
        at_ms: now, UTC epoch ms.
        why: for the record.

    Raises:
        Transient: the store cannot be used now, or another job changed the files; finding and dropping again finishes.
    """
    _check_still_lost(lost)
    has_seal = bool(lost.runs.count or lost.unsealed)
    note = Note(at_ms, f"{why}; {lost.unsealed} more rows had no seal" if lost.unsealed else why, _measure(lost.files))
    days = {each["path"]: each[f"partition.{DAY}"] for each in lost.files.to_pylist()}
    if not replace_files(lost.table, days, [], {_NOTE: note.to_text()} if has_seal else None):
        raise Transient(_CHANGED.format(lost.table.topic))
    if has_seal:
        _sign(lost.table, lost.runs, note, chain, key)


def find_unsigned(table: ArchiveTable, chain: Chain) -> list[Note]:
    """Return the notes of commits that took lost files out and were never signed, oldest first.

    **Cost:** the table's log, as far as it is kept.

    Raises:
        Transient: the store cannot be read.
    """
    with table.place.errors("read"):
        texts = [each[_NOTE] for each in table.delta.history() if _NOTE in each]
    signed = {(each.first_ms, each.why) for each in _list_losses(table, chain)}
    notes = [read_note(text) for text in reversed(texts)]
    return [note for note in notes if (note.at_ms, note.why) not in signed]


def sign_losses(table: ArchiveTable, notes: Sequence[Note], *, chain: Chain, key: SealKey) -> None:
    """Sign what a job that died took out.

    Raises:
        Refused: more sealed rows are missing than a note says.
        Transient: the store cannot be used now.
    """
    for note in notes:
        _sign(table, _find_missing(table, chain, note.gone, set()), note, chain, key)


def _sign(table: ArchiveTable, runs: Runs, note: Note, chain: Chain, key: SealKey) -> None:
    with table.place.errors("sealed"):
        chain.append(seal_loss(table.topic, runs, at_ms=note.at_ms, why=note.why), key)


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
