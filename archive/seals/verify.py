"""Verifies an archive: its chain of seals, then the rows of every table against it. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError

from weir.archive.columns import FIXED
from weir.archive.objects import Objects
from weir.archive.seals.chain import Chain, Stored
from weir.archive.seals.check_chain import check_chain
from weir.archive.seals.check_rows import SOURCES, CheckedTable, check_rows
from weir.archive.seals.findings import CHANGED, GONE, UNREADABLE, Finding
from weir.archive.seals.reading import ANY, list_files, read_file
from weir.archive.seals.seal import NO_TABLE, ROWS, Seal
from weir.archive.table import ArchiveTable
from weir.schemas.errors import Damaged, Transient

_SCHEMA = pa.schema([FIXED.field(name) for name in SOURCES])


@dataclass
class Verified:
    """The outcome for an archive.

    Attributes:
        seals: how many there are.
        head: the newest one; None where there is none.
        chain: what is wrong with the seals.
        tables: what each table's rows are found to be.
        kept: what is wrong with the files that are kept next to the tables.
        files: how many of these are sealed.
        columns: rows whose columns are not what their bytes say, where that was looked at.
    """

    seals: int
    head: Stored | None
    chain: list[Finding]
    tables: dict[str, CheckedTable]
    kept: list[Finding] = field(default_factory=list)
    files: int = 0
    columns: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Return everything that is wrong."""
        of_rows = (finding for table in self.tables.values() for finding in table.findings)
        return [*self.chain, *of_rows, *self.kept, *self.columns]


def verify(
    chain: Chain,
    tables: Mapping[str, ArchiveTable],
    objects: Objects,
    *,
    since_ms: int = 0,
    expect: str = "",
    public_keys: Collection[str] = (),
) -> Verified:
    """Check all seals, the files that are kept, and the rows of seals that hold rows appended at a time or later.

    Args:
        chain: of the archive.
        tables: all of it, by name.
        objects: of the archive.
        since_ms: append time, UTC epoch ms; 0 checks all rows.
        expect: a seal's hash that was kept elsewhere.
        public_keys: those that may have signed; none where they are not known.

    Raises:
        Refused: a newer release wrote the seals.
    """
    checked = check_chain(chain.read(), expect=expect, public_keys=public_keys)
    names = sorted({*tables, *(seal.table for seal in checked.seals)} - {NO_TABLE})
    sealed = {path: sha256 for seal in checked.seals for path, sha256 in seal.files.items()}
    outcome = {
        name: _verify_table(name, tables.get(name), [seal for seal in checked.seals if seal.table == name], since_ms)
        for name in names
    }
    kept = list(_verify_files(objects, sealed))
    return Verified(len(checked.seals), checked.head, checked.findings, outcome, kept, len(sealed))


def _verify_files(objects: Objects, sealed: Mapping[str, str]) -> Iterator[Finding]:
    for path, sha256 in sealed.items():
        try:
            found = objects.hash_file(path)
        except (Transient, Damaged):
            yield Finding(UNREADABLE, path)
            continue
        if found != sha256:
            yield Finding(GONE if found is None else CHANGED, path)


def _verify_table(name: str, table: ArchiveTable | None, seals: Sequence[Seal], since_ms: int) -> CheckedTable:
    """Check the rows from the first batch on that holds a row of the time; batches are in order, times nearly."""
    old = [seal.batch for seal in seals if seal.kind == ROWS and seal.last_ms < since_ms]
    new = [seal.batch for seal in seals if seal.kind == ROWS and seal.last_ms >= since_ms]
    first = min(new, default=max(old, default=0) + 1) if since_ms else 0
    wanted = [seal for seal in seals if seal.kind != ROWS or seal.batch >= first]
    faults: list[Finding] = []
    checked = check_rows(name, _read_rows(name, table, first, faults), wanted)
    return replace(checked, findings=[*faults, *checked.findings])


def _read_rows(
    name: str, table: ArchiveTable | None, first_batch: int, faults: list[Finding]
) -> Iterator[pa.RecordBatch]:
    """Yield rows file by file, so that one that cannot be read is named and the others are checked."""
    if table is None:
        return
    for path in list_files(table.delta, "batch", first_batch, ANY):
        try:
            for rows in read_file(table.place, path, SOURCES):
                rows = rows.select(SOURCES).cast(_SCHEMA)  # noqa: PLW2901  (of a damaged footer names and types differ)
                number = rows.column("batch")
                yield rows.filter(pc.fill_null(pc.greater_equal(number, first_batch), True)) if first_batch else rows
        except (KeyError, OSError, pa.ArrowException, DeltaError):
            faults.append(Finding(UNREADABLE, f"{name}/{path}"))
