"""Two tables of features of the same events, computed one after the other from the same history and read side by side.

**Cost:** the kernel's over the whole history, once for each; temporary disk for both tables, and memory of the state of
one and of a few columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from weir.archive.features.backfill import backfill_archive
from weir.archive.features.declarations import Declared
from weir.archive.features.figures import Column
from weir.archive.features.history import SOURCE, Snapshot
from weir.inference.core.vector import Matrix

_BATCH_ROWS = 50_000
_OFFSET_BITS = 44


class Computed:
    """The features of one side.

    Attributes:
        declared: what they are by.
        counts: what was read, written and left out.
    """

    def __init__(self, declared: Declared, archive: Snapshot, path: Path) -> None:
        """Compute them.

        Args:
            declared: the declarations.
            archive: that is read.
            path: of the table that is written.
        """
        self.declared = declared
        self._path = path
        self.counts = backfill_archive(declared.settings, archive, path)

    @cached_property
    def places(self) -> npt.NDArray[np.int64]:
        """Where each row's event was, as one number."""
        partition, offset = (pq.read_table(self._path, columns=[name])[name].to_numpy() for name in SOURCE)
        found: npt.NDArray[np.int64] = (partition << _OFFSET_BITS) | offset
        return found

    def read(self, name: str) -> Column:
        """Return a feature, NaN where it is missing."""
        found: Column = pq.read_table(self._path, columns=[name])[name].to_numpy()
        return found

    def batches(self, names: Sequence[str]) -> Iterator[Matrix]:
        """Yield features as float32, shape (rows, len(names))."""
        with pq.ParquetFile(self._path) as table:
            for batch in table.iter_batches(_BATCH_ROWS, columns=list(names)):
                columns = [batch[name].to_numpy(zero_copy_only=False) for name in names]
                yield np.stack(columns, axis=1).astype(np.float32)


class Pair:
    """Both sides, by the rows that both have; these are in one order."""

    def __init__(self, old: Computed, new: Computed) -> None:
        """Find the rows that both have."""
        self.old, self.new = old, new
        self._kept = np.isin(old.places, new.places), np.isin(new.places, old.places)

    @property
    def rows(self) -> int:
        """How many events both have counted."""
        return int(self._kept[0].sum())

    @property
    def common(self) -> list[str]:
        """Features that both declare, in the order of the new ones."""
        there = set(self.old.declared.stream.feature_names)
        return [name for name in self.new.declared.stream.feature_names if name in there]

    def read(self, name: str) -> tuple[Column, Column]:
        """Return a feature of both."""
        return self.keep(self.old.read(name), self.new.read(name))

    def keep(self, old: Column, new: Column) -> tuple[Column, Column]:
        """Return of a value of each row of either side those of the rows that both have."""
        return old[self._kept[0]], new[self._kept[1]]
