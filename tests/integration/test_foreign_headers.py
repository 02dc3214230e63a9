"""Headers that the client itself cannot read: a name may be any bytes on the wire, and only UTF-8 becomes a string."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from tests.integration.mock_cluster import MockCluster, _load, running_mock
from weir.infra.kafka.clients import UNREADABLE_HEADERS, header_text, read_headers
from weir.schemas.errors import PoisonRecord
from weir.streaming.dlq.build import build_dead_letter
from weir.streaming.framed import ReadValues, find_no_guid, read_values
from weir.streaming.stage import DeadRecord

POLL_SECONDS, FLUSH_MS, ERROR_BYTES = 10.0, 10_000, 512
TOPIC, PARTITION, VALUE, MSGFLAGS, HEADER, END = 1, 3, 4, 7, 9, 0
"""Tags of librdkafka's producev."""
COPY = 2
HOT_CALLS = 10_000


@pytest.fixture(scope="module")
def messages() -> Iterator[list[Message]]:
    """Four records: a header that is fine, one whose name is no UTF-8, none, and again one that is no UTF-8."""
    with running_mock() as cluster:
        cluster.create_topic("foreign")
        _produce(cluster, [(b"trace", b"\xff"), (b"\xff\xfe", b"x"), None, (b"\xff", b"y")])
        consumer = Consumer({"bootstrap.servers": cluster.bootstrap_servers, "group.id": "g"})
        consumer.assign([TopicPartition("foreign", 0, 0)])
        yield consumer.consume(4, POLL_SECONDS)
        consumer.close()


def _produce(cluster: MockCluster, headers: list[tuple[bytes, bytes] | None]) -> None:
    library: Any = _load()
    error = ctypes.create_string_buffer(ERROR_BYTES)
    conf = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", cluster.bootstrap_servers.encode(), error, ERROR_BYTES)
    library.rd_kafka_flush.argtypes = [ctypes.c_void_p, ctypes.c_int]
    producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, error, ERROR_BYTES))
    for header in headers:
        tags: list[Any] = [TOPIC, b"foreign", PARTITION, 0, VALUE, b"body", ctypes.c_size_t(4), MSGFLAGS, COPY]
        if header is not None:
            tags += [HEADER, header[0], header[1], ctypes.c_ssize_t(len(header[1]))]
        assert library.rd_kafka_producev(producer, *tags, END) == 0
    assert library.rd_kafka_flush(producer, FLUSH_MS) == 0
    library.rd_kafka_destroy(producer)


def test_one_that_says_so_stands_in_their_place(messages: list[Message]) -> None:
    assert [read_headers(message) for message in messages[:3]] == [
        [("trace", b"\xff")],
        [(UNREADABLE_HEADERS, b"SystemError")],
        None,
    ]
    assert read_headers(messages[1]) == [(UNREADABLE_HEADERS, b"SystemError")]  # the client's own second answer crashes
    assert header_text(messages[1], "trace") is None


def test_it_stands_there_for_a_process_that_has_read_many(messages: list[Message]) -> None:
    """Python calls what is hot by a shorter path, which does not check what the client returns."""
    for _ in range(HOT_CALLS):
        read_headers(messages[0])
    assert read_headers(messages[3]) == [(UNREADABLE_HEADERS, b"SystemError")]


def test_the_values_of_the_batch_are_read_all_the_same(messages: list[Message]) -> None:
    assert read_values(messages[:3], find_no_guid) == ReadValues([b"body"] * 3, {}, {})


def test_a_dead_letter_of_it_is_written(messages: list[Message]) -> None:
    dead = DeadRecord(messages[1], PoisonRecord("undecodable", "expected a record"), "decode")
    letter = build_dead_letter(dead, dlq_topic="foreign.dlq", group="g", prefix="__dlq.")
    assert letter.value == b"body"
    assert letter.headers is not None
    assert (UNREADABLE_HEADERS, b"SystemError") in list(letter.headers)
