"""Counts what was decided day by day: how many events, how much money, by outcome.

A data file never changes, so each is counted once in a process; one that was joined or erased from is another file.

**Cost:** three columns of each file that was not counted yet; a few hundred bytes a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from weir.archive.columns import DAY
from weir.archive.place import Place
from weir.archive.search.blocks import read_columns
from weir.archive.search.matching import OUTCOME
from weir.archive.search.opened import FILES_AT_ONCE, open_topic, read_newest
from weir.schemas.amount_text import list_amounts
from weir.schemas.currencies import CURRENCIES, micro_rate
from weir.schemas.stream import Stream

_MICRO: Final = 1_000_000


@dataclass(frozen=True)
class Count:
    """Decisions of one outcome.

    Attributes:
        money: of their events, in minor units of the base currency; 0 for a stream whose decisions show none.
    """

    number: int = 0
    money: int = 0

    def __add__(self, other: Count) -> Count:
        """Return both."""
        return Count(self.number + other.number, self.money + other.money)


@dataclass(frozen=True)
class Days:
    """What was decided.

    Attributes:
        days: UTC days by append time that have decisions, oldest first, each with the counts by outcome.
        has_money: whether the stream's decisions show money.
        archived_to_ms: append time of the newest decision that is archived; None where none is.
    """

    days: Mapping[date, Mapping[str, Count]]
    has_money: bool
    archived_to_ms: int | None


class DayCounter:
    """Counts the decisions of one stream; one thread at a time."""

    def __init__(self, root: Place, stream: Stream, topic: str) -> None:
        """Open the table; see ``open_topic``."""
        self._table = open_topic(root, topic)
        self._money = next(((amount, currency) for _, amount, currency in list_amounts(stream)), None)
        self._counted: dict[str, Mapping[str, Count]] = {}

    def count(self, days: int) -> Days:
        """Return the last days that there are, up to so many before the newest one.

        Raises:
            Damaged: a file is missing, or is not what was written.
            Transient: the store cannot be read.
        """
        return read_newest(self._table, lambda: self._count(days))

    def _count(self, days: int) -> Days:
        files = self._table.list_files()
        newest = pc.max(files[f"partition.{DAY}"]).as_py()
        first = date.min if newest is None else newest - timedelta(days=days - 1)
        by_path = dict(zip(files["path"].to_pylist(), files[f"partition.{DAY}"].to_pylist(), strict=True))
        self._counted = {path: found for path, found in self._counted.items() if path in by_path}
        wanted = sorted(path for path, day in by_path.items() if day >= first)
        with ThreadPoolExecutor(FILES_AT_ONCE) as threads:
            missing = [path for path in wanted if path not in self._counted]
            self._counted |= dict(zip(missing, threads.map(self._count_file, missing), strict=True))
        found: defaultdict[date, defaultdict[str, Count]] = defaultdict(lambda: defaultdict(Count))
        for path in wanted:
            for outcome, count in self._counted[path].items():
                found[by_path[path]][outcome] += count
        return Days(dict(sorted(found.items())), self._money is not None, pc.max(files["max.append_ms"]).as_py())

    def _count_file(self, path: str) -> Mapping[str, Count]:
        fields = [OUTCOME, *(self._money or ())]
        stored = self._table.schema()
        with self._table.place.files.open_input_file(path) as source:
            rows = read_columns(pq.ParquetFile(source), stored, fields)
        rows = rows.filter(rows[OUTCOME].is_valid())  # those that were erased or could not be decoded have none
        if self._money is None or not {*self._money} <= set(stored.names):
            return {str(each["values"]): Count(each["counts"]) for each in rows[OUTCOME].value_counts().to_pylist()}
        return _sum(rows, *self._money)


def _sum(rows: pa.Table, amount: str, currency: str) -> Mapping[str, Count]:
    """Return numbers and money by outcome; each amount is converted as the windows convert it."""
    found: dict[str, Count] = {}
    for outcome in rows[OUTCOME].unique().to_pylist():
        of_outcome = rows.filter(pc.equal(rows[OUTCOME], outcome))
        found[outcome] = Count(len(of_outcome))
        for code in set(of_outcome[currency].unique().to_pylist()) & CURRENCIES:
            amounts = of_outcome.filter(pc.equal(of_outcome[currency], code))[amount].drop_null()
            found[outcome] += Count(0, _convert(amounts.to_numpy(), code))
    return found


def _convert(amounts: npt.NDArray[np.int64], currency: str) -> int:
    sizes = (np.abs(amounts) * micro_rate(currency) + _MICRO // 2) // _MICRO
    return int(np.sum(np.sign(amounts) * sizes))
