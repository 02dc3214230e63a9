"""The output side of a read-process-write loop: one Kafka transaction per batch, or none.

Delivery: exactly once. Outputs and the offsets they were made from become visible together or not at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from weir.infra.kafka.bounded_call import start_bounded
from weir.infra.kafka.clients import ClientLost
from weir.infra.kafka.source import Partition
from weir.schemas.errors import Transient

COMMIT_TIMEOUT_SECONDS = 10.0
COMMIT_ATTEMPTS = 6
"""A commit that timed out is called again: giving up on it would leave its outcome unknown."""
OFFSETS_SECONDS_MAX = 2 * COMMIT_TIMEOUT_SECONDS
"""Sending offsets can hang for ever when the group's coordinator went away: the client ignores its timeout there."""
QUEUE_FULL_SECONDS_MAX = 20.0
"""Room in the client's own queue is waited for this long: with unreachable brokers it comes back only by an abort."""
_QUEUE_FULL_POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)

Headers = list[tuple[str, bytes | None]]


class Aborted(Transient):
    """The transaction was aborted: nothing of it is visible. Forget what was gathered and catch up."""


class Fenced(ClientLost):
    """Another instance took this one's transactional id, or the client is beyond repair: this run must end."""


@dataclass(frozen=True)
class Rows:
    """Records for one topic, partitioned by key; the fast path.

    Attributes:
        topic: of all.
        keys: one per record.
        values: one per record.
        headers: one set per record; empty for none at all.
    """

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    headers: Sequence[Headers] = ()


@dataclass(frozen=True)
class Record:
    """One record with headers, to a given partition or by its key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    partition: int | None = None


@dataclass(frozen=True)
class Offsets:
    """What a transaction commits for its inputs: the next offset per partition, and a note next to it.

    Attributes:
        metadata: of the group's member that owns the partition.
    """

    next_offsets: dict[Partition, int]
    notes: dict[Partition, str]
    metadata: dict[Partition, Any]


class TransactionalOutput:
    """Wraps a producer with a fixed transactional id."""

    transactional = True

    def __init__(self, producer: Producer) -> None:
        """Fence the producer that used the id before and abort what it left open.

        Raises:
            Transient: brokers did not answer in time.
            Fenced: the id is refused.
        """
        self._producer = producer
        self._await_offsets: Callable[[], None] = _no_offsets
        try:
            producer.init_transactions(COMMIT_TIMEOUT_SECONDS * 3)
        except KafkaException as error:
            raise (Fenced if error.args[0].fatal() else Transient)(f"kafka: init_transactions: {error}") from error

    def commit(self, rows: Iterable[Rows], records: Iterable[Record], offsets: Offsets | None) -> None:
        """Publish outputs and offsets in one transaction: ``send``, then ``finish``.

        Raises:
            Aborted: nothing is visible and no offset moved.
            Fenced: the process must end; the outcome of the transaction is known to its successor.
        """
        self.send(rows, records, offsets)
        self.finish()

    def send(self, rows: Iterable[Rows], records: Iterable[Record], offsets: Offsets | None) -> None:
        """Begin a transaction and put outputs and offsets on their way; the one before must be finished.

        Args:
            rows: in turn.
            records: besides.
            offsets: of the inputs; ``None`` for outputs that come from no input.

        Raises:
            Aborted: nothing is visible and no offset moved.
            Fenced: the process must end; the outcome of the transaction is known to its successor.
        """
        with self._aborting():
            self._producer.begin_transaction()
            self._await_offsets = _no_offsets if offsets is None else self._start_to_send(offsets)
            for batch in rows:
                self._produce_rows(batch)
            for record in records:
                self._produce(record)

    def finish(self, rows: Iterable[Rows] = ()) -> None:
        """Commit what was sent, and more. It may be called in another thread than ``send``.

        Args:
            rows: made while those sent before are on their way; what making them raises aborts the transaction.

        Raises:
            Aborted: nothing is visible and no offset moved.
            Fenced: the process must end; the outcome of the transaction is known to its successor.
        """
        with self._aborting():
            for batch in rows:
                self._produce_rows(batch)
            self._take_offsets()
            self._commit()

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """Abort the open transaction when the block fails; the client refuses to before it has offsets' answer."""
        try:
            yield
        except KafkaException as error:
            # offsets that were refused are the cause, and not what the client says of the next record
            cause = (self._take_refusal() or error).args[0]
            if cause.fatal():
                raise Fenced(f"kafka: {cause.str()}") from error
            _log.warning("kafka: a transaction failed and is aborted: %s", cause.str())
            self.abort()
            raise Aborted(f"kafka: transaction aborted: {cause.str()}") from error
        except BufferError as error:
            _log.warning("kafka: a transaction is aborted: no room to queue its records")
            self._take_refusal()
            self.abort()  # drops what is queued, so there is room for the next one
            raise Aborted(
                f"kafka: transaction aborted: expected room in the client's queue within {QUEUE_FULL_SECONDS_MAX:.0f} s"
            ) from error
        except ClientLost:
            raise
        except Exception:  # of who makes the rows: the transaction is open, and the next one could not begin
            self._take_refusal()
            self.abort()
            raise

    def _start_to_send(self, offsets: Offsets) -> Callable[[], None]:
        """Send offsets while outputs are made and sent: the brokers' answers take as long as both."""
        return partial(_await_offsets, start_bounded(partial(self._send_offsets, offsets)))

    def _send_offsets(self, offsets: Offsets) -> None:
        """Send each member's own: the brokers refuse those of a member that is not the partition's owner any more."""
        of_member: dict[Any, list[TopicPartition]] = {}
        for position in _list_positions(offsets):
            of_member.setdefault(offsets.metadata[position.topic, position.partition], []).append(position)
        for metadata, positions in of_member.items():
            self._producer.send_offsets_to_transaction(positions, metadata, COMMIT_TIMEOUT_SECONDS)

    def _take_offsets(self) -> None:
        """Wait until the brokers have answered about the offsets, once."""
        wait, self._await_offsets = self._await_offsets, _no_offsets
        wait()

    def _take_refusal(self) -> KafkaException | None:
        """Wait likewise; return what they were refused with."""
        try:
            self._take_offsets()
        except KafkaException as error:
            return error
        return None

    def _commit(self) -> None:
        for attempt in range(1, COMMIT_ATTEMPTS + 1):
            try:
                self._producer.commit_transaction(COMMIT_TIMEOUT_SECONDS)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
                _log.warning("kafka: no answer to a commit, attempt %d of %d; asking again", attempt, COMMIT_ATTEMPTS)
        # an abort might come after a commit that the broker has made; only a new start can find out which it was
        raise Fenced(f"kafka: a commit had no answer in {COMMIT_ATTEMPTS} x {COMMIT_TIMEOUT_SECONDS:.0f} s")

    def _produce_rows(self, rows: Rows) -> None:
        produce, topic = self._producer.produce, rows.topic
        if rows.headers:
            for key, value, headers in zip(rows.keys, rows.values, rows.headers, strict=True):
                try:
                    produce(topic, value, key, headers=headers)
                except BufferError:
                    self._enqueue(topic, value, key, headers=headers)
            return
        for key, value in zip(rows.keys, rows.values, strict=True):
            try:
                produce(topic, value, key)  # a keyword argument would double its cost
            except BufferError:
                self._enqueue(topic, value, key)

    def _produce(self, record: Record) -> None:
        options: dict[str, Any] = {} if record.partition is None else {"partition": record.partition}
        self._enqueue(record.topic, record.value, record.key, headers=record.headers, **options)

    def _enqueue(self, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> None:
        """Hand a record to the client, which may have to send others first.

        Raises:
            BufferError: its queue stayed full.
        """
        deadline = time.monotonic() + QUEUE_FULL_SECONDS_MAX
        while True:
            try:
                self._producer.produce(topic, value, key, **options)
            except BufferError:
                if time.monotonic() > deadline:
                    raise
                self._producer.poll(_QUEUE_FULL_POLL_SECONDS)
            else:
                return

    def abort(self) -> None:
        """Abort the open transaction.

        Raises:
            Fenced: the abort failed, so the outcome is left to the next owner of the id.
        """
        try:
            self._producer.abort_transaction(COMMIT_TIMEOUT_SECONDS * 3)
        except KafkaException as error:
            raise Fenced(f"kafka: abort failed: {error}") from error


class OffsetsOnly:
    """Commits offsets alone, for a stage whose output is no topic.

    Delivery: at least once. What a batch came to is written before, by writes that may be repeated.
    """

    transactional = False

    def __init__(self, consumer: Consumer) -> None:
        """Bind to the group's own consumer."""
        self._consumer = consumer

    def send(self, rows: Iterable[Rows], records: Iterable[Record], offsets: Offsets) -> None:
        """Commit offsets; there are no outputs.

        Raises:
            Transient: the brokers did not take them.
        """
        del rows, records
        try:
            self._consumer.commit(offsets=_list_positions(offsets), asynchronous=False)
        except KafkaException as error:
            raise Transient(f"kafka: committing offsets: {error.args[0].str()}") from error

    def finish(self, rows: Iterable[Rows] = ()) -> None:
        """Do nothing: what was sent is committed, and there are no outputs."""
        del rows


def _no_offsets() -> None:
    """Wait for nothing."""


def _await_offsets(wait: Callable[[float], None]) -> None:
    try:
        wait(OFFSETS_SECONDS_MAX)
    except TimeoutError as error:
        raise Fenced(f"kafka: offsets sent to the transaction: {error}; the client is given up") from error


def _list_positions(offsets: Offsets) -> list[TopicPartition]:
    return [
        TopicPartition(*partition, offset, metadata=offsets.notes.get(partition, ""))
        for partition, offset in offsets.next_offsets.items()
    ]
