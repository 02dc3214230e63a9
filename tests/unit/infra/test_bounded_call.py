"""A call that may never return is waited for within a bound, and what it raises is not lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaException

from weir.infra.kafka.bounded_call import call_bounded
from weir.infra.kafka.sink import Fenced, Offsets, TransactionalOutput


def test_what_a_bounded_call_raises_is_raised() -> None:
    def fail() -> None:
        raise KafkaException("no")

    with pytest.raises(KafkaException, match="no"):
        call_bounded(fail, 5.0)


def test_a_call_that_never_returns_is_left_behind() -> None:
    forever = threading.Event()
    with pytest.raises(TimeoutError, match="no answer"):
        call_bounded(forever.wait, 0.01)
    forever.set()


class _StuckProducer:
    """A client that never answers when offsets are sent, as after its coordinator went away."""

    def __init__(self) -> None:
        self.forever = threading.Event()

    def init_transactions(self, timeout: float) -> None:
        """Succeed."""

    def begin_transaction(self) -> None:
        """Succeed."""

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self.forever.wait()


def test_offsets_that_are_never_answered_end_the_client_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.infra.kafka.sink.OFFSETS_SECONDS_MAX", 0.01)
    producer = _StuckProducer()
    output = TransactionalOutput(producer)
    with pytest.raises(Fenced, match="no answer"):
        output.commit([], [], Offsets({("transactions", 0): 7}, {}, {("transactions", 0): None}))
    producer.forever.set()
