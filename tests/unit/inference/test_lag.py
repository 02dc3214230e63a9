from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from weir.inference.inspect import lag
from weir.infra.kafka.group_position import format_note
from weir.infra.settings import load_settings
from weir.streaming import service


class Group:
    """A group whose coordinator is still loading at the first question, which a partition's answer says."""

    def __init__(self, note: str = "") -> None:
        self.note = note
        self.errors = [KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)]

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        del timeout
        error = self.errors.pop() if self.errors else None
        offset = -1001 if error else 7
        return [SimpleNamespace(partition=at.partition, offset=offset, error=error, metadata=self.note) for at in asked]

    def close(self) -> None:
        return


@pytest.fixture(autouse=True)
def _asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_PAUSE_SECONDS", 0.0)


def test_a_partition_that_has_no_answer_yet_is_asked_for_again_and_not_shown_as_never_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lag, "end_offsets", lambda *_: {0: 10})
    monkeypatch.setattr(lag, "build_consumer", lambda *_, **__: cast("Consumer", Group()))
    rows = lag.read_lag(load_settings({}))
    assert {(row.committed, row.lag_records) for row in rows} == {(7, 3)}


@pytest.mark.parametrize(("decides", "behind"), [(False, 3), (True, 0)])
def test_nobody_is_behind_in_rows_that_are_decided_as_they_are_made(
    monkeypatch: pytest.MonkeyPatch, decides: bool, behind: int
) -> None:
    note = format_note("topic-id", 4, decides=decides)
    monkeypatch.setattr(lag, "end_offsets", lambda *_: {0: 10})
    monkeypatch.setattr(lag, "build_consumer", lambda *_, **__: cast("Consumer", Group(note)))
    rows = lag.read_lag(load_settings({}))
    assert {row.stage: row.lag_records for row in rows} == {"process": 3, "score": behind, "index": 3}
