"""How long a next view is built: until it is nearly there, until it is taken over, until somebody has had enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from weir.infra.redis.unit import Unit
from weir.schemas.errors import Transient
from weir.streaming.next_view import READY_RECORDS, Builder

HASH = "0123456789abcdef"
UNITS = [Unit("t", 0), Unit("t", 1)]


class View:
    """Units that have so many records to fold, one after the other; below 0 is a server that is away."""

    def __init__(self, rounds: list[tuple[int, int]], taken: list[list[Unit]]) -> None:
        self._left: Iterator[int] = (passed for each in rounds for passed in each)
        self._taken = iter(taken)
        self._waiting = list(UNITS)

    def waiting(self) -> list[Unit]:
        return list(self._waiting)

    def build(self, unit: Unit, should_stop: Callable[[], bool]) -> int:
        del should_stop
        passed = next(self._left)
        if unit == UNITS[-1]:  # as processors of the next declarations take units over
            taken = next(self._taken, [])
            self._waiting = [each for each in self._waiting if each not in taken]
        if passed < 0:
            raise Transient("redis: away")
        return passed


def _run(view: View, *, until_ready: bool = False, turns: int = 50) -> tuple[bool, list[str]]:
    told: list[str] = []
    asked = iter(range(turns))
    builder = Builder(view, lambda: next(asked, None) is None, told.append, lambda _: None)
    return builder.run(HASH, lambda _: None, until_ready=until_ready), told


def test_it_is_ready_when_a_round_had_little_to_fold_and_ends_when_every_unit_is_taken_over() -> None:
    view = View([(READY_RECORDS, 1), (READY_RECORDS, 0), (3, 3), (3, 0)], [[], [], [], UNITS])
    done, told = _run(view)
    assert done
    assert [line.split(" ")[0] for line in told] == ["ready", "cut"]


def test_asked_for_it_ends_as_soon_as_it_is_ready() -> None:
    done, told = _run(View([(1, 1)], []), until_ready=True)
    assert done
    assert told[0].startswith("ready after")
    assert HASH in told[0]


def test_a_server_that_was_away_is_asked_again_and_the_round_does_not_count() -> None:
    view = View([(-1, -1), (0, -1), (0, 0)], [[], [], []])
    done, told = _run(view, until_ready=True)
    assert (done, len(told)) == (True, 1)


def test_told_to_stop_before_it_was_ready_it_says_no() -> None:
    assert _run(View([(READY_RECORDS, 1)] * 50, []), turns=8) == (False, [])


def test_a_server_that_stays_away_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.streaming.next_view._AWAY_SECONDS_MAX", -1.0)
    with pytest.raises(Transient, match="away"):
        _run(View([(-1, -1)], []))
