from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from weir.infra.kafka.admin import TopicFacts
from weir.infra.settings import load_settings
from weir.schemas.errors import Refused, WeirError
from weir.streaming.offsets import cli as offsets_cli
from weir.streaming.offsets.cli import OffsetsTool
from weir.streaming.offsets.group import Row


class Group:
    """A group's offsets as its consumer sees them: one answer for every partition."""

    def __init__(self, offset: int, error: KafkaError | None = None) -> None:
        self.offset = offset
        self.error = error
        self.written: list[tuple[str, int, int]] = []

    def get_watermark_offsets(self, at: TopicPartition, timeout: float) -> tuple[int, int]:
        del at, timeout
        return 0, 100

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        del timeout
        return [SimpleNamespace(partition=at.partition, offset=self.offset, error=self.error) for at in asked]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        del asynchronous
        self.written = [(at.topic, at.partition, at.offset) for at in offsets]


@pytest.fixture
def group() -> Group:
    return Group(-1001)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, group: Group) -> OffsetsTool:
    def describe(_kafka: object, names: list[str]) -> dict[str, TopicFacts]:
        return {name: TopicFacts(name, f"id of {name}", 1) for name in names}

    view = SimpleNamespace(position=lambda _unit: None)
    monkeypatch.setattr(offsets_cli, "describe_topics", describe)
    monkeypatch.setattr(offsets_cli, "connect", lambda _redis: None)
    monkeypatch.setattr(offsets_cli, "StateView", lambda *_, **__: view)
    monkeypatch.setattr(offsets_cli, "build_consumer", lambda *_, **__: group)
    return OffsetsTool(load_settings({}))


def _proposed(tool: OffsetsTool) -> list[Row]:
    return [Row(row.topic, row.partition, row.log_start, row.log_end, row.committed, None, 40) for row in tool.rows()]


def test_what_is_proposed_is_committed_where_the_group_still_stands_where_it_stood(
    tool: OffsetsTool, group: Group
) -> None:
    tool.commit(_proposed(tool))
    assert group.written == [("transactions", 0, 40), ("labels", 0, 40)]


def test_offsets_are_not_set_back_behind_a_processor_that_worked_while_they_were_looked_for(
    tool: OffsetsTool, group: Group
) -> None:
    """``[plan: 40][a processor decides up to 60 and stops][apply]``: 40 to 59 would be decided again."""
    rows = _proposed(tool)
    group.offset = 60
    with pytest.raises(Refused, match=r"expected transactions\[0\] to be committed at none, found 60"):
        tool.commit(rows)
    assert group.written == []


def test_an_error_in_place_of_a_committed_offset_is_not_taken_for_none(tool: OffsetsTool, group: Group) -> None:
    group.error = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(WeirError, match="committed offsets"):
        tool.rows()
