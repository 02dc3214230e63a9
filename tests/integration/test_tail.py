"""Reading from now on, in no group: what is committed, once, from added partitions too."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.integration.decided import await_true
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import admin_config, build_producer
from weir.infra.kafka.tail import PARTITIONS_SECONDS, Tail
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

pytestmark = pytest.mark.server


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def producer(deployment: Settings) -> Producer:
    return build_producer(deployment.kafka)


@pytest.fixture
def tail(deployment: Settings, producer: Producer, clock: Clock) -> Iterator[Tail]:
    publish(producer, deployment.topics.decisions, b"before", 0)
    made = Tail(deployment.kafka, (deployment.topics.decisions, deployment.topics.dlq), clock)
    yield made
    made.close()


def publish(producer: Producer, topic: str, value: bytes, partition: int) -> None:
    producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0


def read(tail: Tail, count: int) -> list[tuple[str, int, bytes]]:
    """Read until so many records are there; with one more, or without, the test fails."""
    found: list[tuple[str, int, bytes]] = []

    def enough() -> bool:
        found.extend((m.topic(), m.partition(), m.value()) for m in tail.read(100, 0.1))
        return len(found) >= count

    await_true(enough, f"{count} records")
    return sorted(found)


def test_all_topics_are_read_from_their_ends_on(deployment: Settings, producer: Producer, tail: Tail) -> None:
    decisions, letters = deployment.topics.decisions, deployment.topics.dlq
    publish(producer, decisions, b"a", 1)
    publish(producer, letters, b"b", 0)
    assert read(tail, 2) == [(decisions, 1, b"a"), (letters, 0, b"b")]


def test_what_is_not_committed_is_not_read(deployment: Settings, tail: Tail) -> None:
    topic = deployment.topics.decisions
    writer = build_producer(deployment.kafka, transactional_id=topic)
    writer.init_transactions(30)
    for value, end in ((b"aborted", writer.abort_transaction), (b"committed", writer.commit_transaction)):
        writer.begin_transaction()
        writer.produce(topic, value, partition=0)
        writer.flush(30)
        assert tail.read(100, 0.2) == []
        end(30)
    assert read(tail, 1) == [(topic, 0, b"committed")]


def test_partitions_that_are_added_are_read_from_their_first_record(
    deployment: Settings, producer: Producer, tail: Tail, clock: Clock
) -> None:
    topic = deployment.topics.decisions
    publish(producer, topic, b"known", 0)
    assert read(tail, 1) == [(topic, 0, b"known")]
    admin = AdminClient(admin_config(deployment.kafka))
    for future in admin.create_partitions([NewPartitions(topic, 3)]).values():
        future.result(30)
    await_true(lambda: describe_topics(deployment.kafka, [topic])[topic].partitions == 3, "the partition")
    adder = build_producer(deployment.kafka)  # the one above knows two partitions yet
    publish(adder, topic, b"added", 2)
    clock.now_s += PARTITIONS_SECONDS
    assert read(tail, 1) == [(topic, 2, b"added")]
    publish(producer, topic, b"later", 0)
    assert read(tail, 1) == [(topic, 0, b"later")]


def test_a_topic_that_is_not_there_is_named(deployment: Settings) -> None:
    began = time.monotonic()
    with pytest.raises(Refused, match=r"topic no-such does not exist"):
        Tail(deployment.kafka, ("no-such",))
    assert time.monotonic() - began < 30
