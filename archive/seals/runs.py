"""Which offsets of each partition a seal is about, as runs of consecutive ones. Pure.

A log has holes, where a transaction ended or was aborted, so a first and a last offset alone would not tell a row that
was removed from one that never was. Runs tell, and take a few bytes for each transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.schemas.errors import Damaged

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Offsets by partition, ascending: first offset and length of each run."""

    of: Mapping[int, tuple[tuple[int, int], ...]]

    @property
    def count(self) -> int:
        """Return how many offsets there are."""
        return sum(length for runs in self.of.values() for _, length in runs)

    def index_of(self, partition: int, offset: int) -> int | None:
        """Return the position of an offset among all of them, partitions ascending; None where it is none of them."""
        before = 0
        for number in sorted(self.of):
            for first, length in self.of[number]:
                if number == partition and first <= offset < first + length:
                    return before + offset - first
                before += length
        return None

    def offsets_of(self, partition: int) -> Offsets:
        """Return a partition's offsets, ascending."""
        parts = [np.arange(first, first + length, dtype=np.int64) for first, length in self.of.get(partition, ())]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def to_data(self) -> dict[str, list[list[int]]]:
        """Return them as JSON holds them."""
        return {str(partition): [list(run) for run in self.of[partition]] for partition in sorted(self.of)}


def read_runs(data: Mapping[str, list[list[int]]]) -> Runs:
    """Return runs as ``to_data`` wrote them.

    >>> read_runs({"0": [[5, 2]]}).index_of(0, 6)
    1
    """
    return Runs({int(partition): tuple((first, length) for first, length in runs) for partition, runs in data.items()})


def build_runs(rows: pa.Table) -> Runs:
    """Return the runs of rows that are ordered by partition and offset.

    Raises:
        Damaged: an offset is there twice, or rows are not in order.
    """
    return Runs({partition: tuple(_cut(partition, offsets)) for partition, offsets in _by_partition(rows)})


def _by_partition(rows: pa.Table) -> Iterator[tuple[int, Offsets]]:
    for partition in pc.unique(rows["partition"]).to_pylist():
        offsets = rows.filter(pc.equal(rows["partition"], partition))["offset"].to_numpy()
        yield partition, offsets.astype(np.int64)


def _cut(partition: int, offsets: Offsets) -> Iterator[tuple[int, int]]:
    steps = np.diff(offsets)
    if (steps <= 0).any():
        at = int(offsets[int(np.flatnonzero(steps <= 0)[0])])
        raise Damaged(f"expected each offset once and in order, found another after {partition}@{at}")
    starts = np.concatenate([[0], np.flatnonzero(steps != 1) + 1])
    lengths = np.diff(np.append(starts, len(offsets)))
    yield from zip(offsets[starts].tolist(), lengths.tolist(), strict=True)
