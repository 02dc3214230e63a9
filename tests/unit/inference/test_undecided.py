"""Whether rows are left that only a scorer decides, over logs in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from weir.inference import undecided
from weir.inference.undecided import StillUndecided, Undecided
from weir.infra.settings import load_settings

ROW, DECIDED, HOLE, GARBAGE = "row", "decided", "hole", "garbage"


@dataclass(frozen=True)
class _Message:
    at: int
    what: str

    def offset(self) -> int:
        return self.at


class _History:
    """A log in memory; its end may be holes, as markers of transactions are."""

    def __init__(self, log: list[str]) -> None:
        self.records = [_Message(at, what) for at, what in enumerate(log) if what != HOLE]

    def low(self, _: object) -> int:
        return 0

    def first_message(self, _: object, start: int) -> _Message | None:
        return next((each for each in self.records if each.at >= start), None)

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


def _check(monkeypatch: pytest.MonkeyPatch, log: list[str], committed: int | None) -> None:
    monkeypatch.setattr(undecided, "end_offsets", lambda *_: {0: len(log)})
    monkeypatch.setattr(undecided, "read_committed_offsets", lambda *_: [committed])
    monkeypatch.setattr(undecided, "History", lambda _: _History(log))
    monkeypatch.setattr(undecided, "FeatureRowReader", _Reader)
    Undecided(load_settings({})).check()


@pytest.mark.parametrize(
    ("log", "committed"),
    [
        ([], None),
        ([DECIDED, DECIDED], None),
        ([ROW, ROW, HOLE], 2),
        ([ROW, ROW], 2),
        ([ROW, DECIDED, HOLE, HOLE], 1),
        ([HOLE, HOLE], None),
    ],
)
def test_nothing_is_owed_of_what_is_decided(
    monkeypatch: pytest.MonkeyPatch, log: list[str], committed: int | None
) -> None:
    _check(monkeypatch, log, committed)


@pytest.mark.parametrize(
    ("log", "committed"),
    [
        ([ROW], None),
        ([ROW, ROW, HOLE], 1),
        ([DECIDED, ROW, HOLE], 0),
        ([ROW, DECIDED], None),
        ([DECIDED, GARBAGE], 1),
    ],
)
def test_a_row_that_nobody_decided_is_told(
    monkeypatch: pytest.MonkeyPatch, log: list[str], committed: int | None
) -> None:
    with pytest.raises(StillUndecided, match="start `weir score`"):
        _check(monkeypatch, log, committed)
