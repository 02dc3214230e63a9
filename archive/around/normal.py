"""The windows of an event's key against what they were at its earlier events: its own normal. ``compare`` is pure.

**Cost:** the key's rows of some days, one or two row groups of each file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from weir.archive.around.rows import FeatureTable
from weir.archive.reader import Row
from weir.schemas.durations import DAY_MS

DAYS: Final = 90
ROWS_MAX: Final = 5_000
"""The newest ones are taken; a terminal that is a key has millions."""
TOO_FEW: Final = 20
"""Below it nothing is said: of fewer values the 5th and the 95th percentile are the ends."""
_LOW, _HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Compared:
    """A value against earlier ones.

    Attributes:
        count: of earlier values that are not missing.
        low: their 5th percentile, interpolated; None where there are too few.
        median: likewise.
        high: the 95th, likewise.
        share_below: share of the earlier values below it, equal ones by half, 0 to 1; None where there are too few or
            it is missing.
        excess: how far it lies outside the two percentiles, in widths of what is between them; in units of the median
            where they are the same, and as it is where that is 0 too.
    """

    count: int
    low: float | None = None
    median: float | None = None
    high: float | None = None
    share_below: float | None = None
    excess: float = 0.0

    @property
    def unusual(self) -> tuple[float, float]:
        """What sorts the most unusual one first, highest first: how far out by rank, then by distance."""
        return (-1.0, 0.0) if self.share_below is None else (abs(2 * self.share_below - 1), self.excess)


def compare(value: float | None, earlier: npt.NDArray[np.float64]) -> Compared:
    """Compare a value with earlier ones.

    >>> compare(9.0, np.arange(1.0, 22.0)).share_below, compare(9.0, np.arange(3.0)).low
    (0.40476190476190477, None)

    Args:
        value: None or NaN where it is missing.
        earlier: shape (rows,); NaN where missing.
    """
    there = earlier[~np.isnan(earlier)]
    if len(there) < TOO_FEW:
        return Compared(len(there))
    low, median, high = (float(each) for each in np.quantile(there, (_LOW, 0.5, _HIGH)))
    if value is None or math.isnan(value):
        return Compared(len(there), low, median, high)
    below = float(np.mean(there < value) + np.mean(there == value) / 2)
    outside = max(value - high, low - value, 0.0)
    return Compared(len(there), low, median, high, below, outside / (high - low or abs(median) or 1.0))


def find_normal(table: FeatureTable, row: Row) -> dict[str, Any]:
    """Return the windows of an event's key against its earlier rows, the most unusual first, as JSON holds them.

    Args:
        table: of the stream's feature rows.
        row: of the event, by its columns.

    Raises:
        Transient: the store cannot be read.
    """
    stream = table.stream
    windows = {each.name: each.name for each in stream.all_features if each.window and each.entity == stream.key.name}
    columns = table.list_stored(windows)
    earlier, first_ms = _read_earlier(table, row, list(columns.values()))
    found = {name: compare(row[column], earlier[column]) for name, column in columns.items()}
    order = sorted(found, key=lambda name: found[name].unusual, reverse=True)
    return {
        "id": row["id"],
        "key": str(row[table.columns[stream.key.field]]),
        "from_ms": first_ms,
        "rows": next((len(values) for values in earlier.values()), 0),
        "too_few": TOO_FEW,
        "windows": [_describe(name, row[columns[name]], found[name]) for name in order],
    }


def _read_earlier(
    table: FeatureTable, row: Row, columns: list[str]
) -> tuple[Mapping[str, npt.NDArray[np.float64]], int | None]:
    """Return the columns of the newest rows of the event's key before it, and when the first of them was appended."""
    at = row["append_ms"], row["partition"], row["offset"]
    names = ["append_ms", "partition", "offset", *columns]
    found = table.reader.history(row["key"], max(at[0] - DAYS * DAY_MS, 0), at[0] + 1, names)
    is_same = pc.and_(pc.equal(found["append_ms"], at[0]), pc.equal(found["partition"], at[1]))
    is_after = pc.and_(is_same, pc.greater_equal(found["offset"], at[2]))
    found = found.filter(pc.invert(is_after))
    found = found.slice(max(len(found) - ROWS_MAX, 0))
    values = {name: found[name].to_numpy().astype(np.float64) for name in columns}
    return values, found["append_ms"][0].as_py() if len(found) else None


def _describe(name: str, value: float | None, compared: Compared) -> dict[str, Any]:
    return {
        "feature": name,
        "value": value,
        "count": compared.count,
        "low": compared.low,
        "median": compared.median,
        "high": compared.high,
        "share_below": compared.share_below,
    }
