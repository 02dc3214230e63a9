"""Which files are read for what was made of some events: those of soon after each first, the others where it lacks."""

from __future__ import annotations

from typing import Any

import numpy as np

from weir.archive.reader import MayHold
from weir.archive.records import Record
from weir.archive.timeline.logged import _Reader
from weir.schemas.durations import DAY_MS, MINUTE_MS

DAYS = 10
Row = dict[str, Any]


class Reader(_Reader):
    """Reads a file for each day, and notes which."""

    def __init__(self, events: list[int], counted: set[int], rows: dict[int, int]) -> None:
        """Take the append times of events, the numbers of those that count, and by number when a row was appended."""
        found = [
            Record("events", {"partition": 0, "offset": n, "append_ms": at, "key": b"k"}) for n, at in _all(events)
        ]
        super().__init__(None, None, found, {(0, number) for number in counted})  # type: ignore[arg-type]
        self._rows = rows
        self.days: list[int] = []

    def _read_between(
        self, topic: str, schema: str, first_ms: int, end_ms: int, may_hold: MayHold | None = None
    ) -> dict[tuple[int, int], Row]:
        del topic, schema
        low = np.arange(DAYS, dtype=np.int64) * DAY_MS
        is_read = (low < end_ms) & (low + DAY_MS > first_ms)
        if may_hold is not None:
            is_read &= may_hold(low, low + DAY_MS - 1)
        self.days += np.flatnonzero(is_read).tolist()
        return {
            (0, number): {} for number, at in self._rows.items() if is_read[at // DAY_MS] and first_ms <= at < end_ms
        }

    def found(self) -> list[int]:
        return sorted(number for _, number in self.read("features", ""))


def _all(times: list[int]) -> list[tuple[int, int]]:
    return list(enumerate(times))


def _soon(days: list[int]) -> tuple[list[int], dict[int, int]]:
    """Return events at noon of some days, and their rows of a second later."""
    events = [day * DAY_MS + DAY_MS // 2 for day in days]
    return events, {number: at + 1_000 for number, at in _all(events)}


def test_days_without_an_event_are_not_read() -> None:
    events, rows = _soon([1, 4, 8])
    reader = Reader(events, {0, 1, 2}, rows)
    assert reader.found() == [0, 1, 2]
    assert reader.days == [1, 4, 8]


def test_a_row_of_after_midnight_is_in_the_next_days_file() -> None:
    reader = Reader([2 * DAY_MS - 1_000, 6 * DAY_MS], {0, 1}, {0: 2 * DAY_MS + 5, 1: 6 * DAY_MS})
    assert reader.found() == [0, 1]
    assert reader.days == [1, 2, 6]


def test_a_row_that_came_hours_later_is_found_and_no_file_is_read_twice_for_it() -> None:
    events, rows = _soon([1, 4, 8])
    rows[1] += DAY_MS
    reader = Reader(events, {0, 1, 2}, rows)
    assert reader.found() == [0, 1, 2]
    assert sorted(reader.days) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_row_of_an_event_that_should_have_none_is_looked_for_between_the_first_and_the_last() -> None:
    events, rows = _soon([1, 4, 8])
    rows[1] += 10 * MINUTE_MS
    assert Reader(events, {0, 2}, rows).found() == [0, 1, 2]
    del rows[1]
    reader = Reader(events, {0, 2}, rows)
    assert reader.found() == [0, 2]
    assert sorted(reader.days) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_row_that_came_days_after_the_last_event_is_found() -> None:
    events, rows = _soon([1, 2])
    rows[1] += 5 * DAY_MS
    assert Reader(events, {0, 1}, rows).found() == [0, 1]
