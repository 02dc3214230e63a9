"""What an archive holds of an entity up to a moment: enough records to have its state then, and those that are shown.

A state forgets what is older than the look-back of its newest event, so records are read from as long before the first
event that is shown, or the last one before it. Where an entity had been silent for longer, all of them are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from weir.archive.objects import Objects
from weir.archive.records import Record, decode_all, lookup_of
from weir.archive.stream_records import StreamRecords
from weir.archive.timeline.moments import Moment, Order
from weir.schemas.contracts import event_schemas
from weir.schemas.durations import DAY_MS
from weir.schemas.entity import Aggregate
from weir.schemas.stream import Stream

HALF_LIVES: Final = 40
"""After so many even the largest count that fades is 0."""


@dataclass(frozen=True)
class Asked:
    """What is asked of an archive.

    Attributes:
        entity: the name of an entity of the stream.
        id: of it.
        at: the moment, or the first one.
        until: the last moment of several events; None for one moment.
        shared: whether the windows of everybody whom the events name are replayed too.
    """

    entity: str
    id: str
    at: Moment
    until: Moment | None = None
    shared: bool = False

    @property
    def end(self) -> Moment:
        """The last moment."""
        return self.until or self.at


@dataclass(frozen=True)
class Past:
    """Records of an entity up to a moment, by their order in the log.

    Attributes:
        asked: with its moments resolved.
        events: about the entity.
        others: events about those whom the shown events name, where they are replayed too.
        labels: about all of these.
        begins_ms: append time at which the archive begins, where the windows reach before it; else None.
    """

    asked: Asked
    events: list[Record]
    others: list[Record]
    labels: list[Record]
    begins_ms: int | None

    @property
    def shown(self) -> list[Record]:
        """The events from one moment to the other, or the last one before a single moment."""
        until = [event for event in self.events if order_of(event) <= self.asked.end.order]
        if self.asked.until is None:
            return until[-1:]
        return [event for event in until if is_from(event, self.asked.at)]

    @property
    def replayed(self) -> list[Record]:
        """Every event and label in the order of their append times, each once."""
        records = {(each.topic, *each.place): each for each in (*self.events, *self.others, *self.labels)}
        end = self.asked.end.order
        # of one millisecond, events before labels: they were decided without them
        ordered = sorted(records.values(), key=lambda each: (each.row["append_ms"], each in self.labels, each.place))
        return [each for each in ordered if order_of(each) <= end]


def order_of(record: Record) -> Order:
    """Return where a record is among others."""
    return (record.row["append_ms"], *record.place)


def is_from(record: Record, moment: Moment) -> bool:
    """Return whether a record is at a moment or after it."""
    if moment.offset is None:
        return bool(record.row["append_ms"] >= moment.at_ms)
    return order_of(record) >= moment.order


def read_past(records: StreamRecords, objects: Objects, asked: Asked, labelled: Iterable[str]) -> Past:
    """Read what is needed.

    Args:
        records: of the stream.
        objects: of the archive, which has the schemas.
        asked: with moments as they were given.
        labelled: names of the entities on which label risk is kept.

    Raises:
        Refused: an offset is not that of an event of the entity.
        Transient: the store cannot be read.
    """
    asked = replace(asked, at=_resolve(records, asked, asked.at), until=_resolve(records, asked, asked.until))
    reach_ms, end_ms = look_back_ms(records.stream), (asked.end.at_ms or 0) + 1
    begin_ms = (asked.at.at_ms or 0) - reach_ms
    topic, ids = records.topics.events, {asked.entity: {asked.id}}
    events = records.about(topic, asked.entity, [asked.id], begin_ms, end_ms)
    needed_ms = _find_needed(events, asked, reach_ms)
    if needed_ms < begin_ms:
        events = records.about(topic, asked.entity, [asked.id], needed_ms, begin_ms) + events
        needed_ms = _find_needed(events, asked, reach_ms) or (events[0].row["append_ms"] - reach_ms if events else 0)
    past = Past(asked, events, [], [], records.begins_after(needed_ms))
    others: list[Record] = []
    if asked.shared:
        named = _list_named(records.stream, objects, past.shown, topic)
        others = [
            event
            for entity, found in named.items()
            for event in records.about(topic, entity, found, min(needed_ms, begin_ms), end_ms)
        ]
        ids = {entity: found | ids.get(entity, set()) for entity, found in named.items()} | ids
    labels = [
        label
        for entity in labelled
        if entity in ids
        for label in records.about(records.topics.labels, entity, ids[entity], 0, end_ms)
    ]
    return replace(past, others=others, labels=labels)


def _find_needed(events: list[Record], asked: Asked, reach_ms: int) -> int:
    """Return the append time from which events are needed, given some of them; 0 where none is before the moment."""
    before = [event for event in events if asked.until is None or not is_from(event, asked.at)]
    return before[-1].row["append_ms"] - reach_ms if before else 0


def _resolve(records: StreamRecords, asked: Asked, moment: Any) -> Any:
    if moment is None or moment.offset is None:
        return moment
    event = records.event_at(moment.offset, moment.partition, asked.entity, asked.id)
    return Moment(event.row["append_ms"], moment.offset, event.place[0])


def _list_named(stream: Stream, objects: Objects, events: list[Record], topic: str) -> dict[str, set[str]]:
    """Return whom events name, by the entity's name."""
    rows = decode_all(events, event_schemas(stream)[-1], lookup_of(objects, topic))
    named = {
        entity.name: {row[entity.field] for row in rows if row and row[entity.field]} for entity in stream.entities
    }
    return {entity: ids for entity, ids in named.items() if ids}


def look_back_ms(stream: Stream) -> int:
    """Return how long before an event another one may have been appended that its state still depends on."""
    reach = [feature.window_ms + feature.window_ms // 30 + feature.hold_ms for feature in stream.all_features]
    fading = [HALF_LIVES * each.window_ms for each in stream.all_features if each.aggregate == Aggregate.DECAYED]
    horizon = stream.horizon_ms + stream.horizon_ms // 30
    return max(horizon, *reach, *fading, 0) + stream.duplicate_horizon_ms + DAY_MS
