"""A transaction whose records find no room: waited for, and aborted in order when there is none."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from weir.infra.kafka.sink import Aborted, Fenced, Record, Rows, TransactionalOutput

ROWS = Rows("features", [b"a", b"b"], [b"1", b"2"])


class _FullProducer:
    """A client whose queue takes ``room`` records and gets one place back with each poll that counts."""

    def __init__(self, *, room: int, frees_after: int | None, abort_error: KafkaError | None = None) -> None:
        self.room = room
        self.frees_after = frees_after
        self.abort_error = abort_error
        self.polls = 0
        self.queued: list[bytes] = []
        self.calls: list[str] = []

    def init_transactions(self, timeout: float) -> None:
        del timeout

    def begin_transaction(self) -> None:
        self.calls.append("begin")

    def produce(self, topic: str, value: bytes, key: bytes, **options: Any) -> None:
        del topic, key, options
        if len(self.queued) >= self.room:
            raise BufferError("Local: Queue full")
        self.queued.append(value)

    def poll(self, timeout: float) -> None:
        del timeout
        self.polls += 1
        if self.frees_after is not None and self.polls >= self.frees_after:
            self.room += 1

    def commit_transaction(self, timeout: float) -> None:
        del timeout
        self.calls.append("commit")

    def abort_transaction(self, timeout: float) -> None:
        del timeout
        self.calls.append("abort")
        if self.abort_error is not None:
            raise KafkaException(self.abort_error)


@pytest.mark.parametrize("rows", [[ROWS], [Rows("features", [b"a", b"b"], [b"1", b"2"], [[], []])], []])
def test_a_full_queue_is_waited_for_and_every_record_goes_once_and_in_order(rows: list[Rows]) -> None:
    producer = _FullProducer(room=1, frees_after=3)
    records = [] if rows else [Record("dlq", b"a", b"1"), Record("dlq", b"b", b"2", partition=0)]
    TransactionalOutput(producer).commit(rows, records, None)
    assert producer.queued == [b"1", b"2"]
    assert producer.calls == ["begin", "commit"]
    assert producer.polls == 3


def test_a_queue_that_stays_full_aborts_the_transaction_instead_of_ending_the_process_inside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("weir.infra.kafka.sink.QUEUE_FULL_SECONDS_MAX", 0.0)
    producer = _FullProducer(room=1, frees_after=None)
    output = TransactionalOutput(producer)
    with pytest.raises(Aborted, match="room in the client's queue"):
        output.commit([ROWS], [], None)
    assert producer.calls == ["begin", "abort"]
    producer.room = 4  # the abort dropped what was queued
    output.commit([ROWS], [], None)
    assert producer.calls == ["begin", "abort", "begin", "commit"]


def test_an_abort_that_fails_gives_the_client_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.infra.kafka.sink.QUEUE_FULL_SECONDS_MAX", 0.0)
    producer = _FullProducer(room=0, frees_after=None, abort_error=KafkaError(KafkaError._TIMED_OUT))
    with pytest.raises(Fenced, match="abort failed"):
        TransactionalOutput(producer).commit([ROWS], [], None)
