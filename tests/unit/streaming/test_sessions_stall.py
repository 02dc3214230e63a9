"""When the agent of visits takes itself for stalled: its client here is a twin, with what Faust's has."""

import asyncio
from typing import NamedTuple

import pytest

from weir.streaming.sessions.agent import STALL_SECONDS, _has_more
from weir.streaming.sessions.stall import Stall


class Partition(NamedTuple):
    topic: str
    number: int


OURS, CHANGELOG = Partition("clicks", 0), Partition("visits-changelog", 0)


class Consumer:
    def __init__(self, *, unacked=(), position=7, end=7, fails=False):
        self.unacked = set(unacked)
        self._position, self._end, self._fails = position, end, fails

    def assignment(self):
        return {OURS, CHANGELOG}

    async def highwaters(self, *partitions):
        if self._fails:
            raise ConnectionError("no broker")
        return dict.fromkeys(partitions, self._end)

    async def position(self, partition):
        assert partition == OURS, "what a changelog holds is no click"
        return self._position


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (Consumer(), False),
        (Consumer(unacked=["a click in hand"]), True),
        (Consumer(position=6), True),
        (Consumer(position=None), False),  # not known: it has just been assigned
        (Consumer(position=6, fails=True), False),
    ],
)
def test_clicks_wait_in_hand_or_on_the_log(consumer, expected):
    assert asyncio.run(_has_more(consumer, "clicks")) is expected


def run(steps):
    """Return at which seconds it is stalled; a step is the seconds, how much was answered, whether something waits."""
    stall = Stall(STALL_SECONDS)
    return [now for now, answered, waits in steps if stall.note(answered, waits=waits, now=now)]


def test_a_quiet_agent_is_not_stalled():
    assert run([(0, 5, False), (100, 5, False), (101, 5, True), (119, 5, True)]) == []


def test_a_busy_agent_is_not_stalled():
    assert run([(number * 19, number, True) for number in range(9)]) == []


def test_one_that_answers_nothing_while_clicks_wait_is():
    assert run([(0, 5, True), (19, 5, True), (20, 5, True), (21, 6, True)]) == [20]
