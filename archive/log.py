"""Reads partitions of several topics from given offsets on, committed records alone, in no group.

Where to begin is the tables' to say, so no offsets are committed anywhere, and partitions are given by hand.

Delivery: each committed record at or above a partition's start once and in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from weir.archive.rows import Raw
from weir.infra.kafka.clients import build_consumer, check_message, read_headers
from weir.infra.kafka.source import Partition
from weir.infra.settings import KafkaSettings
from weir.schemas.avro.framing import IdOfGuid, frame_by_header
from weir.schemas.errors import PoisonRecord, Transient

_NO_GROUP = "weir-archive"  # librdkafka wants a name; nothing is ever committed under it
_FETCHED_KILOBYTES_MAX = 16_384
_FETCH_BYTES_MAX, _FETCH_PARTITION_BYTES_MAX = 8 << 20, 1 << 20
"""Of records that the client holds for us, and that one answer of a broker brings: some tenths of a second of a fast
stream, over all partitions of all topics. A larger record comes alone."""
_NO_TIME = 0
"""``Message.timestamp`` gives this kind where the broker kept no time."""


@dataclass
class Read:
    """Records by topic in the order of their partitions, and which partitions have nothing more below an offset."""

    records: dict[str, list[Message]] = field(default_factory=dict)
    ends: dict[Partition, int] = field(default_factory=dict)


class LogReader:
    """One consumer that is assigned by hand; not for use by two threads at once."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Connect, and read nothing yet."""
        self._consumer: Consumer = build_consumer(
            kafka,
            group=_NO_GROUP,
            enable_partition_eof=True,
            queued_max_messages_kbytes=_FETCHED_KILOBYTES_MAX,
            fetch_max_bytes=_FETCH_BYTES_MAX,
            fetch_message_max_bytes=_FETCH_PARTITION_BYTES_MAX,
            fetch_wait_max_ms=100,  # nobody waits for a row that is written in seconds
        )

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on, instead of what was read before."""
        self._consumer.assign([TopicPartition(*where, start) for where, start in starts.items()])

    def read(self, records_max: int, timeout_seconds: float) -> Read:
        """Return what comes within a time.

        Raises:
            Transient: no broker answers.
            KafkaException: the client cannot continue: a start is no longer in the log.
        """
        found = Read()
        for message in self._consumer.consume(records_max, timeout_seconds):
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                found.ends[message.topic(), message.partition()] = message.offset()
                continue
            try:
                record = check_message(message)
            except Transient:
                continue  # the client connects again by itself, and nothing is passed over meanwhile
            found.records.setdefault(record.topic(), []).append(record)
        return found

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def read_raw(messages: Sequence[Message], id_of_guid: IdOfGuid | None) -> Raw:
    """Return the columns of some messages of a topic.

    Args:
        messages: none of them an error.
        id_of_guid: of the topic's subject; None where values are not decoded.

    Raises:
        Transient: the registry is unreachable.
    """
    raw = Raw()
    for message in messages:
        kind, append_ms = message.timestamp()
        value, headers = message.value(), read_headers(message) or []
        raw.partitions.append(message.partition())
        raw.offsets.append(message.offset())
        raw.append_ms.append(0 if kind == _NO_TIME else append_ms)
        raw.keys.append(message.key())
        raw.values.append(value)
        raw.headers.append(headers)
        framed = value if id_of_guid is None else frame_by_header(value, headers, id_of_guid)
        if isinstance(framed, PoisonRecord):
            raw.refused[len(raw.framed)] = framed.reason
        raw.framed.append(None if isinstance(framed, PoisonRecord) else framed)
    return raw
