"""What follows one topic: rows in hand that are not in its table yet, and when they are to be.

**Cost:** the rows in hand, some twice the bytes of their records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from confluent_kafka import Message

from weir.archive.log import read_raw
from weir.archive.rows import Raw, RowMaker
from weir.archive.suspects import Suspects
from weir.archive.table import ArchiveTable, OnStep
from weir.schemas.avro.framing import IdOfGuid

ROWS_BYTES_MAX = 16 << 20
"""Rows in hand of one topic are committed at this size, whatever their number: sorted and written, they take five times
as much for a moment, and an archiver stays under 500 MB."""


@dataclass(frozen=True)
class Pace:
    """How long rows may be in hand, and how many."""

    seconds: float
    rows: int


class Follower:
    """Collects and commits the rows of one topic."""

    def __init__(
        self,
        table: ArchiveTable,
        maker: RowMaker,
        id_of_guid: IdOfGuid | None,
        pace: Pace,
        monotonic: Callable[[], float],
        suspects: Suspects | None = None,
    ) -> None:
        """Bind a topic's records to its table.

        Args:
            table: that follows.
            maker: of its rows.
            id_of_guid: of the topic's subject; None where its values are not decoded.
            pace: when to commit.
            monotonic: seconds.
            suspects: which records may end this process; None where values are not decoded.
        """
        self.table = table
        self._maker = maker
        self._id_of_guid = id_of_guid
        self._pace = pace
        self._monotonic = monotonic
        self._suspects = suspects
        self._rows: list[pa.RecordBatch] = []
        self._next: dict[int, int] = {}
        self._oldest_at = 0.0
        self._oldest_ms: dict[int, int] = {}

    @property
    def rows(self) -> int:
        """How many rows are in hand."""
        return sum(map(len, self._rows))

    @property
    def nbytes(self) -> int:
        """What the rows in hand take in memory."""
        return sum(each.nbytes for each in self._rows)

    @property
    def positions(self) -> Mapping[int, int]:
        """The offset that each partition is read up to."""
        return self._next

    @property
    def oldest_ms(self) -> int | None:
        """The append time of the oldest record in hand; None where there is none."""
        return min(self._oldest_ms.values(), default=None)

    def begin(self, starts: Mapping[int, int]) -> None:
        """Set where partitions are read from."""
        self._next |= starts

    def begin_added(self, numbers: Sequence[int]) -> None:
        """Begin partitions that were added to the topic just now: at their first record, or where they are archived."""
        self._next |= {number: known or 0 for number, known in self.table.begin(numbers).items()}

    def take(self, messages: Sequence[Message]) -> None:
        """Take records that follow those that were taken; one that does not is an old one of the client's.

        Raises:
            Transient: the registry is unreachable; take the same again.
        """
        fresh = [each for each in messages if each.offset() >= self._next.get(each.partition(), 0)]
        if not fresh:
            return
        raw = read_raw(fresh, self._id_of_guid)
        made = self._make(raw)
        if not self._rows:
            self._oldest_at = self._monotonic()
        self._rows.append(made)
        for partition, offset, append_ms in zip(raw.partitions, raw.offsets, raw.append_ms, strict=True):
            self._next[partition] = offset + 1
            self._oldest_ms.setdefault(partition, append_ms)

    def _make(self, raw: Raw) -> pa.RecordBatch:
        if self._suspects is None:
            return self._maker.make(raw)
        self._suspects.sort(raw)
        with self._suspects.decoding(raw):
            return self._maker.make(raw)

    def reach(self, partition: int, offset: int) -> None:
        """Note that a partition has no more records below an offset."""
        self._next[partition] = max(offset, self._next.get(partition, 0))

    def is_due(self) -> bool:
        """True when the rows in hand are to be committed now."""
        if not self._rows:
            return False
        is_old = self._monotonic() - self._oldest_at >= self._pace.seconds
        return is_old or self.rows >= self._pace.rows or self.nbytes >= ROWS_BYTES_MAX

    def commit(self, on_step: OnStep) -> int:
        """Add the rows in hand to the table and return how many they were; after ``Transient``, call it again.

        Raises:
            Overtaken: another archiver follows a partition of ours.
            Transient: the store cannot be used now.
        """
        count = self.rows
        if count:
            self.table.append(self._rows, self._next, on_step)
            self._rows = []
            self._oldest_ms = {}
        return count
