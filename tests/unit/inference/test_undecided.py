"""Whether rows are left that only a scorer decides, over logs in memory."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from weir.inference import undecided
from weir.inference.undecided import StillUndecided, Undecided
from weir.infra.kafka.group_position import format_note
from weir.infra.settings import load_settings

ROW, DECIDED, HOLE, GARBAGE = "row", "decided", "hole", "garbage"


@dataclass(frozen=True)
class _Message:
    at: int
    what: str

    def offset(self) -> int:
        return self.at


class _History:
    """A log in memory, a record each millisecond from 1 on; its end may be holes, as markers of transactions are."""

    def __init__(self, log: list[str]) -> None:
        self.end = len(log)
        self.records = [_Message(at, what) for at, what in enumerate(log) if what != HOLE]

    def low(self, _: object) -> int:
        return 0

    def offset_at_time(self, _: object, timestamp_ms: int) -> int:
        return min(timestamp_ms - 1, self.end)

    def read(self, _: object, start: int, end: int) -> Any:
        yield from ([each] for each in self.records if start <= each.at < end)

    def close(self) -> None:
        return


class _Batch:
    def __init__(self, rows: list[_Message]) -> None:
        self.rows = rows

    def undecided(self) -> list[_Message]:
        return [row for row in self.rows if row.what == ROW]


@dataclass(frozen=True)
class _Read:
    batch: _Batch
    unreadable: list[_Message]


class _Reader:
    def __init__(self, *_: object) -> None:
        return

    def from_avro(self, messages: list[_Message]) -> _Read:
        readable = [each for each in messages if each.what != GARBAGE]
        return _Read(_Batch(readable), [each for each in messages if each.what == GARBAGE])


def _check(monkeypatch: pytest.MonkeyPatch, log: list[str], committed: int | None, until_ms: int | None = None) -> None:
    note = format_note("id", 1, undecided_until_ms=until_ms)
    source = SimpleNamespace(partition=0, offset=9, error=None, metadata=note)
    monkeypatch.setattr(undecided, "end_offsets", lambda *_: {0: len(log)})
    monkeypatch.setattr(undecided, "read_committed_offsets", lambda *_: [committed])
    monkeypatch.setattr(undecided, "read_committed", lambda *_: [source])
    monkeypatch.setattr(undecided, "History", lambda _: _History(log))
    monkeypatch.setattr(undecided, "FeatureRowReader", _Reader)
    Undecided(load_settings({})).check()


@pytest.mark.parametrize(
    ("log", "committed", "until_ms"),
    [
        ([], None, None),
        ([DECIDED, DECIDED], None, None),
        ([ROW, ROW, HOLE], 2, None),
        ([ROW, ROW], 2, None),
        ([ROW, DECIDED, HOLE, HOLE], 1, None),
        ([HOLE, HOLE], None, None),
        ([ROW, DECIDED, ROW, DECIDED, DECIDED], 3, 3),
        ([ROW, DECIDED, DECIDED], 1, 0),
    ],
)
def test_nothing_is_owed_of_what_is_decided(
    monkeypatch: pytest.MonkeyPatch, log: list[str], committed: int | None, until_ms: int | None
) -> None:
    _check(monkeypatch, log, committed, until_ms)


@pytest.mark.parametrize(
    ("log", "committed", "until_ms"),
    [
        ([ROW], None, None),
        ([ROW, ROW, HOLE], 1, None),
        ([DECIDED, ROW, HOLE], 0, None),
        ([ROW, DECIDED], None, None),
        ([DECIDED, GARBAGE], 1, None),
        ([DECIDED, ROW, DECIDED], None, None),
        ([DECIDED, ROW, DECIDED, DECIDED], 1, 2),
        ([DECIDED, HOLE, ROW, HOLE, DECIDED], 0, 3),
    ],
)
def test_a_row_that_nobody_decided_is_told(
    monkeypatch: pytest.MonkeyPatch, log: list[str], committed: int | None, until_ms: int | None
) -> None:
    with pytest.raises(StillUndecided, match="start `weir score`"):
        _check(monkeypatch, log, committed, until_ms)


@pytest.mark.parametrize(("until_ms", "read"), [(None, 5), (0, 0), (3, 3)])
def test_rows_that_were_made_and_decided_since_are_not_read(
    monkeypatch: pytest.MonkeyPatch, until_ms: int | None, read: int
) -> None:
    seen: list[_Message] = []

    def read_and_note(_: object, given: list[_Message]) -> _Read:
        seen.extend(given)
        return _Read(_Batch([]), [])

    monkeypatch.setattr(_Reader, "from_avro", read_and_note)
    _check(monkeypatch, [DECIDED] * 5, None, until_ms)
    assert len(seen) == read
