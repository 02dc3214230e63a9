"""How many lines an outage of Redis writes: fifty in twenty seconds hide every other one."""

from __future__ import annotations

import logging

import pytest

from weir.infra.redis.unit import Unit
from weir.schemas.errors import Transient
from weir.streaming.state.outage import FIRST_SECONDS, LONGEST_SECONDS, Outage

ONE, OTHER = Unit("t", 0), Unit("t", 1)
ERROR = Transient("redis: no answer")


class _Case:
    """An outage whose clock the test moves."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.now = 100.0
        self.outage = Outage(lambda: self.now)

    def fail(self, unit: Unit = ONE, *, cause: str = "away", seconds: float = 0.0, every: float = 1.0) -> None:
        end = self.now + seconds
        self.outage.note_failure(unit, cause, ERROR)
        while self.now < end:
            self.now += every
            self.outage.note_failure(unit, cause, ERROR)

    @property
    def said(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def case(caplog: pytest.LogCaptureFixture) -> _Case:
    return _Case(caplog)


def test_twenty_seconds_without_redis_are_three_lines_and_one_when_it_is_back(case: _Case) -> None:
    case.fail(seconds=20.0, every=0.25)  # told at 0, 5 and 15 s
    case.outage.note_success(ONE)
    assert case.said == ["redis_away"] * 3 + ["redis_back"]


def test_a_day_without_redis_is_a_line_every_five_minutes_at_most(case: _Case) -> None:
    case.fail(seconds=86_400.0, every=FIRST_SECONDS)
    assert len(case.said) < 86_400.0 / LONGEST_SECONDS + 10


def test_another_cause_is_told_at_once_and_one_time(case: _Case) -> None:
    case.fail(seconds=1.0, every=0.5)
    case.fail(cause="loading", seconds=1.0, every=0.5)
    case.fail(seconds=1.0, every=0.5)
    assert case.said == ["redis_away", "redis_loading"]


def test_a_server_of_a_cluster_that_answers_does_not_end_the_outage_of_another(case: _Case) -> None:
    for _ in range(5):
        case.fail(ONE)
        case.outage.note_success(OTHER)
    assert case.said == ["redis_away"]
    case.outage.note_success(ONE)
    assert case.said == ["redis_away", "redis_back"]


def test_a_unit_that_was_given_up_is_not_waited_for(case: _Case) -> None:
    case.fail(ONE)
    case.outage.give_up(ONE)
    case.outage.note_success(OTHER)
    assert case.said == ["redis_away", "redis_back"]


def test_the_next_outage_is_told_at_once_again(case: _Case) -> None:
    for _ in range(2):
        case.fail()
        case.outage.note_success(ONE)
    assert case.said == ["redis_away", "redis_back"] * 2
