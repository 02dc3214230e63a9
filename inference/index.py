"""The decision index: Redis keys that follow the ``decisions`` log, so that a decision can be looked up by its id.

The middle of a batch of ``streaming/loop.py``: decode, write all keys and the positions next to them; the loop then
commits the offsets. Redis says where to continue, not the offsets: what it lost comes back from the log
(``infra/redis/decision_store.py``). The offsets are committed for who asks how far behind it is, and to tell a topic
that was created again. A crash writes the same bytes again, because a value is a function of its log record alone.

Delivery: at least once, with the same bytes on repeat. Each decision in the log that is younger than
``decision_ttl_days`` gets its entry, whatever Redis loses and whenever. Keys expire: the log is what remembers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import orjson
from confluent_kafka import Message

from weir.inference.decide import SchemaLookup
from weir.infra.kafka.group_position import Standing
from weir.infra.kafka.source import Partition
from weir.infra.redis.client import Client
from weir.infra.redis.decision_store import DecisionStore, read_entry
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.monitoring.logs import correlation_id, get_logger
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Damaged, Transient
from weir.streaming.stage import Outcome
from weir.streaming.state.cache import StaleState

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
            Transient: Redis is unreachable.
        """
        try:
            return read_entry(self._client, self._space, event_id)
        except Damaged:
            log.error("decision_damaged", event_id=event_id)
            raise


class IndexStage:
    """Writes the entry of each decision."""

    kind = "d"

    def __init__(
        self,
        topic: str,
        store: DecisionStore,
        schema_of: SchemaLookup,
        *,
        schema: str,
        id_field: str,
        rebuild_from: Callable[[Partition], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind to ports.

        Args:
            topic: of the decisions.
            store: the entries.
            schema_of: writer schema of a decision's id.
            schema: of the decisions, as JSON text.
            id_field: of the event's id in it.
            rebuild_from: the offset of a partition's first decision that is worth an entry.
            monotonic: seconds.
        """
        self.topic = topic
        self._store = store
        self._schema_of = schema_of
        self._rebuild_from = rebuild_from
        self._monotonic = monotonic
        self._look_at = 0.0
        self._next: dict[int, int] = {}
        self._codec = BatchCodec(schema=schema)
        self._id_field = id_field

    def begin(self, partition: Partition, found: Standing) -> int:
        """Return where Redis needs a partition from, the lowest of its buckets' positions, or what is committed below.

        Of a batch that Redis took and whose commit was given up, the entries are there and the offset is not: without
        another record the group would seem to be behind for ever.

        Raises:
            Transient: Redis or the broker is unreachable, or Redis lost its positions just now.
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
        self._next[number] = min(held) if found.committed is None else min(*held, found.committed)
        # below the log's start there is nothing left to index
        return max(found.low, self._next[number])

    def process(self, records: dict[int, list[Message]]) -> Outcome:
        """Write a batch's entries; its offsets are committed after.

        Raises:
            StaleState: Redis lost entries that it had.
            Transient: Redis or the registry is unreachable; writing the batch again is harmless.
        """
        messages = [message for number in sorted(records) for message in records[number]]
        ends = {number: part[-1].offset() + 1 for number, part in records.items()}
        ranges = {number: (self._next[number], end) for number, end in ends.items()}
        with metrics.REDIS_SECONDS.labels(operation="index").time():
            written = self._store.write(self._entries(messages), ranges)
        if not written:
            self._tell_stale(list(ends))
        self._next |= ends
        return Outcome(counted=len(messages))

    def look(self) -> None:
        """Find out, once in a while, whether Redis still holds what it held: without decisions no write would tell.

        Raises:
            StaleState: it does not.
            Transient: Redis is unreachable.
        """
        now = self._monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        self._store.drop_damaged()
        stale = [number for number in self._next if self._has_lost(number)]
        if stale:
            self._tell_stale(stale)

    def _has_lost(self, number: int) -> bool:
        positions = self._store.positions(number)
        return any(position is None or position < self._next[number] for position in positions)

    def _tell_stale(self, numbers: list[int]) -> None:
        for number in numbers:
            metrics.VIEW_REFUSALS.labels(topic=self.topic).inc()
            del self._next[number]  # until it begins again, here or at another member
        units = [Unit(self.kind, number) for number in numbers]
        raise StaleState(units, "redis: the decision index lost entries; they are written again from the log")

    def _entries(self, messages: list[Message]) -> Iterator[tuple[str, bytes]]:
        decoded = self._codec.decode([message.value() for message in messages], self._schema_of)
        for index, error in decoded.errors:
            # somebody else writes to this topic; its log still has the record, and there is no id to index it by
            message = messages[index]
            where = correlation_id(message.topic(), message.partition(), message.offset())
            log.error("decision_not_indexed", correlation_id=where, reason=error.reason)
        for decision in decoded.batch.to_pylist():
            yield decision[self._id_field], orjson.dumps(decision)
