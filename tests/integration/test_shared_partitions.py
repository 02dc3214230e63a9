"""Two processes share every topic's partitions by halves, also next to members of the release before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.services import Services
from weir.inference.inspect.lag import read_lag, read_readers
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.group_owners import describe_group
from weir.infra.meanwhile import running_meanwhile
from weir.infra.settings import Settings

pytestmark = pytest.mark.server
Shares = dict[str, dict[str, int]]


@pytest.fixture
def quick(services: Services) -> Services:
    """Services whose sessions end as soon as the brokers allow."""
    settings = services.settings
    short = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"session_timeout_ms": 6_000})})
    services.change(short)
    return services


def _shares(settings: Settings) -> Shares:
    """Return how many partitions of each topic each process of the group has."""
    group = settings.processor.group
    found = describe_group(settings.kafka, group)
    shares: Shares = {}
    for member in found.members if found else ():
        process = str(member.group_instance_id).removeprefix(f"{group}-").partition(".")[0]
        for at in member.assignment.topic_partitions:
            of_topic = shares.setdefault(at.topic, {})
            of_topic[process] = of_topic.get(process, 0) + 1
    return shares


def _halves(settings: Settings) -> Shares:
    return {topic: {"0": 1, "1": 1} for topic in (settings.topics.transactions, settings.topics.labels)}


@contextmanager
def _release_before(settings: Settings, instance: int) -> Iterator[None]:
    """Be a process of the release before, to the group: one static member that reads both topics."""
    group = settings.processor.group
    counts = ".".join([str(settings.topics.partitions)] * 2)

    def poll(done: threading.Event) -> None:
        with closing(build_consumer(settings.kafka, group=group, instance=f"{group}-{instance}.{counts}")) as consumer:
            topics = [settings.topics.transactions, settings.topics.labels]
            consumer.subscribe(topics, on_assign=_assign)
            while not done.is_set():
                consumer.consume(1, 0.1)

    with running_meanwhile(poll, "release-before") as failed:
        yield
    assert failed == []


def _assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    consumer.incremental_assign([TopicPartition(at.topic, at.partition, 0) for at in partitions])


def test_a_second_process_gets_half_of_each_topic(services: Services) -> None:
    services.start("process")
    services.await_true(lambda: sum(map(len, _shares(services.settings).values())) == 2, "the first having all of it")
    services.start("process", "--instance", "1")
    services.await_true(lambda: _shares(services.settings) == _halves(services.settings), "halves")
    rows = read_lag(services.settings)
    readers = zip(rows, read_readers(services.settings, rows), strict=True)
    found = Counter((row.stage, who) for row, who in readers)
    shared = {("process", "instance 0"): 2, ("process", "instance 1"): 2}
    assert found == shared | {("score", "nobody"): 2, ("index", "nobody"): 2}


def test_processes_of_the_release_before_are_replaced_one_by_one_and_come_back(quick: Services) -> None:
    settings = quick.settings
    with _release_before(settings, 1):
        with _release_before(settings, 0):
            quick.await_true(lambda: _count(settings) == 4, "every partition with the release before")
        first = quick.start("process")
        quick.await_true(lambda: '"caught_up"' in first.log_file.read_text(), "a unit of the new release's")
        quick.await_true(lambda: _count(settings) == 4, "every partition with one of the two")
    quick.start("process", "--instance", "1")
    quick.await_true(lambda: _shares(settings) == _halves(settings), "halves")
    quick.end(first)
    with _release_before(settings, 0):  # the way back: what the second member had follows when its session has ended
        quick.await_true(lambda: _shares(settings).get(settings.topics.labels, {}).get("0") == 1, "a label partition")
        quick.await_true(lambda: _count(settings) == 4, "every partition with one of the two")


def _count(settings: Settings) -> int:
    return sum(sum(of_topic.values()) for of_topic in _shares(settings).values())
