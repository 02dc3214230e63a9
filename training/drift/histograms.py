"""Histograms with fixed edges: rows are counted as they come, in parts of any size. Pure.

The edges of a column are quantiles of the reference, so that each bin between them has a like share of it, and its
smallest and its largest value: what lies below the one or above the other was never seen and has a bin of its own.
Missing values are the last bin.

**Cost:** per column and row a binary search among at most ``BINS + 1`` edges, some 30 ns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BINS: Final = 10
"""As the population stability index is usual; more bins see more noise."""
Counts = npt.NDArray[np.int64]
Edges = npt.NDArray[np.float32]


def compute_edges(values: npt.NDArray[Any]) -> Edges:
    """Return the edges for a column, float32, ascending; none where every value is missing.

    >>> compute_edges(np.array([0, 0, 0, 0, 1, np.nan], dtype=np.float32))
    array([-1.e-45,  0.e+00,  1.e+00], dtype=float32)
    """
    present = values[np.isfinite(values)].astype(np.float32)
    if not len(present):
        return np.empty(0, np.float32)
    inner = np.quantile(present, np.arange(1, BINS + 1) / BINS, method="lower")
    below = np.nextafter(present.min(), np.float32(-np.inf))
    return np.unique(np.append(below, inner).astype(np.float32))


def count_values(edges: Edges, values: npt.NDArray[Any]) -> Counts:
    """Return how many values are in each bin: up to each edge, above the last one, missing.

    >>> count_values(np.array([0, 1], np.float32), np.array([0, 1, 1, 5, np.nan], np.float32))
    array([1, 2, 1, 1])
    """
    is_missing = np.isnan(values)
    places = np.searchsorted(edges, values[~is_missing].astype(np.float32), side="left")
    return np.append(np.bincount(places, minlength=len(edges) + 1), int(is_missing.sum())).astype(np.int64)


class Histograms:
    """The rows of one interval, counted by column.

    Attributes:
        counts: per column, as ``count_values`` returns them.
        rows: that were counted.
    """

    def __init__(self, edges: Sequence[Edges]) -> None:
        """Begin with no rows; the edges are those of each column."""
        self._edges = edges
        self._keys: set[Any] = set()
        self.counts: list[Counts] = [np.zeros(len(each) + 2, np.int64) for each in edges]
        self.rows = 0

    @property
    def keys(self) -> int:
        """How many keys the rows are of."""
        return len(self._keys)

    def add(self, columns: Sequence[npt.NDArray[Any]], keys: Sequence[Any]) -> None:
        """Count rows.

        Args:
            columns: the values of each column, shape (rows,).
            keys: of the rows.
        """
        for at, (edges, values) in enumerate(zip(self._edges, columns, strict=True)):
            self.counts[at] += count_values(edges, values)
        self._keys.update(keys)
        self.rows += len(keys)
