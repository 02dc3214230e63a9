"""Where a topic ends: a partition that has just changed its broker is asked again, other errors are told at once."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient


class _Brokers:
    """Answers with errors first, one a question."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        del timeout
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={0: None, 1: None})})

    def list_offsets(self, wanted: dict[Any, Any], **_: Any) -> dict[Any, Future[Any]]:
        self.asked += 1
        code = self.codes.pop(0) if self.codes else None
        found: dict[Any, Future[Any]] = {where: Future() for where in wanted}
        for future in found.values():
            if code is None:
                future.set_result(SimpleNamespace(offset=7))
            else:
                future.set_exception(KafkaException(KafkaError(code)))
        return found


def test_a_partition_without_a_leader_yet_is_asked_again() -> None:
    brokers: Any = _Brokers(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert end_offsets(KafkaSettings(), "payments", brokers) == {0: 7, 1: 7}
    assert brokers.asked == 3


def test_any_other_error_is_told_at_once() -> None:
    brokers: Any = _Brokers(KafkaError._TIMED_OUT)
    with pytest.raises(Transient, match="did not answer"):
        end_offsets(KafkaSettings(), "payments", brokers)
    assert brokers.asked == 1
