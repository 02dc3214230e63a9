"""Filling a topic, watching it grow until it has stopped to, and reading what is in it.

Nothing of the measuring runs next to what is measured but a question for the topic's end twenty times a second; what a
contender wrote is read and counted when it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.bench.figures import NothingMeasured
from weir.generators.outgoing import Outgoing
from weir.generators.sender import Sender
from weir.infra.kafka.clients import admin_config, build_consumer, build_producer, check_message
from weir.infra.kafka.offsets import end_offsets
from weir.infra.settings import Settings

POLL_SECONDS = 0.05
QUIET_SECONDS = 1.5
"""A topic that did not grow for so long is taken to be done."""
START_SECONDS_MAX = 60.0
_READ_AT_ONCE = 10_000
_ANSWER_SECONDS_MAX = 30.0


def create_topic(settings: Settings, name: str, partitions: int) -> None:
    """Create a topic whose record times are the broker's, for a program that is not ours."""
    wanted = NewTopic(name, partitions, 1, config={"message.timestamp.type": "LogAppendTime"})
    admin = AdminClient(admin_config(settings.kafka))  # a future of a client that is gone is never answered
    for future in admin.create_topics([wanted]).values():
        future.result(_ANSWER_SECONDS_MAX)


def delete_topics(settings: Settings, names: Sequence[str]) -> None:
    """Delete topics, so that a long run does not fill the disk."""
    admin = AdminClient(admin_config(settings.kafka))
    for future in admin.delete_topics(list(names)).values():
        future.result(_ANSWER_SECONDS_MAX)


def fill(settings: Settings, block: Outgoing) -> None:
    """Send a block as fast as the broker takes it.

    Raises:
        NothingMeasured: a record was not acknowledged.
    """
    sent = Sender(build_producer(settings.kafka, linger_ms=20, delivery_report_only_error=True)).send_all([block])
    if sent.failed or sent.records != len(block):
        raise NothingMeasured(f"expected {len(block)} records acknowledged, found {sent.records - sent.failed}")


class Growth:
    """Asks one topic for the end of what is committed, over one connection; transactions' markers are counted too."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._consumer = build_consumer(settings.kafka, group="bench-growth")
        self._topic = topic
        self._places: list[TopicPartition] = []

    def count(self) -> int:
        """Return how many offsets are used, over all partitions.

        Raises:
            KafkaException: the broker does not answer.
        """
        deadline = time.monotonic() + _ANSWER_SECONDS_MAX
        while True:
            try:
                return self._ask()
            except KafkaException:  # a topic that was just made has no leader yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _ask(self) -> int:
        if not self._places:
            found = self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS_MAX).topics[self._topic].partitions
            self._places = [TopicPartition(self._topic, number) for number in found]
        ends = [self._consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS_MAX)[1] for place in self._places]
        return sum(ends)

    def close(self) -> None:
        self._consumer.close()


def count(settings: Settings, topic: str) -> int:
    """Return how many offsets a topic has used, over all partitions."""
    with closing(Growth(settings, topic)) as growth:
        return growth.count()


def await_work(
    settings: Settings, topic: str, *, records_min: int, seconds_max: float, check: Callable[[], None]
) -> list[tuple[float, int]]:
    """Watch a topic until it has its records and gets no more, or for so long after its first one.

    Args:
        settings: where the broker is.
        topic: watched for growth.
        records_min: fewer are not the end, unless time is up.
        seconds_max: of work, counted from the first record.
        check: raises when the worker has died.

    Returns:
        When it was asked, in seconds, and how many records were visible then that were not at the start.

    Raises:
        NothingMeasured: not even a first record came.
    """
    with closing(Growth(settings, topic)) as growth:
        base = growth.count()
        seen = [(time.monotonic(), 0)]
        while not _is_over(seen, records_min, seconds_max):
            check()
            if seen[-1][1] == 0 and seen[-1][0] - seen[0][0] > START_SECONDS_MAX:
                raise NothingMeasured(f"expected records in {topic}, found none after {START_SECONDS_MAX:.0f} s")
            time.sleep(POLL_SECONDS)
            count = growth.count() - base
            seen.append((time.monotonic(), count))
    return seen


def _is_over(seen: list[tuple[float, int]], records_min: int, seconds_max: float) -> bool:
    now, count = seen[-1]
    first_at = next((at for at, records in seen if records), now)
    grown_at = next(at for at, records in seen if records == count)
    is_done = count >= records_min and now - grown_at > QUIET_SECONDS
    return bool(count) and (is_done or now - first_at > seconds_max)


def read(settings: Settings, topic: str, starts: dict[int, int] | None = None) -> list[Message]:
    """Return every committed record of a topic, from these offsets on."""
    unread = set(end_offsets(settings.kafka, topic))
    consumer = build_consumer(settings.kafka, group="bench-read", enable_partition_eof=True)
    try:
        consumer.assign([TopicPartition(topic, number, (starts or {}).get(number, 0)) for number in unread])
        return _read_to_ends(consumer, unread)
    finally:
        consumer.close()


def append_times_ms(settings: Settings, topic: str, starts: dict[int, int] | None = None) -> list[float]:
    """Return the broker's append time of every committed record of a topic."""
    return [float(message.timestamp()[1]) for message in read(settings, topic, starts)]


def _read_to_ends(consumer: Consumer, unread: set[int]) -> list[Message]:
    found = []
    while unread:
        for message in consumer.consume(_READ_AT_ONCE, POLL_SECONDS):
            if _is_end(message):
                unread.discard(message.partition())
            else:
                found.append(check_message(message))
    return found


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


class Lag:
    """How far the processor's group is behind its input, which no transaction's markers are in."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topics.transactions
        # a consumer that never subscribes is no member: it only asks what its group has committed
        self._consumer = build_consumer(settings.kafka, group=settings.processor.group)

    def count(self) -> int:
        """Return how many records are not committed yet."""
        partitions = self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS_MAX).topics[self._topic].partitions
        wanted = [TopicPartition(self._topic, number) for number in partitions]
        return sum(self._behind(place) for place in self._consumer.committed(wanted, _ANSWER_SECONDS_MAX))

    def _behind(self, place: TopicPartition) -> int:
        low, high = self._consumer.get_watermark_offsets(place, _ANSWER_SECONDS_MAX)
        behind: int = high - max(low, place.offset)
        return behind

    def close(self) -> None:
        self._consumer.close()


def await_quiet(settings: Settings, topic: str, check: Callable[[], None]) -> None:
    """Wait until a topic has not grown for a while."""
    with closing(Growth(settings, topic)) as growth:
        seen, grown_at = growth.count(), time.monotonic()
        while time.monotonic() - grown_at < QUIET_SECONDS:
            check()
            time.sleep(POLL_SECONDS)
            if (found := growth.count()) > seen:
                seen, grown_at = found, time.monotonic()
