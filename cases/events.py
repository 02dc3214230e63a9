"""Reads the events that decisions are about: a decision says what was decided, not all of the event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from confluent_kafka import Message

from weir.inference.decide import SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC
from weir.infra.kafka.clients import header_text
from weir.infra.kafka.history import History
from weir.infra.registry.client import Registry
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas, subject
from weir.schemas.stream import Stream
from weir.streaming.framed import read_values

GAP_MAX = 5_000
"""Events that are further apart are asked for by themselves; what lies between others is read and passed by."""
Place = tuple[int, int]
"""Partition and offset of an event."""
Event = dict[str, Any]


class EventReader:
    """Finds events by the coordinates that their decisions carry."""

    def __init__(self, history: History, registry: Registry, stream: Stream, topic: str) -> None:
        """Bind to the topic of a stream's events."""
        self._history = history
        self._topic = topic
        self._codec = BatchCodec(schema=event_schemas(stream)[-1])
        self._schema_of = partial(_ask, registry.writer_schema, subject(topic))
        self._id_of_guid = partial(_ask, registry.id_of_guid, subject(topic))

    def read(self, decisions: Sequence[Message]) -> list[Event | None]:
        """Return the event of each decision; nothing where it has expired, cannot be read, or is not named.

        Raises:
            Transient: the brokers or the registry did not answer in time.
        """
        places = [_read_place(decision, self._topic) for decision in decisions]
        found = self._read_all({place for place in places if place is not None})
        return [None if place is None else found.get(place) for place in places]

    def read_at(self, partition: int, offset: int) -> Event | None:
        """Return the event of one place; nothing as in ``read``.

        Raises:
            Transient: likewise.
        """
        return self._read_all({(partition, offset)}).get((partition, offset))

    def _read_all(self, places: set[Place]) -> dict[Place, Event]:
        messages = [message for start, end in _list_ranges(places) for message in self._read_range(start, end, places)]
        values = read_values(messages, self._id_of_guid).values
        decoded = self._codec.decode(values, self._schema_of)
        rows = zip(decoded.batch.to_pylist(), decoded.rows.tolist(), strict=True)
        return {(messages[at].partition(), messages[at].offset()): event for event, at in rows}

    def _read_range(self, start: Place, end: Place, places: set[Place]) -> Iterator[Message]:
        partition = (self._topic, start[0])
        first = max(start[1], self._history.low(partition))
        # a topic that was created again may end below what an older decision names
        after = min(end[1] + 1, self._history.end(partition))
        for messages in self._history.read(partition, first, after):
            yield from (message for message in messages if (message.partition(), message.offset()) in places)


def _list_ranges(places: set[Place]) -> list[tuple[Place, Place]]:
    """Return the first and last of places that are near each other.

    >>> _list_ranges({(0, 7), (0, 9), (1, 8), (0, 90_000)})
    [((0, 7), (0, 9)), ((0, 90000), (0, 90000)), ((1, 8), (1, 8))]
    """
    ranges: list[tuple[Place, Place]] = []
    for place in sorted(places):
        if ranges and ranges[-1][1][0] == place[0] and place[1] - ranges[-1][1][1] <= GAP_MAX:
            ranges[-1] = (ranges[-1][0], place)
        else:
            ranges.append((place, place))
    return ranges


def _ask(ask: Any, of_subject: str, named: Any) -> Any:
    return ask(named, of_subject)


def _read_place(decision: Message, topic: str) -> Place | None:
    found = [header_text(decision, name) or "" for name in (SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET)]
    if found[0] != topic or not (found[1].isdecimal() and found[2].isdecimal()):
        return None
    return int(found[1]), int(found[2])
