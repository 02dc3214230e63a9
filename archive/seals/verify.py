"""Verifies an archive: its chain of seals, then the rows of every table against it. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from weir.archive.seals.chain import Chain, Stored
from weir.archive.seals.check_chain import check_chain
from weir.archive.seals.check_rows import SOURCES, CheckedTable, check_rows
from weir.archive.seals.findings import Finding
from weir.archive.seals.seal import ERASURE, ROWS, Seal

_ROWS_AT_ONCE = 16_384
"""Rows that are in memory as Python's values, some 30 MB of them."""


@dataclass
class Verified:
    """The outcome for an archive.

    Attributes:
        seals: how many there are.
        head: the newest one; None where there is none.
        chain: what is wrong with the seals.
        tables: what each table's rows are found to be.
    """

    seals: int
    head: Stored | None
    chain: list[Finding]
    tables: dict[str, CheckedTable]

    @property
    def findings(self) -> list[Finding]:
        """Return everything that is wrong."""
        return [*self.chain, *(finding for table in self.tables.values() for finding in table.findings)]


def verify(
    chain: Chain, tables: Mapping[str, DeltaTable], *, since_ms: int = 0, expect: str = "", public_key: str = ""
) -> Verified:
    """Check all seals, and the rows of those that hold rows appended at a time or later.

    Args:
        chain: of the archive.
        tables: all of it, by name.
        since_ms: append time, UTC epoch ms; 0 checks all rows.
        expect: a seal's hash that was kept elsewhere.
        public_key: the only one that may have signed; empty where it is not known.

    Raises:
        Refused: a newer release wrote the seals.
    """
    checked = check_chain(chain.read(), expect=expect, public_key=public_key)
    names = sorted({*tables, *(seal.table for seal in checked.seals)})
    outcome = {
        name: _verify_table(name, tables.get(name), [seal for seal in checked.seals if seal.table == name], since_ms)
        for name in names
    }
    return Verified(len(checked.seals), checked.head, checked.findings, outcome)


def _verify_table(name: str, table: DeltaTable | None, seals: Sequence[Seal], since_ms: int) -> CheckedTable:
    """Check the rows from the first batch on that holds a row of the time; batches are in order, times nearly."""
    old = [seal.batch for seal in seals if seal.kind == ROWS and seal.last_ms < since_ms]
    new = [seal.batch for seal in seals if seal.kind == ROWS and seal.last_ms >= since_ms]
    first = min(new, default=max(old, default=0) + 1) if since_ms else 0
    wanted = [seal for seal in seals if seal.kind == ERASURE or seal.batch >= first]
    return check_rows(name, _read_rows(table, first), wanted)


def _read_rows(table: DeltaTable | None, first_batch: int) -> Iterator[pa.RecordBatch]:
    if table is None:
        return
    number = ds.field("batch")
    wanted = (number >= first_batch) | number.is_null() if first_batch else None
    files = table.to_pyarrow_dataset(file_pruning_predicate=[("batch", ">=", first_batch)] if first_batch else None)
    yield from files.to_batches(columns=list(SOURCES), filter=wanted, batch_size=_ROWS_AT_ONCE)
