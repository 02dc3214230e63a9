"""When one more request is refused: by what those before it cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weir.inference.api.web.load import REQUESTS_LEAST, Load


class Loop:
    """A loop whose requests cost what a test says."""

    def __init__(self) -> None:
        self.now = self.spent = 0.0
        self.load = Load(clock=lambda: self.now, spent=lambda: self.spent, wait_seconds_max=0.1)
        self.names = iter(range(10**9))

    def answer(self, count: int, seconds: float) -> None:
        for name in range(count):
            self.load.begin(name)
            self.now += seconds
            self.spent += seconds
            self.load.end(name)

    def begin(self, count: int) -> int:
        """Begin requests until one is refused; return how many."""
        for begun in range(count):
            if self.load.is_over:
                return begun
            self.load.begin(("waiting", next(self.names)))
        return count


def test_so_many_are_begun_as_are_answered_in_time() -> None:
    loop = Loop()
    loop.answer(5_000, 0.0005)
    assert 195 < loop.begin(1_000) < 205
    assert loop.load.is_over


def test_a_few_are_never_refused_whatever_the_last_ones_cost() -> None:
    loop = Loop()
    loop.answer(100, 0.5)
    assert loop.begin(1_000) == REQUESTS_LEAST


def test_before_a_cost_is_known_none_is_refused() -> None:
    assert Loop().begin(1_000) == 1_000


def test_what_waits_for_something_else_is_in_nobodys_way() -> None:
    loop = Loop()
    loop.answer(5_000, 0.0005)
    loop.begin(1_000)
    loop.now += 1.0
    assert not loop.load.is_over
    assert len(loop.load) == 0


def test_a_connection_that_closes_after_its_answer_is_no_second_answer() -> None:
    loop = Loop()
    for name in range(5_000):
        loop.answer(1, 0.0005)
        loop.load.leave(name)
    assert 195 < loop.begin(1_000) < 205


def test_who_goes_away_before_the_answer_makes_room() -> None:
    loop = Loop()
    loop.answer(5_000, 0.0005)
    for name in range(200):
        loop.load.begin(name)
        loop.load.leave(name)
    assert 195 < loop.begin(1_000) < 205


def test_the_cost_follows_the_last_few_hundred() -> None:
    loop = Loop()
    loop.answer(5_000, 0.0005)
    loop.answer(640, 0.001)
    assert 95 < loop.begin(1_000) < 110


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "leave", "wait"]), st.integers(0, 5))))
def test_no_order_of_beginnings_and_ends_counts_one_twice(done: list[tuple[str, int]]) -> None:
    loop, young = Loop(), dict[int, float]()
    for what, name in done:
        if what == "begin":
            if name not in young:  # a connection answers one at a time
                loop.load.begin(name)
                young[name] = loop.now
        elif what in {"end", "leave"}:
            getattr(loop.load, what)(name)
            young.pop(name, None)
        else:
            loop.now += name / 4
        assert not loop.load.is_over
        assert len(loop.load) == sum(begun > loop.now - 1.0 for begun in young.values())
        young = {name: begun for name, begun in young.items() if begun > loop.now - 1.0}
