"""The decision index: Redis keys that follow the ``decisions`` log, so that a decision can be looked up by its id.

A batch: gather, decode, write all keys and the positions next to them, then commit the offsets. Redis says where to go
on, not the offsets: what it lost comes back from the log (``infra/redis/decision_store.py``). The offsets are committed
for who asks how far behind it is, and to tell a topic that was created again. A crash writes the same bytes again,
because a value is a function of its log record alone.

Delivery: at least once, with the same bytes on repeat. Each decision in the log that is younger than
``decision_ttl_days`` gets its entry, whatever Redis loses and whenever. Keys expire: the log is what remembers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from weir.inference.decide import SchemaLookup
from weir.inference.follower import Behind
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.source import Gathered, Partition
from weir.infra.redis.client import Client
from weir.infra.redis.decision_store import DecisionStore, read_entry
from weir.monitoring import metrics
from weir.monitoring.logs import correlation_id, get_logger
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Damaged, Transient

STAGE = "index"
LOOK_EVERY_SECONDS = 5.0
"""Without decisions, a Redis that lost data is found within this time."""
log = get_logger(__name__)


class DecisionReader:
    """Looks decisions up. It writes nothing but the mark of a damaged entry."""

    def __init__(self, client: Client, *, space: str) -> None:
        """Bind to the key space of a stream's decisions: ``settings.key_space``."""
        self._client = client
        self._space = space

    def read(self, event_id: str) -> bytes | None:
        """Return the decision as JSON bytes, or ``None`` where there is none (yet, or any more).

        Raises:
            Damaged: something else stood there; the index writes it again from the log.
            Transient: Redis is away.
        """
        try:
            return read_entry(self._client, self._space, event_id)
        except Damaged:
            log.error("decision_damaged", event_id=event_id)
            raise


class DecisionIndex:
    """Writes entries; a ``Follower`` of the decisions topic calls ``begin``, ``handle`` and ``look``."""

    def __init__(
        self,
        store: DecisionStore,
        consumer: Consumer,
        schema_of: SchemaLookup,
        *,
        topic_id: str,
        schema: str,
        id_field: str,
        rebuild_from: Callable[[Partition], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind to ports.

        Args:
            store: the entries.
            consumer: the follower's own, to commit with.
            schema_of: writer schema of a decision's id.
            topic_id: of the decisions, committed next to each offset.
            schema: of the decisions, as JSON text.
            id_field: of the event's id in it.
            rebuild_from: the offset of a partition's first decision that is worth an entry.
            monotonic: seconds.
        """
        self._store = store
        self._consumer = consumer
        self._schema_of = schema_of
        self._topic_id = topic_id
        self._rebuild_from = rebuild_from
        self._monotonic = monotonic
        self._look_at = 0.0
        self._next: dict[Partition, int] = {}
        self._codec = BatchCodec(schema=schema)
        self._id_field = id_field

    def begin(self, partition: Partition, found: Standing) -> int:
        """Return where Redis needs a partition from: the lowest of its buckets' positions.

        Raises:
            Transient: Redis or the broker is away, or Redis lost its positions just now.
        """
        topic, number = partition
        self._store.drop_damaged()
        positions = self._store.positions(number)
        if None in positions:
            start = max(found.low, self._rebuild_from(partition))
            log.info("index_rebuilt", partition=f"{topic}-{number}", rebuild_from=start, buckets=positions.count(None))
            self._store.claim(number, start)
            positions = self._store.positions(number)
        held = [position for position in positions if position is not None]
        if len(held) < len(positions):
            raise Transient("redis: the decision index lost its positions again; starting over")
        self._next[partition] = min(held)
        # below the log's start there is nothing left to index
        return max(found.low, min(held))

    def handle(self, gathered: Gathered) -> None:
        """Write a batch's entries, then commit its offsets.

        Raises:
            Behind: Redis lost entries that it had.
            Transient: Redis, the registry or the broker is away; writing the batch again is harmless.
        """
        messages = [message for partition in sorted(gathered.records) for message in gathered.records[partition]]
        ends = {partition: records[-1].offset() + 1 for partition, records in gathered.records.items()}
        with metrics.REDIS_SECONDS.labels(operation="index").time():
            self._write(messages, ends)
        self._commit(ends)
        metrics.RECORDS_CONSUMED.labels(stage=STAGE).inc(len(messages))
        metrics.RECORDS_DECIDED.labels(stage=STAGE).inc(len(messages))

    def look(self) -> None:
        """Find out, once in a while, whether Redis still holds what it held: without decisions no write would tell.

        Raises:
            Behind: it does not.
            Transient: Redis is away.
        """
        now = self._monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        self._store.drop_damaged()
        behind = [partition for partition in self._next if self._has_lost(partition)]
        if behind:
            self._tell_behind(behind)

    def _has_lost(self, partition: Partition) -> bool:
        positions = self._store.positions(partition[1])
        return any(position is None or position < self._next[partition] for position in positions)

    def _write(self, messages: list[Message], ends: dict[Partition, int]) -> None:
        ranges = {partition[1]: (self._next[partition], end) for partition, end in ends.items()}
        if not self._store.write(self._entries(messages), ranges):
            self._tell_behind(list(ends))
        self._next |= ends

    def _tell_behind(self, partitions: list[Partition]) -> None:
        for partition in partitions:
            metrics.VIEW_REFUSALS.labels(topic=partition[0]).inc()
            del self._next[partition]  # until it begins again, here or at another member
        raise Behind("redis: the decision index lost entries; they are written again from the log", partitions)

    def _entries(self, messages: list[Message]) -> Iterator[tuple[str, bytes]]:
        decoded = self._codec.decode([message.value() for message in messages], self._schema_of)
        for index, error in decoded.errors:
            # somebody else writes to this topic; its log still has the record, and there is no id to index it by
            message = messages[index]
            where = correlation_id(message.topic(), message.partition(), message.offset())
            log.error("decision_not_indexed", correlation_id=where, reason=error.reason)
        for decision in decoded.batch.to_pylist():
            yield decision[self._id_field], orjson.dumps(decision)

    def _commit(self, ends: dict[Partition, int]) -> None:
        offsets = [TopicPartition(topic, number, end, metadata=self._topic_id) for (topic, number), end in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise Transient(f"kafka: committing the index's offsets: {error}") from error
