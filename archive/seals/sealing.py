"""Seals what a table holds and no seal covers yet; run after each commit, it also repairs a crash between the two."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from weir.archive.seals.chain import Chain, Stored
from weir.archive.seals.key import SealKey
from weir.archive.seals.reading import read_batches
from weir.archive.seals.seal import seal_rows
from weir.archive.table import ArchiveTable

_BATCHES_AT_ONCE = 4
"""Read together: of full batches some 100 MB, and a table that was never sealed is not read into memory whole."""
_COLUMNS = ["partition", "offset", "append_ms", "leaf", "batch"]


def seal_new(chain: Chain, key: SealKey, *, name: str, table: ArchiveTable, after: int | None = None) -> list[Stored]:
    """Seal every batch of a table that has no seal yet, in order; return the seals that were written here.

    Args:
        chain: of the tables' root.
        key: that signs.
        name: of the table.
        table: as of the version that is to be sealed.
        after: the newest batch that is sealed, where that was just read.

    Raises:
        Damaged: a batch holds an offset twice.
        Transient: other sealers were faster each time.
    """
    written: list[Stored] = []
    sealed = chain.read_sealed_batch(name) if after is None else after
    while (rows := _read_batches(table, after=sealed)) or sealed < table.batch:
        for batch, of_batch in rows:
            stored = chain.append(seal_rows(name, batch, of_batch), key)
            written += [stored] if stored else []
        # batches whose files were lost have no rows
        sealed = rows[-1][0] if rows else sealed + _BATCHES_AT_ONCE
    return written


def _read_batches(table: ArchiveTable, *, after: int) -> list[tuple[int, pa.Table]]:
    rows = read_batches(table, after + 1, after + _BATCHES_AT_ONCE, _COLUMNS)
    return [
        (batch, rows.filter(pc.equal(rows["batch"], batch))) for batch in sorted(pc.unique(rows["batch"]).to_pylist())
    ]
