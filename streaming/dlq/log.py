"""Reads a dead letter topic, and the log of what was done about its letters. Writes nothing.

What was done is in a compacted topic, keyed by the coordinate of the dead letter together with that of its source (a
topic that was deleted and made again starts its offsets at 0; its letters must not inherit the old ones' fate).

Delivery: read only, committed records alone, each once, a partition after the other, each in offset order.
Cost: one entry of some 300 bytes of memory per settled letter; letters themselves are streamed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from confluent_kafka import OFFSET_BEGINNING, Message

from weir.infra.kafka.history import History
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import Settings
from weir.streaming.dlq.letter import DeadLetter, read_dead_letter

READ_CHUNK_RECORDS = 500
_encode = json.JSONEncoder(sort_keys=True).encode  # json.dumps would build an encoder for each record

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
        return _encode(vars(self)).encode()


def settlement_key(letter: DeadLetter) -> bytes:
    """Return the record key under which a letter is settled: its own coordinate, then its source's."""
    return f"{letter.at} {letter.source or '-'}".encode()


class DoneLog:
    """What was done so far, kept up to date by ``refresh``."""

    def __init__(self, settings: Settings, history: History) -> None:
        """Read nothing yet."""
        self._kafka, self._topic, self._history = settings.kafka, settings.topics.dlq_done, history
        self._next: dict[int, int] = {}
        self._settled: dict[bytes, Settlement] = {}
        self._replays: Counter[str] = Counter()

    def refresh(self) -> None:
        """Read on to the end of the log, waiting for transactions that are open there.

        Raises:
            Refused: there is no such topic.
            Transient: the brokers did not answer in time.
        """
        for partition, end in end_offsets(self._kafka, self._topic).items():
            start = self._next.get(partition, OFFSET_BEGINNING)
            for messages in _read(self._history, (self._topic, partition), start, end):
                for message in messages:
                    self._learn(message)
                # with each chunk: a read that breaks off later continues here, and counts no replay twice
                self._next[partition] = messages[-1].offset() + 1
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
        """Connect lazily."""
        self.topic = topic
        self._kafka = settings.kafka
        self._history = History(settings.kafka)
        self.done = DoneLog(settings, self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._history.close()

    def ends(self) -> dict[int, int]:
        """Return the end of each partition now: what is replayed meanwhile and fails again lies beyond.

        Raises:
            Refused: there is no such topic.
            Transient: the brokers did not answer in time.
        """
        return end_offsets(self._kafka, self.topic)

    def starts_of_newest(self, ends: dict[int, int], count: int) -> dict[int, int]:
        """Return where each partition's newest letters begin, so many at most.

        Raises:
            Transient: the brokers did not answer in time.
        """
        return {number: max(self._history.low((self.topic, number)), end - count) for number, end in ends.items()}

    def bounds(self, selection: Selection) -> dict[int, tuple[int, int]]:
        """Return the first offset and the end, per partition, of what may hold letters of a selection.

        Raises:
            Refused: there is no such topic.
            Transient: the brokers did not answer in time.
        """
        found = {}
        for number, end in self.ends().items():
            if end and selection.partition in (None, number):  # most partitions of most topics are empty
                first, last = self._bound((self.topic, number), selection, end)
                if first < last:
                    found[number] = (first, last)
        return found

    def _bound(self, where: tuple[str, int], selection: Selection, end: int) -> tuple[int, int]:
        first = self._history.low(where)
        if selection.from_ms is not None:
            first = max(first, self._history.offset_at_time(where, selection.from_ms))
        if selection.to_ms is not None:
            end = min(end, self._history.offset_at_time(where, selection.to_ms))
        if selection.offset is not None:
            first, end = max(first, selection.offset), min(end, selection.offset + 1)
        return first, end

    def scan(
        self, selection: Selection, ends: dict[int, int], starts: dict[int, int] | None = None
    ) -> Generator[DeadLetter, None, None]:
        """Yield the selected letters below ``ends``, partition by partition.

        Args:
            selection: which letters.
            ends: per partition the offset to stop at.
            starts: per partition the offset to begin at; the beginning by default.

        Raises:
            Transient: the brokers did not answer in time.
        """
        for partition, limit in ends.items():
            if selection.partition not in (None, partition):
                continue
            start, end = self._range(partition, selection, limit, (starts or {}).get(partition))
            for messages in _read(self._history, (self.topic, partition), start, end):
                yield from filter(selection.matches, map(read_dead_letter, messages))

    def _range(self, partition: int, selection: Selection, end: int, start: int | None) -> tuple[int, int]:
        if selection.offset is not None:
            return selection.offset, min(end, selection.offset + 1)
        if start is None and selection.from_ms is not None:
            start = self._history.offset_at_time((self.topic, partition), selection.from_ms)
        return (OFFSET_BEGINNING if start is None else start), end


def _read(history: History, where: tuple[str, int], start: int, end: int) -> Iterator[list[Message]]:
    # most partitions of most dead letter topics are empty
    return history.read(where, start, end, chunk=READ_CHUNK_RECORDS) if end else iter(())
