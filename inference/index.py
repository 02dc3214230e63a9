"""The decision index: Redis keys that follow the ``decisions`` log, so that a decision can be looked up by its id.

A batch: gather, decode, write all keys in one pipeline, then commit the offsets. A crash between the two writes the
same bytes again, because a value is a function of its log record alone.

Delivery: at least once, with the same bytes on repeat; a decision in the log has its entry once the offset is past it.
Keys expire after ``decision_ttl_days``: the log is what remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from inference.scoring import SchemaLookup
from infra.kafka_input import Gathered
from infra.redis_client import Client, ask_servers, transient_errors
from monitoring import metrics
from monitoring.logs import correlation_id, get_logger
from schemas.codec import BatchCodec
from schemas.errors import Transient

STAGE = "index"
_SECONDS_PER_DAY = 86_400
log = get_logger(__name__)


def decision_key(cluster: str, transaction_id: str) -> str:
    """Return the Redis key of a decision.

    >>> decision_key("local", "t1")
    'weir:local:decision:{t1}'
    """
    return f"weir:{cluster}:decision:{{{transaction_id}}}"


class DecisionReader:
    """Looks decisions up. Read only."""

    def __init__(self, client: Client, *, cluster: str) -> None:
        self._client = client
        self._cluster = cluster

    def read(self, transaction_id: str) -> bytes | None:
        """Return the decision as JSON bytes, or ``None`` where there is none (yet, or any more).

        Raises:
            Transient: Redis is away.
        """
        with transient_errors("reading a decision"):
            found: bytes | None = self._client.get(decision_key(self._cluster, transaction_id))
        return found


class DecisionIndex:
    """Writes entries; a ``Follower`` of the decisions topic calls ``handle``."""

    def __init__(
        self, client: Client, consumer: Consumer, schema_of: SchemaLookup, *, cluster: str, topic_id: str, ttl_days: int
    ) -> None:
        """Bind to ports.

        Args:
            client: Redis.
            consumer: the follower's own, to commit with.
            schema_of: writer schema of a decision's id.
            cluster: ``settings.cluster``.
            topic_id: of the decisions, committed beside each offset.
            ttl_days: how long an entry is kept.
        """
        self._client = client
        self._consumer = consumer
        self._schema_of = schema_of
        self._cluster = cluster
        self._topic_id = topic_id
        self._ttl_seconds = ttl_days * _SECONDS_PER_DAY
        self._codec = BatchCodec("decisions")

    def handle(self, gathered: Gathered) -> None:
        """Write a batch's entries, then commit its offsets.

        Raises:
            Transient: Redis, the registry or the broker is away; writing the batch again is harmless.
        """
        messages = [message for partition in sorted(gathered.records) for message in gathered.records[partition]]
        with metrics.REDIS_SECONDS.labels(operation="index").time(), transient_errors("indexing decisions"):
            ask_servers(self._client, self._entries(messages), key_of=lambda entry: entry[0], ask=self._write)
        self._commit(gathered)
        metrics.RECORDS_CONSUMED.labels(stage=STAGE).inc(len(messages))
        metrics.RECORDS_DECIDED.labels(stage=STAGE).inc(len(messages))

    def _write(self, server: Any, entries: list[tuple[str, bytes]]) -> None:
        pipeline = server.pipeline(transaction=False)
        for key, value in entries:
            pipeline.set(key, value, ex=self._ttl_seconds)
        pipeline.execute()

    def _entries(self, messages: list[Message]) -> Iterator[tuple[str, bytes]]:
        decoded = self._codec.decode([message.value() for message in messages], self._schema_of)
        for index, error in decoded.errors:
            # somebody else writes to this topic; its log still has the record, and there is no id to index it by
            message = messages[index]
            where = correlation_id(message.topic(), message.partition(), message.offset())
            log.error("decision_not_indexed", correlation_id=where, reason=error.reason)
        for decision in decoded.batch.to_pylist():
            yield decision_key(self._cluster, decision["transaction_id"]), orjson.dumps(decision)

    def _commit(self, gathered: Gathered) -> None:
        offsets = [
            TopicPartition(topic, number, records[-1].offset() + 1, metadata=self._topic_id)
            for (topic, number), records in gathered.records.items()
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise Transient(f"kafka: committing the index's offsets: {error}") from error
