"""How long writes may go without an answer, which of them wait for each other, and what is written as one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.payments import Entity
from weir.infra.redis.state_view import Applied, StateView
from weir.infra.redis.unit import Unit
from weir.schemas.errors import Transient
from weir.streaming.kernels import shipped_kernel
from weir.streaming.state.queries import Changed
from weir.streaming.state.view_writer import RETRY_SECONDS_MAX, WRITE_RECORDS_MAX, ViewWriter, Write


class _Away:
    """A view that never answers, and takes its time."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.asked: list[Unit] = []

    def apply(
        self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes], **marks: object
    ) -> Applied:
        del start, end, keys, partials, marks
        self.asked.append(unit)
        self.clock[0] += 2.0
        raise Transient("redis: away")

    def sweep(self) -> Iterator[int]:
        return iter(())


def test_many_units_share_one_bound_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-four units with a bound of their own each would keep the loop from polling for twenty minutes."""
    clock = [0.0]
    monkeypatch.setattr("weir.streaming.state.view_writer.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        "weir.streaming.state.view_writer.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds)
    )
    view = _Away(clock)
    view_writer = ViewWriter(cast("StateView", view), shipped_kernel().entities)
    view_writer.submit([Write(Unit("t", number), 0, 1, []) for number in range(64)])
    outcomes = view_writer.collect(60)
    view_writer.close()
    assert sorted(write.unit.partition for write, _ in outcomes) == list(range(64))
    assert all(isinstance(outcome, Transient) for _, outcome in outcomes)
    assert clock[0] < 2 * RETRY_SECONDS_MAX


class _Gated:
    """A view that notes what it is asked to write, each when the test lets it go, and refuses what is not next."""

    def __init__(self) -> None:
        self.writes: list[tuple[Unit, int, int, dict[str, bytes]]] = []
        self.asked = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.positions: dict[Unit, int] = {}

    def apply(
        self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes], **marks: object
    ) -> Applied:
        del marks
        self.asked.release()
        assert self.gate.acquire(timeout=10.0)
        if self.positions.get(unit, 0) != start:
            return Applied(False, str(self.positions.get(unit, 0)))
        self.positions[unit] = end
        self.writes.append((unit, start, end, dict(zip(keys, partials, strict=True))))
        return Applied(True, "ok")

    def sweep(self) -> Iterator[int]:
        return iter(())

    def await_asked(self, times: int) -> None:
        assert all(self.asked.acquire(timeout=10.0) for _ in range(times))


@pytest.fixture
def gated() -> Iterator[tuple[_Gated, ViewWriter]]:
    view = _Gated()
    view_writer = ViewWriter(cast("StateView", view), shipped_kernel().entities)
    yield view, view_writer
    view.gate.release(100)
    view_writer.close()


def _write(unit: Unit, start: int, end: int, **values: bytes) -> Write:
    return Write(unit, start, end, [Changed(Entity.CARD, list(values), list(values.values()))])


ONE, TWO, THREE = Unit("t", 0), Unit("t", 1), Unit("t", 2)


def test_two_units_are_written_at_a_time(gated: tuple[_Gated, ViewWriter]) -> None:
    view, view_writer = gated
    view_writer.submit([_write(unit, 0, 1) for unit in (ONE, TWO, THREE)])
    view.await_asked(2)
    assert not view.asked.acquire(timeout=0.05)
    with pytest.raises(TimeoutError):
        view_writer.collect(0.05)
    view.gate.release(3)
    assert {write.unit for write, _ in view_writer.collect(10.0)} == {ONE, TWO, THREE}
    assert view_writer.collect() == []


def test_what_waits_behind_a_write_of_its_unit_is_written_as_one_with_the_last_values(
    gated: tuple[_Gated, ViewWriter],
) -> None:
    view, view_writer = gated
    view_writer.submit([_write(ONE, 0, 10, a=b"1", b=b"1")])
    view.await_asked(1)
    view_writer.submit([_write(ONE, 10, 20, a=b"2", c=b"2")])
    view_writer.submit([_write(ONE, 20, 30, c=b"3")])
    assert view_writer.collect(0.0, behind_max=30) == []
    with pytest.raises(TimeoutError):
        view_writer.collect(0.0, behind_max=29)
    view.gate.release(2)
    assert [(write.start, write.end) for write, _ in view_writer.collect(10.0)] == [(0, 10), (10, 30)]
    assert view.writes[1] == (ONE, 10, 30, {"card:a": b"2", "card:c": b"3"})


def test_what_is_written_as_one_is_bounded(gated: tuple[_Gated, ViewWriter]) -> None:
    view, view_writer = gated
    view_writer.submit([_write(ONE, 0, 1)])
    view.await_asked(1)
    cuts = [1, 1 + WRITE_RECORDS_MAX, 2 + WRITE_RECORDS_MAX, 2 + 3 * WRITE_RECORDS_MAX, 3 + 3 * WRITE_RECORDS_MAX]
    for start, end in pairwise(cuts):
        view_writer.submit([_write(ONE, start, end)])
    view.gate.release(10)
    assert [(write.start, write.end) for write, _ in view_writer.collect(10.0)] == [(0, 1), *pairwise(cuts)]


def test_nothing_that_waits_behind_a_refused_write_is_tried(gated: tuple[_Gated, ViewWriter]) -> None:
    view, view_writer = gated
    view.positions[ONE] = 7
    view_writer.submit([_write(ONE, 0, 10)])
    view.await_asked(1)
    view_writer.submit([_write(ONE, 10, 20), _write(TWO, 0, 5)])
    view.gate.release(10)
    found = {(write.unit, write.start): outcome for write, outcome in view_writer.collect(10.0)}
    assert found == {(ONE, 0): Applied(False, "7"), (TWO, 0): Applied(True, "ok")}


def test_a_program_error_in_a_thread_reaches_whoever_collects() -> None:
    view: Any = SimpleNamespace(apply=None)
    view_writer = ViewWriter(cast("StateView", view), shipped_kernel().entities)
    view_writer.submit([_write(ONE, 0, 1)])
    with pytest.raises(TypeError):
        view_writer.collect(10.0)
    view_writer.close()


def test_a_round_of_ttls_is_taken_up_where_it_was_and_one_step_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("weir.streaming.state.view_writer.time.monotonic", lambda: clock[0])
    steps, gate = list[int](), threading.Semaphore(0)

    def sweep() -> Iterator[int]:
        for number in range(3):
            assert gate.acquire(timeout=10.0)
            steps.append(number)
            yield 1

    view: Any = SimpleNamespace(sweep=sweep)
    view_writer = ViewWriter(cast("StateView", view), shipped_kernel().entities)
    for _ in range(3):  # of which the last two find the first still under way
        clock[0] += 1.0
        view_writer.sweep()
    gate.release(10)
    for _ in range(1_000):
        clock[0] += 1.0
        view_writer.sweep()
        if len(steps) == 3:
            break
        threading.Event().wait(0.01)
    view_writer.close()
    assert steps == [0, 1, 2]
