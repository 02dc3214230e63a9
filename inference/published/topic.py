"""The topic of what is published of a stream: acts and proposals on one partition, the parts of long texts on another.

Who reads is in no group and commits nothing. Acts are all read; parts alone of what is needed, by the offset that the
act names, or, where the topic was copied and offsets are others, by their keys from the first record on.

Delivery: committed acts in order, each once. An act is written when its parts are, so one whose author died before
that is not there, and parts without an act are of no effect.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaException, Message, Producer

from weir.inference.published.act import Act, HasText, Parts, compute_hash
from weir.inference.published.proposals.record import Proposal, Rejection
from weir.infra.kafka.admin import TopicFacts, describe_topics
from weir.infra.kafka.clients import build_producer
from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import build_asker
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Refused, Transient

ACTS, PARTS = 0, 1
"""Partitions."""
PART_BYTES_MAX = 8_000_000
_WRITE_SECONDS = 30.0
_POLL_SECONDS = 0.1
_PART_RECORDS = 20


class PublishedTopic:
    """Reads the topic; one thread at a time.

    Attributes:
        topic_id: of the topic as it was found last; empty before that.
        next_offset: acts below it were read.
    """

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """Connect lazily; the topic may be missing."""
        self.name = topic
        self._kafka = kafka
        self._asker = build_asker(kafka)
        self._history = History(kafka)
        self.topic_id = ""
        self.next_offset = 0

    def is_another(self) -> bool:
        """True when the topic was made, or was deleted and made again, since the last time: read it from its start.

        Raises:
            Refused: there is none.
            Transient: the brokers did not answer in time.
        """
        found = self._describe().topic_id
        if found == self.topic_id:
            return False
        self.topic_id, self.next_offset = found, 0
        return True

    def read_new(self) -> list[Message]:
        """Return the records of acts that were committed since the last time.

        Raises:
            Transient: the brokers did not answer in time.
        """
        where = (self.name, ACTS)
        try:
            start, end = max(self.next_offset, self._history.low(where)), self._history.end(where)
            found = [message for some in self._history.read(where, start, end) for message in some]
        except KafkaException as error:
            raise Transient(f"kafka: {self.name}: {error.args[0].str()}") from error
        self.next_offset = max(self.next_offset, end)
        return found

    def read_parts(self, act: HasText) -> Iterator[str]:
        """Yield the parts of an act's text in order.

        Raises:
            Refused: they are not there, or are others.
            Transient: the brokers did not answer in time.
        """
        if act.parts is None:
            raise Refused("expected an act with parts, found none")
        found = self._collect(act, act.parts, act.parts.offset)
        if len(found) < act.parts.count:
            found = self._collect(act, act.parts, 0)
        texts = [found[place] for place in sorted(found)]
        if len(texts) < act.parts.count or compute_hash(texts) != act.hash:
            raise Refused(f"expected the {act.parts.count} parts of its text in {self.name}, found {len(texts)} that "
                          "are right")  # fmt: skip
        yield from texts

    def close(self) -> None:
        """Disconnect."""
        self._history.close()

    def _describe(self) -> TopicFacts:
        return describe_topics(self._kafka, [self.name], self._asker)[self.name]

    def _collect(self, act: HasText, parts: Parts, start: int) -> dict[int, str]:
        where, found = (self.name, PARTS), dict[int, str]()
        wanted = {_part_key(act.hash, place): place for place in range(parts.count)}
        try:
            start, end = max(start, self._history.low(where)), self._history.end(where)
            with closing(self._history.read(where, start, end, chunk=_PART_RECORDS)) as chunks:
                for message in (message for chunk in chunks for message in chunk):
                    place = wanted.get(message.key() or b"")
                    if place is not None and place not in found and (text := _read_text(message)) is not None:
                        found[place] = text
                    if len(found) == parts.count:
                        break
        except KafkaException as error:
            raise Transient(f"kafka: {self.name}: {error.args[0].str()}") from error
        return found


class PublishedWriter:
    """Writes acts, and the parts of their texts before them."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        """Connect."""
        self._topic = topic
        self._producer: Producer = build_producer(kafka)

    def write_parts(self, texts: Iterable[str], content: str) -> Parts:
        """Write the parts of a text, and return where they are.

        Raises:
            Transient: the brokers did not take them.
        """
        reports = _Reports()
        for place, text in enumerate(texts):
            self._produce(PARTS, _part_key(content, place), text.encode(), reports)
        reports.await_all(self._producer)
        return Parts(count=reports.sent, offset=min(reports.offsets))

    def write(self, record: Act | Proposal | Rejection) -> int:
        """Write an act, or what is said of a proposal, and return its offset.

        Raises:
            Transient: the brokers did not say that they have it; the log says whether they do.
        """
        reports = _Reports()
        self._produce(ACTS, record.kind.encode(), record.encode(), reports)
        reports.await_all(self._producer)
        return reports.offsets[0]

    def _produce(self, partition: int, key: bytes, value: bytes, reports: _Reports) -> None:
        try:
            self._producer.produce(self._topic, value, key, partition, on_delivery=reports.note)
        except (BufferError, KafkaException) as error:
            raise Transient(f"kafka: writing to {self._topic}: {error}") from error
        reports.sent += 1
        self._producer.poll(0)


class _Reports:
    """What the brokers said of records."""

    def __init__(self) -> None:
        self.sent = 0
        self.offsets: list[int] = []
        self._errors: list[str] = []

    def note(self, error: Any, message: Message) -> None:
        if error is not None:
            self._errors.append(error.str())
        else:
            self.offsets.append(int(message.offset()))

    def await_all(self, producer: Producer) -> None:
        deadline = time.monotonic() + _WRITE_SECONDS
        while len(self.offsets) + len(self._errors) < self.sent and time.monotonic() < deadline:
            producer.poll(_POLL_SECONDS)
        if self._errors or len(self.offsets) < self.sent:
            reason = self._errors[0] if self._errors else f"no answer within {_WRITE_SECONDS:.0f} s"
            raise Transient(f"kafka: expected {self.sent} records to be written, found {len(self.offsets)}: {reason}")


def append_time_ms(message: Message) -> int:
    """Return when the broker appended a record, UTC epoch ms; 0 where the topic has a sender's times."""
    kind, at_ms = message.timestamp()
    return int(at_ms) if kind == TIMESTAMP_LOG_APPEND_TIME else 0


def _part_key(content: str, place: int) -> bytes:
    return f"{content}/{place}".encode()


def _read_text(message: Message) -> str | None:
    value = message.value()
    if value is None or len(value) > PART_BYTES_MAX:
        return None
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return None
