"""How long the writes of one batch may take together."""

from __future__ import annotations

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
