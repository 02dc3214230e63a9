"""Reads the event that a decision is about from its topic: a decision says what was decided, not all of the event."""

from __future__ import annotations

from functools import partial
from typing import Any

from confluent_kafka import Message

from weir.inference.decide import SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC
from weir.infra.kafka.clients import header_text
from weir.infra.kafka.history import History
from weir.infra.kafka.source import Partition
from weir.infra.registry.client import Registry
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas, subject
from weir.schemas.stream import Stream
from weir.streaming.framed import read_values


class EventReader:
    """Finds events by the coordinates that their decisions carry."""

    def __init__(self, history: History, registry: Registry, stream: Stream, topic: str) -> None:
        """Bind to the topic of a stream's events."""
        self._history = history
        self._topic = topic
        self._codec = BatchCodec(schema=event_schemas(stream)[-1])
        self._schema_of = partial(_ask, registry.writer_schema, subject(topic))
        self._id_of_guid = partial(_ask, registry.id_of_guid, subject(topic))

    def read(self, decision: Message) -> dict[str, Any] | None:
        """Return the event of a decision; nothing where it has expired, cannot be read, or is not named.

        Raises:
            Transient: the brokers or the registry did not answer in time.
        """
        at = _read_source(decision, self._topic)
        if at is None or self._history.low(at[0]) > at[1]:
            return None
        message = self._history.first_message(*at)
        if message is None or message.offset() != at[1]:
            return None
        values, _ = read_values([message], self._id_of_guid)
        found: list[dict[str, Any]] = self._codec.decode(values, self._schema_of).batch.to_pylist()
        return found[0] if found else None


def _ask(ask: Any, of_subject: str, named: Any) -> Any:
    return ask(named, of_subject)


def _read_source(decision: Message, topic: str) -> tuple[Partition, int] | None:
    found = [header_text(decision, name) or "" for name in (SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET)]
    if found[0] != topic or not (found[1].isdecimal() and found[2].isdecimal()):
        return None
    return (topic, int(found[1])), int(found[2])
