"""A transaction whose records find no room: waited for, and aborted in order when there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from weir.infra.kafka.sink import Aborted, Fenced, Offsets, Record, Rows, TransactionalOutput

ROWS = Rows("features", [b"a", b"b"], [b"1", b"2"])
OFFSETS = Offsets({("transactions", 0): 7}, {}, {("transactions", 0): None})
ANSWER_SECONDS = 5.0


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


class _AnsweringProducer(_FullProducer):
    """A client whose offsets are answered when the test says so."""

    def __init__(self, error: KafkaError | None = None) -> None:
        super().__init__(room=9, frees_after=None)
        self.error = error
        self.asked, self.answer = threading.Event(), threading.Event()

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self.calls.append("offsets")
        self.asked.set()
        assert self.answer.wait(ANSWER_SECONDS)
        self.calls.append("answered")
        if self.error is not None:
            raise KafkaException(self.error)


def test_offsets_are_on_their_way_while_outputs_are_made_and_answered_before_the_commit() -> None:
    producer = _AnsweringProducer()

    def make() -> Iterator[Rows]:
        yield ROWS
        assert producer.asked.wait(ANSWER_SECONDS)  # and not answered yet
        producer.calls.append("made")
        producer.answer.set()
        yield ROWS

    TransactionalOutput(producer).commit(make(), [], OFFSETS)
    assert producer.queued == [b"1", b"2"] * 2
    assert producer.calls == ["begin", "offsets", "made", "answered", "commit"]


@pytest.mark.parametrize("error", [None, KafkaError(KafkaError.UNKNOWN_MEMBER_ID)])
def test_outputs_that_cannot_be_made_are_aborted_after_the_offsets_are_answered(error: KafkaError | None) -> None:
    producer = _AnsweringProducer(error)

    def make() -> Iterator[Rows]:
        yield ROWS
        threading.Timer(0.05, producer.answer.set).start()
        raise ValueError("no decision")

    with pytest.raises(ValueError, match="no decision"):
        TransactionalOutput(producer).commit(make(), [], OFFSETS)
    assert producer.calls == ["begin", "offsets", "answered", "abort"]


def test_offsets_that_are_refused_abort_what_was_made_meanwhile() -> None:
    producer = _AnsweringProducer(KafkaError(KafkaError.ILLEGAL_GENERATION))
    producer.answer.set()
    with pytest.raises(Aborted):
        TransactionalOutput(producer).commit([ROWS], [], OFFSETS)
    assert producer.calls == ["begin", "offsets", "answered", "abort"]


class _UpsetProducer(_AnsweringProducer):
    """A client that takes no record after its offsets were refused."""

    def produce(self, *given: Any, **named: Any) -> None:
        del given, named
        self.answer.set()
        raise KafkaException(KafkaError(KafkaError._STATE, "Erroneous state"))


def test_offsets_that_are_refused_are_the_cause_and_not_the_record_that_came_next() -> None:
    producer = _UpsetProducer(KafkaError(KafkaError.ILLEGAL_GENERATION, "the group is another one"))
    with pytest.raises(Aborted, match="the group is another one"):
        TransactionalOutput(producer).commit([ROWS], [], OFFSETS)
    assert producer.calls == ["begin", "offsets", "answered", "abort"]
