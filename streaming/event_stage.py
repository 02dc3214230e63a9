"""The events of a stream: decode, judge, compute features, publish feature rows.

State is folded from the record's bytes, its append time and whether it counts, and from nothing else (design rule R1).
What other partitions know of a shared entity only flavours the published row; it never enters our own partials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import compress
from zlib import crc32

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from weir.infra.kafka.sink import Record
from weir.infra.redis.unit import Unit
from weir.monitoring import metrics
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.framing import HEADER_BYTES, IdOfGuid
from weir.schemas.contracts import DECIDED, event_schemas
from weir.schemas.declarations_hash import with_placeholders
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import validate_events
from weir.schemas.stream import Stream
from weir.streaming.core.events import EventBatch
from weir.streaming.core.hashing import compute_partitions
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.packing import unpack
from weir.streaming.core.states import Computed, Packed, PackedStates
from weir.streaming.dlq.build import build_dead_letter, duplicate_error, not_decodable
from weir.streaming.feature_rows import FeatureBatch, FeatureRowWriter
from weir.streaming.framed import find_no_guid, read_values
from weir.streaming.stage import DeadRecord, Further, Outcome, Refolded
from weir.streaming.state.arrangement import sort_by_unit
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.queries import BatchQuery, Positions

SchemaLookup = Callable[[int], "WriterSchema | PoisonRecord"]
_COUNTED, _DUPLICATE, _ID_REUSED = 0, 1, 2


@dataclass(frozen=True)
class Decoded:
    """Good records of a batch: columns, the messages they came from, and what the kernel needs.

    Attributes:
        request_ids: of the messages, where one of them has one; else None.
    """

    batch: pa.RecordBatch
    messages: list[Message]
    append_time_ms: np.ndarray
    partition: np.ndarray
    events: EventBatch
    dead: list[DeadRecord]
    request_ids: list[bytes | None] | None


@dataclass(frozen=True)
class EventStageConfig:
    """Names, sizes and ids that differ between deployments."""

    topic: str
    dlq_topic: str
    features_topic: str
    features_schema_id: int
    partitions: int
    label_partitions: int
    group: str
    dlq_header_prefix: str
    placeholders: Placeholders
    kernel: Kernel


class EventStage:
    """Judges, computes and folds the events of a stream."""

    kind = "t"

    def __init__(
        self,
        config: EventStageConfig,
        schema_of: SchemaLookup,
        id_of_guid: IdOfGuid = find_no_guid,
        then: Callable[[FeatureBatch], Further] | None = None,
    ) -> None:
        """Bind to a deployment.

        Args:
            config: names, sizes and ids.
            schema_of: answers for writer schemas of the input's subject, by id.
            id_of_guid: likewise by GUID.
            then: decides the rows in the transaction that publishes them; the rows say so.
        """
        self.topic = config.topic
        self.dlq_topic = config.dlq_topic
        self.partitions = config.partitions
        self._config = config
        self._kernel = config.kernel
        stream = config.kernel.stream
        self._key_field = stream.key.field
        self._declarations_hash = with_placeholders(stream.declarations_hash, config.placeholders)
        self.schema_of = schema_of
        self.id_of_guid = id_of_guid
        self.schema = event_schemas(stream)[-1]
        self._codec = BatchCodec(schema=self.schema)
        self._writer = FeatureRowWriter(stream, topic=config.features_topic, schema_id=config.features_schema_id)
        self._then = then
        self._passed_on = (*stream.kept_in_rows, stream.time)

    def process(self, records: dict[int, list[Message]], store: PartialStore, live: Mapping[Unit, int]) -> Outcome:
        """Steps 2 and 3; see ``streaming.stage.Stage``."""
        messages = [message for partition in sorted(records) for message in records[partition]]
        with metrics.STAGE_SECONDS.labels(stage="process", step="judge").time():
            decoded = self._decode(messages)
            elsewhere = find_elsewhere(self._key_field, decoded.batch, decoded.partition, self.partitions)
            strayed = set(np.unique(decoded.partition[elsewhere]).tolist())
            asks = self._asks(decoded.events, store, strayed)
            partials = store.read_batch(asks)
        with metrics.STAGE_SECONDS.labels(stage="process", step="kernel").time():
            repeats = self._kernel.find_repeats(decoded.events) if strayed else None
            computed, folded = self._kernel.step_packed(decoded.events, partials.states, repeats)
            store.keep(self.kind, decoded.events.entities, folded)
            dead = [*decoded.dead, *_duplicates(computed, decoded.messages, self._kernel.stream)]
            degraded = _find_degraded(self._kernel, asks, partials.positions, live, decoded.append_time_ms)
            batch = self._build_batch(decoded, computed, degraded)
            rows = self._writer.to_avro(batch)
        return Outcome(
            rows=[rows],
            dead=[self.dead_letter(d) for d in dead],
            changed=sort_by_unit(self.kind, decoded.events.entities, _list_known(partials.states), _unpack(folded)),
            counted=len(rows.values),
            refused=dead,
            late=int(np.count_nonzero(computed.late)),
            elsewhere=int(np.count_nonzero(elsewhere)),
            mixed={Unit("t", number) for number in strayed},
            then=None if self._then is None else partial(self._then, batch),
        )

    def fold_again(self, partition: int, records: list[Message], store: PartialStore) -> Refolded:
        """Fold records that counted; see ``streaming.stage.Stage``."""
        decoded = self._decode(records, counted=True)
        if decoded.dead:
            raise not_decodable(self.topic, decoded.dead[0])
        entities = decoded.events.entities
        states = store.read_batch([BatchQuery(entity, index) for entity, index in entities.items()]).states
        folded = self._kernel.fold_packed(decoded.events, states)
        store.keep(self.kind, entities, folded)
        changed = sort_by_unit(self.kind, entities, _list_known(states), _unpack(folded))
        elsewhere = find_elsewhere(self._key_field, decoded.batch, decoded.partition, self.partitions)
        return Refolded(changed.get(Unit(self.kind, partition), []), bool(elsewhere.any()))

    def _asks(self, events: EventBatch, store: PartialStore, strayed: set[int]) -> list[BatchQuery]:
        """Name every partial a batch needs.

        Entities that are shared between partitions are wanted from every unit. A key's history is in its own unit, and
        where keys were counted that belong elsewhere now: partitions were added since, or a sender partitions in
        another way. Of a record in such a partition (``strayed``), it may be in any.
        """
        everyone = [Unit("t", partition) for partition in range(self.partitions)]
        mixed = [unit for unit in everyone if store.home_partitions(unit) != self.partitions]
        labels = [Unit("l", partition) for partition in range(self._config.label_partitions)]
        kernel = self._kernel
        return [
            BatchQuery(
                entity,
                index,
                everyone if entity in kernel.shared else mixed,
                labels if entity in kernel.labelled else (),
                strayed,
                everyone if strayed else (),
            )
            for entity, index in events.entities.items()
        ]

    def _decode(self, messages: list[Message], *, counted: bool = False) -> Decoded:
        values, refused, found = read_values(messages, self.id_of_guid)
        decoded = self._codec.decode(values, self.schema_of)
        dead = [DeadRecord(messages[index], refused.get(index, error), "decode") for index, error in decoded.errors]
        batch, rows = decoded.batch, decoded.rows.tolist()
        kept = [messages[row] for row in rows]
        append = np.array([message.timestamp()[1] for message in kept], np.int64)
        keys = [message.key() for message in kept]
        placeholders = self._config.placeholders
        invalid = validate_events(
            self._kernel.stream, batch, keys=keys, append_time_ms=append, placeholders=placeholders, counted=counted
        )
        if invalid:
            dead += [DeadRecord(kept[index], error, "validate") for index, error in invalid]
            good = np.ones(len(kept), bool)
            good[[index for index, _ in invalid]] = False
            batch, append = batch.filter(pa.array(good)), append[good]
            rows, kept = list(compress(rows, good)), list(compress(kept, good))
        partition = np.array([message.partition() for message in kept], np.int32)
        digest = np.array([crc32((values[row] or b"")[HEADER_BYTES:]) for row in rows], np.uint32)
        events = self._kernel.build_events(
            batch, append_time_ms=append, partition=partition, body_digest=digest, placeholders=placeholders
        )
        request_ids = [found.get(row) for row in rows] if found else None
        return Decoded(batch, kept, append, partition, events, dead, request_ids)

    def _build_batch(self, decoded: Decoded, computed: Computed, degraded: list[str]) -> FeatureBatch:
        counted = computed.verdicts == _COUNTED
        messages = list(compress(decoded.messages, counted))
        batch = decoded.batch if counted.all() else decoded.batch.filter(pa.array(counted))
        n = batch.num_rows
        columns = {name: batch.column(name) for name in self._passed_on}
        columns |= {
            "ingest_time_ms": pa.array(decoded.append_time_ms[counted]),
            "source_partition": pa.array(decoded.partition[counted]),
            "source_offset": pa.array([message.offset() for message in messages], pa.int64()),
            "declarations_hash": pa.repeat(self._declarations_hash, n),
            "late": pa.array(computed.late[counted]),
            "degraded": _repeat(degraded, n),
            DECIDED: pa.nulls(n, pa.bool_()) if self._then is None else pa.repeat(True, n),
        }
        plain = self._writer.plain
        return FeatureBatch(
            pa.record_batch([columns[name] for name in plain.names], plain),
            computed.features[counted],
            self._kernel.stream.feature_names,
            [message.key() for message in messages],
            None if decoded.request_ids is None else list(compress(decoded.request_ids, counted)),
        )

    def dead_letter(self, dead: DeadRecord) -> Record:
        """Return what is published for a dead record."""
        return build_dead_letter(
            dead, dlq_topic=self.dlq_topic, group=self._config.group, prefix=self._config.dlq_header_prefix
        )


def _repeat(texts: list[str], n: int) -> pa.Array:
    """Return a list of texts n times; Arrow repeats no list no times."""
    kind = pa.list_(pa.string())
    return pa.repeat(pa.scalar(texts, kind), n) if n else pa.array([], kind)


def _list_known(states: PackedStates) -> dict[str, np.ndarray]:
    """Return of each entity whether its own unit had a partial."""
    return {entity: np.diff(own.offsets) > 0 for entity, own in states.own.items()}


def _unpack(folded: Mapping[str, Packed]) -> dict[str, list[bytes]]:
    return {entity: unpack(*packed) for entity, packed in folded.items()}


def _duplicates(computed: Computed, messages: list[Message], stream: Stream) -> list[DeadRecord]:
    found = []
    for index in np.flatnonzero(computed.verdicts != _COUNTED):
        reused = computed.verdicts[index] == _ID_REUSED
        error = duplicate_error(messages[index], stream, reused=bool(reused))
        found.append(DeadRecord(messages[index], error, "deduplicate", coordinates_only=not reused))
    return found


def find_elsewhere(key_field: str, batch: pa.RecordBatch, partition: np.ndarray, partitions: int) -> np.ndarray:
    """Return, bool, shape (rows,), whose partition is not the one that the recommended partitioner gives their key."""
    elsewhere: np.ndarray = compute_partitions(batch.column(key_field), partitions) != partition
    return elsewhere


def _find_degraded(
    kernel: Kernel,
    asks: list[BatchQuery],
    positions: Positions,
    live: Mapping[Unit, int],
    append_time_ms: np.ndarray,
) -> list[str]:
    """Name the units that were missing, being rebuilt, or began too late for this batch's look-back."""
    if not len(append_time_ms):
        return []
    oldest = int(append_time_ms.min()) - kernel.stream.horizon_ms
    found = []
    for unit in {unit for ask in asks for unit in (*ask.list_own(), *ask.all_others, *ask.labels)}:
        from_ms = oldest - (kernel.stream.label_hold_ms if unit.kind == "l" else 0)
        position = positions.get(unit)
        is_ours = unit in live and live[unit] <= from_ms
        if not is_ours and not (position is not None and position.is_complete(from_ms)):
            found.append(f"partial.{unit.tag}")
    return sorted(found)
