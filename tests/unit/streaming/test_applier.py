"""How long the writes of one batch may take together, and which of them wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from infra.redis_view import Applied, Unit
from schemas.errors import Transient
from streaming.applier import RETRY_SECONDS_MAX, Applier, Write


class _Away:
    """A view that never answers, and takes its time."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.asked: list[Unit] = []

    def apply(self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes]) -> Applied:
        del start, end, keys, partials
        self.asked.append(unit)
        self.clock[0] += 2.0
        raise Transient("redis: away")

    def sweep(self) -> Iterator[int]:
        return iter(())


def test_many_units_of_a_batch_share_one_bound_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-four units with a bound of their own each would keep the loop from polling for twenty minutes."""
    clock = [0.0]
    monkeypatch.setattr("streaming.applier.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("streaming.applier.time.sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    view = _Away(clock)
    applier = Applier(view)
    applier.submit([Write(Unit("t", number), 0, 1, []) for number in range(64)])
    outcomes = applier.collect(60)
    applier.close()
    assert [write.unit.partition for write, _ in outcomes] == list(range(64))
    assert all(isinstance(outcome, Transient) for _, outcome in outcomes)
    assert clock[0] < 2 * RETRY_SECONDS_MAX


class _Meeting:
    """A view whose first two units are answered when both were asked, and whose third waits to be let go."""

    def __init__(self) -> None:
        self.both = threading.Barrier(2, timeout=10.0)
        self.third = threading.Event()

    def apply(self, unit: Unit, *, start: int, end: int, keys: Sequence[str], partials: Sequence[bytes]) -> Applied:
        del start, end, keys, partials
        if unit.partition < 2:
            self.both.wait()
        else:
            assert self.third.wait(10.0)
        return Applied(unit.partition != 1, "ok")

    def sweep(self) -> Iterator[int]:
        return iter(())


def test_two_units_are_written_at_a_time_and_a_batch_is_collected_whole_in_its_order() -> None:
    view = _Meeting()
    applier = Applier(view)
    assert applier.idle
    assert not applier.finished
    assert applier.collect() == []
    applier.submit([Write(Unit("t", number), 0, 1, []) for number in range(3)])
    with pytest.raises(TimeoutError):
        applier.collect(0.05)
    assert not applier.idle
    assert not applier.finished
    view.third.set()
    outcomes = applier.collect(10.0)
    applier.close()
    assert [write.unit.partition for write, _ in outcomes] == [0, 1, 2]
    assert [isinstance(outcome, Applied) and outcome.done for _, outcome in outcomes] == [True, False, True]
    assert applier.idle
    assert not applier.finished
