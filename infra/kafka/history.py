"""Reads ranges of the log again, outside any group: catch-up, rebuild, and where dead letters stand.

Delivery: read only, committed records alone.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from weir.infra.kafka.clients import build_consumer, check_message
from weir.infra.kafka.leaders import ask_leader
from weir.infra.kafka.offsets import end_offsets
from weir.infra.kafka.source import Partition
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient

READ_TIMEOUT_SECONDS = 30.0
CHUNK_RECORDS = 20_000
_POLL_SECONDS = 0.5
_FILL_SECONDS = 0.02
_NO_GROUP = "weir-history"  # librdkafka wants a name; nothing is ever committed under it


class History:
    """One reader that is assigned by hand; not for use by two threads at once."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Connect lazily to these brokers."""
        self._kafka = kafka
        self._consumer: Consumer = build_consumer(kafka, group=_NO_GROUP, enable_partition_eof=True)
        self._known = set[str]()

    def read(
        self, partition: Partition, start: int, end: int, *, chunk: int = CHUNK_RECORDS
    ) -> Generator[list[Message], None, None]:
        """Yield the records of ``[start, end)`` in order, in lists of about ``chunk``; holes are left out.

        Raises:
            Transient: the range did not arrive in time.
            KafkaException: ``start`` is no longer in the log.
        """
        if start >= end:
            return
        self._assign({partition: start})
        try:
            yield from self._read_assigned(partition, end, chunk)
        finally:
            self._consumer.unassign()

    def _read_assigned(self, partition: Partition, end: int, chunk: int) -> Iterator[list[Message]]:
        deadline = time.monotonic() + READ_TIMEOUT_SECONDS
        while True:
            # consume() alone would wait its whole timeout for a chunk that the end of the log leaves unfilled
            first = self._consumer.poll(_POLL_SECONDS)
            messages = [] if first is None else [first, *self._consumer.consume(chunk, _FILL_SECONDS)]
            at_end = any(_is_eof(m) and m.offset() >= end for m in messages)
            records = [check_message(m) for m in messages if not _is_eof(m)]
            within = [m for m in records if m.offset() < end]
            if within:
                yield within
                deadline = time.monotonic() + READ_TIMEOUT_SECONDS  # what the caller did meanwhile is not waiting
            if at_end or len(within) < len(records) or (within and within[-1].offset() == end - 1):
                return
            if time.monotonic() > deadline:
                raise Transient(f"kafka: {partition[0]}[{partition[1]}] did not arrive up to {end} in time")

    def first_offset(self, partition: Partition, start: int) -> int | None:
        """Return the offset of the first record at or above ``start``, or ``None`` when there is none yet.

        Raises:
            Transient: no answer in time.
        """
        message = self.first_message(partition, start)
        return None if message is None else message.offset()

    def first_message(self, partition: Partition, start: int) -> Message | None:
        """Return the first record at or above ``start``, or ``None`` when there is none yet.

        Raises:
            Transient: no answer in time.
        """
        self._assign({partition: start})
        try:
            deadline = time.monotonic() + READ_TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                message = self._consumer.poll(_POLL_SECONDS)
                if message is None:
                    continue
                if _is_eof(message):
                    return None
                return check_message(message)
        finally:
            self._consumer.unassign()
        raise Transient(f"kafka: {partition[0]}[{partition[1]}]@{start} could not be read in time")

    def first_offsets(self, starts: Mapping[Partition, int]) -> dict[Partition, int | None]:
        """Return the same of several partitions at a time.

        Raises:
            Transient: no answer in time.
            KafkaException: a start is no longer in the log.
        """
        found: dict[Partition, int | None] = {}
        self._assign(starts)
        deadline = time.monotonic() + READ_TIMEOUT_SECONDS
        try:
            while len(found) < len(starts):
                if time.monotonic() > deadline:
                    raise Transient(f"kafka: {len(starts) - len(found)} partitions could not be read in time")
                message = self._consumer.poll(_POLL_SECONDS)
                if message is not None:
                    at = None if _is_eof(message) else check_message(message).offset()
                    found.setdefault((message.topic(), message.partition()), at)
        finally:
            self._consumer.unassign()
        return found

    def _assign(self, starts: Mapping[Partition, int]) -> None:
        for topic, number in starts:
            if topic not in self._known:
                # a client that has just connected and is sent to a topic that it knows nothing of looks again after
                # half a second; this answer comes at once, and tells it who leads the topic
                self.low((topic, number))
                self._known.add(topic)
        self._consumer.assign([TopicPartition(*partition, start) for partition, start in starts.items()])

    def offset_at_time(self, partition: Partition, timestamp_ms: int) -> int:
        """Return the first offset appended at or after a time, or the end of the log as it was when asked.

        Raises:
            Transient: no answer in time.
        """
        # asked first: a record that is committed between the two answers is above this end, and so not passed over
        end = self.end(partition)
        asked = TopicPartition(*partition, max(0, timestamp_ms))
        try:
            found = ask_leader(lambda: self._at_time(asked))
            return found if found >= 0 else end
        except KafkaException as error:
            raise Transient(f"kafka: offsets for times: {error}") from error

    def _at_time(self, asked: TopicPartition) -> int:
        found = self._consumer.offsets_for_times([asked], timeout=READ_TIMEOUT_SECONDS)[0]
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset)

    def high_watermark(self, partition: Partition) -> int:
        """Return the end of the log, open transactions included: reading up to it waits for them.

        Raises:
            Transient: no answer in time.
        """
        return end_offsets(self._kafka, partition[0])[partition[1]]

    def low(self, partition: Partition) -> int:
        """Return the log's first offset.

        Raises:
            Transient: no answer in time.
        """
        return self._watermarks(partition)[0]

    def end(self, partition: Partition) -> int:
        """Return the last stable offset: an open transaction hides what was committed after it (``high_watermark``).

        Raises:
            Transient: no answer in time.
        """
        return self._watermarks(partition)[1]

    def _watermarks(self, partition: Partition) -> tuple[int, int]:
        at = TopicPartition(*partition)
        try:
            low, end = ask_leader(lambda: self._consumer.get_watermark_offsets(at, timeout=READ_TIMEOUT_SECONDS))
        except KafkaException as error:
            raise Transient(f"kafka: watermarks: {error}") from error
        return int(low), int(end)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def _is_eof(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
