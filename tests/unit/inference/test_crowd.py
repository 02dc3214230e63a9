"""Who is closed when there are too many, and when its time is up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from weir.inference.api.web.crowd import Crowd


class Caller:
    def __init__(self, name: str = "", deadline: float = 0.0) -> None:
        self.name, self.deadline = name, deadline
        self.closed: list[bool] = []

    def give_up(self, *, crowded: bool) -> None:
        self.closed.append(crowded)


def crowd_of(*callers: Caller, members_max: int = 3, spare: int = 1) -> Crowd:
    crowd = Crowd(members_max=members_max, spare=spare)
    assert all(crowd.enter(caller) for caller in callers)
    return crowd


def test_a_new_connection_displaces_the_one_that_has_waited_longest() -> None:
    first, second, third, fourth = (Caller() for _ in range(4))
    crowd = crowd_of(first, second, third)
    assert crowd.enter(fourth)
    assert [caller.closed for caller in (first, second, third, fourth)] == [[True], [], [], []]
    assert (len(crowd), crowd.full) == (3, False)


def test_an_idle_connection_is_displaced_after_the_unfinished_ones() -> None:
    idle, unfinished, new = Caller(), Caller(), Caller()
    crowd = crowd_of(idle, unfinished, members_max=2)
    crowd.answer(idle)
    crowd.rest(idle)
    crowd.enter(new)
    assert (idle.closed, unfinished.closed) == ([], [True])
    crowd.answer(new)
    crowd.enter(Caller())
    assert idle.closed == [True]


def test_one_that_is_being_answered_is_never_displaced_and_the_spare_places_are_for_health_checks() -> None:
    busy = [Caller() for _ in range(3)]
    crowd = crowd_of(*busy)
    for caller in busy:
        crowd.answer(caller)
    assert crowd.enter(Caller())
    assert crowd.full
    crowd.answer(next(iter(crowd._unfinished)))
    assert not crowd.enter(Caller())
    assert not any(caller.closed for caller in busy)


def test_a_sweep_closes_what_waits_too_long_and_nothing_else() -> None:
    late, early, busy, idle = Caller(deadline=5), Caller(deadline=9), Caller(deadline=1), Caller(deadline=4)
    crowd = crowd_of(late, early, busy, idle, members_max=9)
    crowd.answer(busy)
    crowd.rest(idle)
    crowd.sweep(5)
    assert [caller.closed for caller in (late, early, busy, idle)] == [[False], [], [], [False]]
    assert len(crowd) == 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["enter", "begin", "answer", "rest", "leave"]), st.integers(0, 30))))
def test_however_they_come_and_go_the_bound_holds_and_a_refusal_means_that_all_are_busy(
    steps: list[tuple[str, int]],
) -> None:
    crowd, inside = Crowd(members_max=4, spare=2), dict[Caller, str]()
    for verb, number in steps:
        if verb == "enter":
            caller = Caller()
            if crowd.enter(caller):
                inside[caller] = "begin"
            else:
                assert set(inside.values()) == {"answer"}
        elif inside:
            caller = list(inside)[number % len(inside)]
            getattr(crowd, verb)(caller)
            inside[caller] = verb
        gone = [caller for caller, state in inside.items() if state == "leave" or caller.closed]
        assert not any(inside[caller] == "answer" for caller in gone)
        for caller in gone:
            del inside[caller]
        assert len(crowd) == len(inside) <= 6
