"""Offsets that seem moved are told only of a group that stands still: one at work commits while it is compared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from weir.schemas.errors import Refused
from weir.streaming.offsets import group
from weir.streaming.offsets.group import GroupOffsets, Row
from weir.streaming.offsets.scorer import find_moved

TOPIC = "transactions"


class Group:
    """A consumer that tells of each partition what its group committed."""

    def __init__(self, committed: dict[int, int]) -> None:
        self.of = committed

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        assert timeout > 0
        return [SimpleNamespace(error=None, offset=self.of[at.partition]) for at in asked]


class Moved:
    """Outputs that are ahead of every committed offset."""

    stage = SimpleNamespace(source=TOPIC)

    def check(self, number: int, *, low: int, committed: int | None) -> None:
        assert low == 0
        raise Refused(f"partition {number} was moved back to {committed}")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "STILL_SECONDS", 0.0)


def test_a_group_at_work_is_not_told_of_and_one_that_stands_still_is() -> None:
    rows = [Row(TOPIC, number, 0, 100, committed=50, applied=50) for number in range(3)]
    offsets = GroupOffsets(Group({0: 50, 1: 70, 2: 50}), {})
    told = find_moved(Moved(), rows, offsets)  # type: ignore[arg-type]
    assert [row.partition for row, _ in told] == [0, 2]
    assert told[0][1] == "partition 0 was moved back to 50"
