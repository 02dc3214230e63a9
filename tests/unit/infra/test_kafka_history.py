from __future__ import annotations

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from weir.infra.kafka import history as kafka_history
from weir.infra.kafka.history import History
from weir.infra.settings import load_settings

PARTITION = ("decisions", 0)


class Log:
    """A partition that gets its first records, committed in one transaction, right after one of its answers."""

    def __init__(self, *, grows_after: int) -> None:
        self.end = 0
        self.answers = 0
        self.grows_after = grows_after

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        del timeout
        found = 0 if self.end else -1
        self._answered()
        return [TopicPartition(asked[0].topic, asked[0].partition, found)]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        del partition, timeout
        found = (0, self.end)
        self._answered()
        return found

    def _answered(self) -> None:
        self.answers += 1
        if self.answers == self.grows_after:
            self.end = 100


@pytest.mark.parametrize("grows_after", [1, 2])
def test_records_that_come_while_an_offset_by_time_is_asked_for_are_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, grows_after: int
) -> None:
    """Who starts to follow a topic at an offset by time would never see them."""
    log = Log(grows_after=grows_after)
    monkeypatch.setattr(kafka_history, "build_consumer", lambda *_, **__: log)
    assert History(load_settings({}).kafka).offset_at_time(PARTITION, 1_000) == 0


def test_an_empty_partition_ends_where_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_history, "build_consumer", lambda *_, **__: Log(grows_after=99))
    assert History(load_settings({}).kafka).offset_at_time(PARTITION, 1_000) == 0


class Led(Log):
    """A partition whose leader comes after its first answers, one error each."""

    def __init__(self) -> None:
        super().__init__(grows_after=99)
        self.errors = [KafkaError.NOT_LEADER_FOR_PARTITION] * 2

    def _answered(self) -> None:
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop()))


def test_a_partition_without_a_leader_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Led()
    monkeypatch.setattr(kafka_history, "build_consumer", lambda *_, **__: log)
    history = History(load_settings({}).kafka)
    assert history.end(PARTITION) == 0
    log.errors = [KafkaError.LEADER_NOT_AVAILABLE] * 3
    assert history.offset_at_time(PARTITION, 1_000) == 0
    assert not log.errors


class Asked:
    """A partition without records, and what its client was asked in which order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        del timeout
        self.calls.append(f"watermarks of {partition.topic}")
        return 0, 0

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.calls += [f"assign {each.topic}" for each in partitions]

    def poll(self, seconds: float) -> EndOfPartition:
        del seconds
        return EndOfPartition()

    def unassign(self) -> None:
        return


class EndOfPartition:
    def error(self) -> KafkaError:
        return KafkaError(KafkaError._PARTITION_EOF)


def test_a_topic_that_the_client_knows_nothing_of_is_asked_about_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without that, librdkafka takes half a second to find out who leads it: at each start of each process."""
    asked = Asked()
    monkeypatch.setattr(kafka_history, "build_consumer", lambda *_, **__: asked)
    history = History(load_settings({}).kafka)
    for topic, number in (("features", 0), ("features", 1), ("labels", 0)):
        assert history.first_offset((topic, number), OFFSET_BEGINNING) is None
    assert asked.calls == [
        "watermarks of features", "assign features", "assign features", "watermarks of labels", "assign labels",
    ]  # fmt: skip
