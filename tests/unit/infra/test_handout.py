"""Looks until every partition has an owner, and asks for rounds only where one has none and the group rests."""

from __future__ import annotations

from itertools import pairwise

import pytest

from weir.infra.kafka.group_owners import Owners
from weir.infra.kafka.handout import LOOK_SECONDS, LOOK_SECONDS_MAX, give_out
from weir.schemas.errors import Transient

P0, P1 = ("transactions", 0), ("transactions", 1)
ALL = Owners({P0: "instance 0", P1: "instance 1"}, has_members=True)
ONE = Owners({P0: "instance 0"}, has_members=True)
MOVING = Owners({P0: "instance 0"}, is_moving=True, has_members=True)
EMPTY = Owners()
AWAY = Transient("no answer")


class Group:
    """Is found as given, one look after the other, and for ever as it was last."""

    def __init__(self, *found: Owners | Exception, looks: int = 10) -> None:
        self.found = list(found)
        self.looks = looks
        self.asked = 0
        self.waited: list[float] = []

    def read(self) -> Owners:
        now = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(now, Exception):
            raise now
        return now

    def ask(self) -> None:
        self.asked += 1

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return len(self.waited) > self.looks

    def run(self) -> Group:
        give_out(self.read, [P0, P1], self.ask, wait=self.wait)
        return self


@pytest.mark.parametrize(
    ("found", "looks", "asked"),
    [
        ([ALL], 1, 0),
        ([EMPTY, ALL], 2, 0),
        ([MOVING, MOVING, ALL], 3, 0),
        ([AWAY, ALL], 2, 0),
        ([ONE, ALL], 2, 1),
        ([ONE, MOVING, ALL], 3, 1),
        ([ONE, ONE, ALL], 3, 2),
    ],
)
def test_it_looks_until_all_have_owners(found: list[Owners | Exception], looks: int, asked: int) -> None:
    group = Group(*found).run()
    assert (len(group.waited), group.asked) == (looks, asked)


def test_a_group_that_stays_without_is_asked_more_and_more_rarely() -> None:
    waited = Group(ONE, looks=20).run().waited
    assert waited[0] == LOOK_SECONDS
    assert waited[-1] == LOOK_SECONDS_MAX
    assert all(after in {2 * before, LOOK_SECONDS_MAX} for before, after in pairwise(waited))


def test_it_ends_when_it_is_told_to() -> None:
    group = Group(ONE, looks=0).run()
    assert (len(group.waited), group.asked) == (1, 0)
