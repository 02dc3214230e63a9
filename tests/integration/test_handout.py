"""An owner that ends between the two rounds of a handover leaves partitions to nobody; a start gives them out."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.integration.services import Services
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.group_owners import NOBODY, read_owners
from weir.infra.kafka.handout import Handout
from weir.infra.meanwhile import running_meanwhile

pytestmark = pytest.mark.server

GIVES_UP = """
import os, sys
from confluent_kafka import Consumer
servers, group, topic = sys.argv[1:]
consumer = Consumer({
    "bootstrap.servers": servers, "group.id": group, "group.instance.id": f"{group}-0.1", "enable.auto.commit": False,
    "partition.assignment.strategy": "cooperative-sticky",
})
consumer.subscribe([topic], on_revoke=lambda *_: os._exit(0))
while True:
    consumer.poll(0.1)
"""
"""Ends as it is told to give partitions up, so it never asks for the round in which they are given out."""


def test_what_an_owner_gave_up_as_it_ended_is_given_out_by_the_start_in_its_place(services: Services) -> None:
    kafka, topic = services.settings.kafka, services.settings.topics.transactions
    group = f"{topic}.handout"
    every = {(topic, number) for number in range(services.settings.topics.partitions)}

    def owners() -> set[str]:
        found = read_owners(kafka, group, every)
        return {"moving"} if found.is_moving else {found.of(each) for each in every}

    @contextmanager
    def member(instance: int) -> Iterator[None]:
        def poll(done: threading.Event) -> None:
            with closing(build_consumer(kafka, group=group, instance=f"{group}-{instance}.1")) as consumer:
                consumer.subscribe([topic], on_assign=_assign)
                while not done.is_set():
                    consumer.consume(1, 0.1)

        with running_meanwhile(poll, f"member-{instance}") as failed:
            yield
        assert failed == []

    with subprocess.Popen([sys.executable, "-c", GIVES_UP, kafka.bootstrap_servers, group, topic]) as first:
        try:
            services.await_true(lambda: owners() == {"instance 0"}, "the first having all of it")
            with member(1):
                assert first.wait(30) == 0
                with member(0):
                    services.await_true(lambda: owners() == {"instance 0", NOBODY}, "what was given up having no owner")
                    with closing(Handout(kafka, group, every)):
                        services.await_true(lambda: owners() == {"instance 0", "instance 1"}, "owners for all of it")
        finally:
            first.kill()


def _assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    consumer.incremental_assign([TopicPartition(at.topic, at.partition, 0) for at in partitions])
