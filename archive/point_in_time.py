"""Finds the newest row of a key at or before an asked time: a point-in-time join, one row for each that is asked. Pure.

Rows are given in parts, in no order, and of each part is kept what is the newest so far. Of two rows of one time the
one that was appended later is newer, then the higher partition and offset: an answer never depends on the order.

**Cost:** memory of what is asked and what it finds, at most twice; of a part, a sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Times: TypeAlias = npt.NDArray[np.int64]
PLACE: Final = ("append_ms", "partition", "offset")
"""Which of two rows of one time is newer."""
_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Asked:
    """What is asked; all of one length.

    Attributes:
        keys: of the type of the rows' keys; null finds nothing.
        newest_ms: a row of this time or before it is wanted, UTC epoch milliseconds.
        oldest_ms: and of this one or after it.
        known_ms: a row counts that was appended by this time; None where any does.
    """

    keys: pa.Array
    newest_ms: Times
    oldest_ms: Times
    known_ms: Times | None = None


class NewestRows:
    """The newest row for each that is asked, of the rows that were given so far."""

    def __init__(self, asked: Asked, schema: pa.Schema, *, key: str, time: str) -> None:
        """Have nothing yet.

        Args:
            asked: what is wanted.
            schema: the columns of the rows, those of ``PLACE`` among them.
            key: column of a row's key.
            time: column of a row's time, UTC epoch milliseconds.
        """
        self._asked, self._key, self._time = asked, key, time
        self._keys = asked.keys.unique().drop_null()
        self._code = _codes(asked.keys, self._keys)
        self._found = np.full((1 + len(PLACE), len(asked.keys)), _NEVER)
        self._at = np.full(len(asked.keys), -1)
        self._kept = schema.empty_table()

    def add(self, rows: pa.Table) -> None:
        """Look at some rows; those with null for a key or a time are nobody's."""
        code = _codes(rows[self._key], self._keys)
        is_wanted = (code >= 0) & rows[self._time].is_valid().to_numpy()
        rows, code = rows.filter(pa.array(is_wanted)), code[is_wanted]
        if not len(rows):
            return
        order = [_numbers(rows, name) for name in (self._time, *PLACE)]
        by_key = np.lexsort((*reversed(order), code))
        columns, code = np.array(order)[:, by_key], code[by_key]
        places = self._locate(code, columns[0])
        if self._asked.known_ms is not None:
            places = _step_back(places, columns[1], self._asked.known_ms)
        self._take(rows, by_key, code, columns, places)

    def rows(self) -> pa.Table:
        """Return a row for each that is asked, in that order; all null where there is none."""
        return self._kept.take(pa.array(self._at, mask=self._at < 0))

    def _locate(self, code: npt.NDArray[np.int64], times: Times) -> npt.NDArray[np.int64]:
        """Return the place of the last sorted row that is not after what is asked, of whatever key; -1 for none."""
        ranks = np.unique(times)
        step = len(ranks) + 1
        of_rows = code * step + np.searchsorted(ranks, times)
        of_asked = self._code * step + np.searchsorted(ranks, self._asked.newest_ms, side="right") - 1
        return np.searchsorted(of_rows, of_asked, side="right") - 1

    def _take(
        self,
        rows: pa.Table,
        by_key: npt.NDArray[np.int64],
        code: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        places: npt.NDArray[np.int64],
    ) -> None:
        found = columns[:, places]
        is_found = (places >= 0) & (code[places] == self._code) & (found[0] >= self._asked.oldest_ms)
        better = np.flatnonzero(is_found & _is_newer(found, self._found))
        self._found[:, better] = found[:, better]
        self._at[better] = len(self._kept) + np.arange(len(better))
        self._kept = pa.concat_tables([self._kept, rows.take(pa.array(by_key[places[better]]))])
        if len(self._kept) > 2 * len(self._at):
            self._drop_unused()

    def _drop_unused(self) -> None:
        has = np.flatnonzero(self._at >= 0)
        self._kept = self._kept.take(pa.array(self._at[has])).combine_chunks()
        self._at[has] = np.arange(len(has))


def find_latest(rows: pa.Table, keys: Sequence[str], time: str) -> pa.Table:
    """Return the newest row of each key; a key is what several columns hold.

    Args:
        rows: with the columns of ``PLACE``; one with null for a key or a time is left out.
        keys: columns.
        time: column of a row's time.
    """
    is_whole = np.logical_and.reduce([rows[name].is_valid().to_numpy() for name in (*keys, time)])
    rows = rows.filter(pa.array(is_whole))
    newest_first = [(name, "descending") for name in (time, *PLACE)]
    rows = rows.sort_by([*((key, "ascending") for key in keys), *newest_first])
    is_first = np.ones(len(rows), np.bool_)
    if len(rows) > 1:
        same = [pc.equal(rows[key].slice(1), rows[key].slice(0, len(rows) - 1)).to_numpy() for key in keys]
        is_first[1:] = ~np.logical_and.reduce(same)
    return rows.filter(pa.array(is_first))


def _codes(values: pa.Array | pa.ChunkedArray, keys: pa.Array) -> npt.NDArray[np.int64]:
    """Return the place of each value among the keys; -1 where it is none of them, or null."""
    found = pc.index_in(values, value_set=keys, skip_nulls=True)
    return np.asarray(found.cast(pa.int64()).fill_null(-1).to_numpy(), np.int64)


def _numbers(rows: pa.Table, name: str) -> Times:
    return np.asarray(rows[name].cast(pa.int64()).to_numpy(), np.int64)


def _is_newer(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return where a column of numbers, the first one first, is above another."""
    newer: npt.NDArray[np.bool_] = left[-1] > right[-1]
    for above, below in zip(left[-2::-1], right[-2::-1], strict=True):
        newer = (above > below) | ((above == below) & newer)
    return newer


def _step_back(places: npt.NDArray[np.int64], appended: Times, known_ms: Times) -> npt.NDArray[np.int64]:
    """Return for each place the last one up to it whose row was appended in time; -1 where there is none.

    The least append time of the 1, 2, 4 … rows up to each place is made first, then halves are passed by: no row is
    looked at one by one, however many came too late.
    """
    least = [appended]
    while 1 << len(least) <= len(appended):
        half = 1 << (len(least) - 1)
        wider = least[-1].copy()
        np.minimum(least[-1][half:], least[-1][:-half], out=wider[half:])
        least.append(wider)
    places = places.copy()
    for level in reversed(range(len(least))):
        is_late = (places >= 0) & (least[level][places] > known_ms)
        places[is_late] -= 1 << level
    return np.maximum(places, -1)
