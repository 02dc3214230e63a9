"""Watches a canary by the decisions topic, from the moment it was published, until it is ended or has to go.

**Delivery:** read only. A watch that is started again reads everything since the canary began and comes to the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final

import pyarrow as pa
from confluent_kafka import Consumer, KafkaException, TopicPartition

from weir.infra.kafka.clients import build_consumer, is_away, read_headers
from weir.infra.kafka.leaders import ask_leader
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.avro.framing import frame_by_header
from weir.schemas.contracts import decisions_schema
from weir.schemas.errors import PoisonRecord, Refused, Transient
from weir.training.choosing.guard import Decision, Guard
from weir.training.topics import guid_lookup, schema_lookup

_GROUP: Final = "weir-models"  # librdkafka wants a name; nothing is ever committed under it
_CHUNK: Final = 5_000
_POLL_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 1.0
"""Between two judgements, and two looks whether somebody else ended the canary."""
_REQUEST_SECONDS: Final = 10.0
_NO_SCORE: Final = "fallback"


def watch(
    guard: Guard,
    batches: Iterator[pa.RecordBatch],
    read: Callable[[pa.RecordBatch], Iterable[Decision]],
    is_over: Callable[[], bool],
    monotonic: Callable[[], float] = time.monotonic,
) -> str:
    """Return why the canary has to go; empty when it is over.

    Args:
        guard: that judges.
        batches: of decisions, endlessly; an empty one when nothing came.
        read: returns what the guard needs of a batch.
        is_over: asked now and then whether the canary was ended, or has decided enough.
        monotonic: seconds.
    """
    next_look = monotonic()
    for batch in batches:
        if batch.num_rows:
            guard.add(list(read(batch)))
        if monotonic() < next_look:
            continue
        if reason := guard.judge():
            return reason
        if is_over():
            return ""
        next_look = monotonic() + _LOOK_SECONDS
    return ""


def read_decisions(batch: pa.RecordBatch, version: tuple[str, str], key: str) -> Iterator[Decision]:
    """Yield what the guard needs of decisions."""
    names = (key, "model_name", "model_version", "decision", "decided_by", "score")
    for owner, name, of, decision, by, score in zip(*(batch[each].to_pylist() for each in names), strict=True):
        is_missing = score is None
        yield Decision(
            str(owner),
            (name, of) == version,
            decision == "DECLINE",
            by == _NO_SCORE,
            float("nan") if is_missing else score,
        )


def follow_decisions(settings: Settings, since_ms: int) -> Generator[pa.RecordBatch, None, None]:
    """Yield decisions that were appended since a time, endlessly; empty batches while none come.

    Raises:
        Refused: the topic does not exist.
        Transient: the registry is unreachable, or the brokers are at the start; later they are waited for.
    """
    topic, schema = settings.topics.of(settings.stream).decisions, decisions_schema(settings.stream)
    registry, consumer = Registry(settings.registry), build_consumer(settings.kafka, group=_GROUP)
    codec = BatchCodec(schema=schema)
    schema_of, id_of_guid = schema_lookup(registry, topic), guid_lookup(registry, topic)
    try:
        consumer.assign(_find_starts(consumer, topic, since_ms))
        while True:
            read = [message for message in consumer.consume(_CHUNK, _POLL_SECONDS) if not is_away(message)]
            framed: list[Any] = [frame_by_header(each.value(), read_headers(each), id_of_guid) for each in read]
            values = [None if isinstance(value, PoisonRecord) else value for value in framed]
            yield codec.decode(values, schema_of).batch
    finally:
        consumer.close()
        registry.close()


def _find_starts(consumer: Consumer, topic: str, since_ms: int) -> list[TopicPartition]:
    try:
        found = consumer.list_topics(topic, timeout=_REQUEST_SECONDS).topics[topic]
        if found.error is not None:
            raise Refused(f"topic {topic}: expected it to exist; `weir topics create` makes it")
        asked = [TopicPartition(topic, number, since_ms) for number in sorted(found.partitions)]
        return ask_leader(lambda: _ask_times(consumer, asked))
    except KafkaException as error:
        raise Transient(f"kafka: offsets for times: {error.args[0].str()}") from error


def _ask_times(consumer: Consumer, asked: list[TopicPartition]) -> list[TopicPartition]:
    starts: list[TopicPartition] = consumer.offsets_for_times(asked, timeout=_REQUEST_SECONDS)
    for each in starts:
        if each.error is not None:  # not a place to start: assigned like this it would be the log's end
            raise KafkaException(each.error)
    return starts
