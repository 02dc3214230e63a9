"""Takes archived records through the stream's own stages, with the state in memory and nothing behind it.

What comes out is what a process would compute that is given these records in this order. Every entity's state in one
partition is a function of that partition's records of the entity, so of an entity whose records are all given the
windows are what they were, bit for bit. A record sees those of other partitions that were given before it; the stream
computes some together, which then do not see each other.

**Cost:** some 20 µs an event in long runs of one partition, a millisecond where each is in another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Final

from weir.archive.objects import Objects
from weir.archive.records import Consumed, Record, codec_of, lookup_of
from weir.infra.redis.unit import Position, Unit
from weir.infra.settings import Settings
from weir.schemas.avro.codec import SchemaLookup, WriterSchema
from weir.schemas.contracts import features_schema
from weir.streaming.core.kernel import Kernel
from weir.streaming.event_stage import EventStage, EventStageConfig
from weir.streaming.label_stage import LabelStage, LabelStageConfig
from weir.streaming.stage import Outcome
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.empty_view import EmptyView
from weir.streaming.state.queries import PartialQuery

BATCH_RECORDS: Final = 1_000
_ENTITIES_MAX, _BYTES_MAX = 1 << 40, 1 << 50
"""Nothing may be dropped: there is no view to read it from again."""
_OWN_ID: Final = 1


@dataclass(frozen=True)
class Replayed:
    """What an event came to.

    Attributes:
        row: the feature row, by field; None for an event that did not count.
        refused: why it did not; empty where it did.
    """

    record: Record
    row: dict[str, Any] | None
    refused: str = ""


class Replay:
    """The stages of one stream over an archive."""

    def __init__(self, settings: Settings, objects: Objects, kernel: Kernel, partitions: Mapping[str, int]) -> None:
        """Begin with no state.

        Args:
            settings: of the stream.
            objects: of the archive, which has the schemas.
            kernel: of the stream.
            partitions: how many each of its topics has.
        """
        names, stream = settings.topics.of(settings.stream), settings.stream
        self._kernel = kernel
        self._counts = {"t": partitions[names.events], "l": partitions.get(names.labels, 0) if stream.labels else 0}
        self._units = [Unit(kind, number) for kind, count in self._counts.items() for number in range(count)]
        self._stages = _build_stages(settings, objects, kernel, self._counts)
        self._store = PartialStore(
            EmptyView(),
            declarations_hash=stream.declarations_hash,
            entities_max=_ENTITIES_MAX,
            bytes_max=_BYTES_MAX,
        )
        for unit in self._units:
            self._store.own(unit, Position(0, partitions=self._counts[unit.kind]), born_empty=True)
        schema = features_schema(stream)
        self._codec, self._schema = codec_of(schema), WriterSchema(_OWN_ID, subject_ok=True, schema=schema)

    def take(self, records: Iterable[Record]) -> Iterator[Replayed]:
        """Take events and labels in the order given, and yield what each event came to."""
        for (topic, _), run in groupby(records, key=lambda record: (record.topic, record.place[0])):
            for batch in _cut([*run]):
                yield from self._take(self._stages[topic], batch)

    def read(self, entity: str, entity_id: str, at_ms: int) -> dict[str, float | None]:
        """Return an entity's windows that end at a time, as of what was taken so far."""
        units = [unit for unit in self._units if unit.kind == "t" or entity in self._kernel.labelled]
        (values,) = self._store.read([PartialQuery(entity, [entity_id], units)])
        parts = {kind: [own[0] for unit, own in zip(units, values, strict=True) if unit.kind == kind] for kind in "tl"}
        return self._kernel.read(entity, parts["t"], parts["l"], at_ms)

    def _take(self, stage: EventStage | LabelStage, batch: Sequence[Record]) -> Iterator[Replayed]:
        partition, messages = batch[0].place[0], [Consumed(record) for record in batch]
        outcome = stage.process({partition: messages}, self._store, dict.fromkeys(self._units, 0))
        unit = Unit(stage.kind, partition)
        self._store.pin(unit, batch[-1].place[1] + 1, outcome.changed.get(unit, []), is_mixed=unit in outcome.mixed)
        if stage.kind == "t":
            yield from self._describe(messages, outcome)

    def _describe(self, messages: Sequence[Consumed], outcome: Outcome) -> Iterator[Replayed]:
        values = [value for rows in outcome.rows for value in rows.values]
        rows = self._codec.decode(values, lambda _: self._schema).batch.to_pylist()
        computed = {(row["source_partition"], row["source_offset"]): row for row in rows}
        refused = {(dead.message.partition(), dead.message.offset()): str(dead.error) for dead in outcome.refused}
        for message in messages:
            place = message.record.place
            yield Replayed(message.record, computed.get(place), refused.get(place, ""))


def _cut(records: list[Record]) -> Iterator[list[Record]]:
    for at in range(0, len(records), BATCH_RECORDS):
        yield records[at : at + BATCH_RECORDS]


def _build_stages(
    settings: Settings, objects: Objects, kernel: Kernel, counts: Mapping[str, int]
) -> dict[str, EventStage | LabelStage]:
    names, group = settings.topics.of(settings.stream), settings.processor.group
    prefix, placeholders = settings.processor.dlq_header_prefix, settings.placeholders
    events = EventStageConfig(
        topic=names.events,
        dlq_topic=names.dlq,
        features_topic=names.features,
        features_schema_id=_OWN_ID,
        partitions=counts["t"],
        label_partitions=counts["l"],
        group=group,
        dlq_header_prefix=prefix,
        placeholders=placeholders,
        kernel=kernel,
    )
    stages: dict[str, EventStage | LabelStage] = {names.events: EventStage(events, _remember(objects, names.events))}
    if counts["l"]:
        labels = LabelStageConfig(names.labels, names.labels_dlq, counts["l"], group, prefix, placeholders, kernel)
        stages[names.labels] = LabelStage(labels, _remember(objects, names.labels))
    return stages


def _remember(objects: Objects, topic: str) -> SchemaLookup:
    """Return the lookup of a topic's schemas, each of which is read once."""
    return cache(lookup_of(objects, topic))
