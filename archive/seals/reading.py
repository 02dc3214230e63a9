"""Reads the rows of some batches of a table, and only the files that can hold them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

_BATCH = "batch"


def read_batches(table: DeltaTable, first: int, last: int, columns: Sequence[str]) -> pa.Table:
    """Return columns of the rows of batches from one to another, both included, in no order."""
    files = table.to_pyarrow_dataset(file_pruning_predicate=[(_BATCH, ">=", first), (_BATCH, "<=", last)])
    wanted = (ds.field(_BATCH) >= first) & (ds.field(_BATCH) <= last)
    return files.to_table(columns=list(columns), filter=wanted)
