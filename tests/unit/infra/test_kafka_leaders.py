"""A partition that has just got its leader is asked again; other errors are told at once."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from weir.infra.kafka.leaders import ask_leader


class _Partition:
    """Answers with errors first, one a question."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked = 0

    def ask(self) -> int:
        self.asked += 1
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop(0)))
        return 7


def test_a_partition_without_a_leader_yet_is_asked_again() -> None:
    partition = _Partition(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert ask_leader(partition.ask) == 7
    assert partition.asked == 3


@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_any_other_error_is_told_at_once(code: int) -> None:
    partition = _Partition(code)
    with pytest.raises(KafkaException):
        ask_leader(partition.ask)
    assert partition.asked == 1


def test_patience_ends() -> None:
    partition = _Partition(*[KafkaError.LEADER_NOT_AVAILABLE] * 1_000)
    with pytest.raises(KafkaException):
        ask_leader(partition.ask, patience_seconds=0.15)
    assert 2 <= partition.asked <= 5
