"""Reads a dead letter topic, and the log of what was done about its letters. Writes nothing.

What was done is in a compacted topic, keyed by the coordinate of the dead letter together with that of its source (a
topic that was deleted and made again starts its offsets anew; its letters must not inherit the old ones' fate).

Delivery: read only, committed records alone, each once, a partition after the other, each in offset order.
Cost: one entry of some 300 bytes of memory per settled letter; letters themselves are streamed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from confluent_kafka import OFFSET_BEGINNING, KafkaException, Message
from confluent_kafka.admin import AdminClient

from infra.kafka import admin_config
from infra.kafka_history import History
from infra.settings import Settings
from schemas.errors import Refused, Transient
from streaming.dlq import Coordinate, DeadLetter, parse_dead_letter

READ_CHUNK_RECORDS = 500
_METADATA_TIMEOUT_SECONDS = 10.0

Action = Literal["replayed", "parked", "discarded"]


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant. Empty or ``None`` means any; times are the broker's, in ms, the end excluded."""

    reasons: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    from_ms: int | None = None
    to_ms: int | None = None
    partition: int | None = None
    offset: int | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.stages or letter.stage in self.stages)
            and (self.from_ms is None or letter.appended_ms >= self.from_ms)
            and (self.to_ms is None or letter.appended_ms < self.to_ms)
            and self.partition in (None, letter.at.partition)
            and self.offset in (None, letter.at.offset)
        )


@dataclass(frozen=True)
class Settlement:
    """What was done about one dead letter."""

    action: Action
    attempt: int
    source: str
    origin: str
    reason: str
    at_ms: int

    def encode(self) -> bytes:
        """Return the value of its record."""
        return json.dumps(vars(self), sort_keys=True).encode()


def settlement_key(letter: DeadLetter) -> bytes:
    """Return the record key under which a letter is settled: its own coordinate, then its source's."""
    return f"{letter.at} {letter.source or '-'}".encode()


class DoneLog:
    """What was done so far, kept up to date by ``refresh``."""

    def __init__(self, settings: Settings, history: History) -> None:
        """Read nothing yet."""
        self._topic = settings.topics.dlq_done
        self._partitions = list_partitions(settings, self._topic)
        self._history = history
        self._next: dict[int, int] = dict.fromkeys(self._partitions, OFFSET_BEGINNING)
        self._settled: dict[bytes, Settlement] = {}
        self._replays: Counter[str] = Counter()

    def refresh(self) -> None:
        """Read on to the end of the log.

        Raises:
            Transient: the brokers did not answer in time.
        """
        for partition in self._partitions:
            where = (self._topic, partition)
            end = self._history.end(where)
            for messages in self._history.read(where, self._next[partition], end, chunk=READ_CHUNK_RECORDS):
                for message in messages:
                    self._learn(message)
            self._next[partition] = end

    def _learn(self, message: Message) -> None:
        key, value = message.key(), message.value()
        if key is None or value is None:
            return
        settlement = Settlement(**json.loads(value))
        self._settled[key] = settlement
        if settlement.action == "replayed":
            self._replays[settlement.origin] += 1

    def settlement(self, letter: DeadLetter) -> Settlement | None:
        """Return what was done about a letter, or ``None`` where it is open."""
        return self._settled.get(settlement_key(letter))

    def attempts(self, letter: DeadLetter) -> int:
        """Return how often the record behind a letter was replayed: by its headers or this log, whichever is more."""
        return max(letter.replay_count, self._replays[str(letter.origin or letter.source)])


class DeadLetterLog:
    """One dead letter topic, opened for reading."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Find the topic's partitions.

        Raises:
            Refused: the topic, or the one of what was done, does not exist.
            Transient: the brokers did not answer in time.
        """
        self.topic = topic
        self._prefix = settings.processor.dlq_header_prefix
        self.partitions = list_partitions(settings, topic)
        self._history = History(settings.kafka)
        self.done = DoneLog(settings, self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._history.close()

    def ends(self) -> dict[int, int]:
        """Return the end of each partition now: what is replayed meanwhile and fails again lies beyond."""
        return {partition: self._history.end((self.topic, partition)) for partition in self.partitions}

    def scan(
        self, selection: Selection, ends: dict[int, int], starts: dict[int, int] | None = None
    ) -> Iterator[DeadLetter]:
        """Yield the selected letters below ``ends``, partition by partition.

        Args:
            selection: which letters.
            ends: per partition the offset to stop at.
            starts: per partition the offset to begin at; the beginning by default.

        Raises:
            Transient: the brokers did not answer in time.
        """
        for partition in self.partitions:
            if selection.partition not in (None, partition):
                continue
            start, end = self._range(partition, selection, ends[partition], (starts or {}).get(partition))
            for messages in self._history.read((self.topic, partition), start, end, chunk=READ_CHUNK_RECORDS):
                yield from filter(selection.matches, map(self._parse, messages))

    def _range(self, partition: int, selection: Selection, end: int, start: int | None) -> tuple[int, int]:
        if selection.offset is not None:
            return selection.offset, min(end, selection.offset + 1)
        if start is None and selection.from_ms is not None:
            start = self._history.offset_at_time((self.topic, partition), selection.from_ms)
        return (OFFSET_BEGINNING if start is None else start), end

    def _parse(self, message: Message) -> DeadLetter:
        return parse_dead_letter(
            self._prefix,
            at=Coordinate(self.topic, message.partition(), message.offset()),
            key=message.key(),
            value=message.value(),
            headers=message.headers(),
            appended_ms=message.timestamp()[1],
        )


def list_partitions(settings: Settings, topic: str) -> list[int]:
    """Return the partition numbers of a topic.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers did not answer in time.
    """
    try:
        # log_level 0: that brokers are away is raised below, once, and not also logged forty times a second
        client = AdminClient(admin_config(settings.kafka) | {"log_level": 0})
        metadata = client.list_topics(topic, timeout=_METADATA_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise Transient(f"kafka: {settings.kafka.bootstrap_servers} did not answer: {error.args[0].str()}") from error
    found = metadata.topics[topic]
    if found.error is not None or not found.partitions:
        raise Refused(f"topic {topic} does not exist; `weir topics create` makes it")
    return sorted(found.partitions)
