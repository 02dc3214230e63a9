"""Finds what a person names by an event's id: the decision on it, and the event.

1. The decision is in the index, as long as that keeps decisions, and else in the archive.
2. The event is in the log, at the place that its decision names, and else in the archive. A label of it needs fields
   that a decision has not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaException

from weir.cases.case import Review
from weir.cases.events import EventReader
from weir.cases.reviews import ReviewPlan
from weir.infra.kafka.history import History
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.errors import Transient
from weir.schemas.stream import Stream

Document = Mapping[str, Any]


class ReadEvent(Protocol):
    """Reads an event from the log; ``read_event`` is the real one."""

    def __call__(self, partition: int, offset: int) -> Document | None:
        """Return the event at a place, or nothing where none can be read.

        Raises:
            Transient: the brokers or the registry do not answer.
        """
        ...


class Finder:
    """Finds decisions of one stream; safe to use from several threads."""

    def __init__(
        self,
        stream: Stream,
        *,
        indexed: Callable[[str], bytes | None],
        archived: Callable[[str], bytes | None] | None,
        read: ReadEvent,
    ) -> None:
        """Bind to where decisions and events are.

        Args:
            stream: whose they are.
            indexed: returns a decision as JSON bytes by its event's id, where the index has it.
            archived: returns the evidence on an event as JSON bytes, where it is archived; None without an archive.
            read: reads an event from the log.
        """
        self._plan = ReviewPlan(stream)
        self._indexed = indexed
        self._archived = archived
        self._read = read

    def find(self, event_id: str) -> Review | None:
        """Return what is known of an event, or nothing where no decision on it is found; it may wait.

        Raises:
            Damaged: what is indexed or archived cannot be read.
            Refused: there is an archive that this version cannot read.
            Transient: something that has to be asked does not answer.
        """
        found = self._indexed(event_id)
        decision: Document | None = None if found is None else json.loads(found)
        if decision is not None:
            event = self._read(decision["source_partition"], decision["source_offset"])
            if event is not None and self._plan.is_about(decision, event):
                return self._plan.build(decision, event)
        evidence = self._ask_archive(event_id)
        decision = _get(evidence, "decision", "recorded") if decision is None else decision
        return None if decision is None else self._plan.build(decision, _get(evidence, "event", "record"))

    def _ask_archive(self, event_id: str) -> Document:
        found = None if self._archived is None else self._archived(event_id)
        return {} if found is None else json.loads(found)


def _get(evidence: Document, part: str, name: str) -> Document | None:
    """Return a record of the evidence, where there is one that could be read."""
    found: Document | None = (evidence.get(part) or {}).get(name)
    return found


def build_finder(
    settings: Settings, indexed: Callable[[str], bytes | None], archived: Callable[[str], bytes | None] | None
) -> Finder:
    """Return the finder of a stream; its brokers are asked with the first event.

    Args:
        settings: of the stream.
        indexed: see ``Finder``.
        archived: likewise.
    """
    return Finder(settings.stream, indexed=indexed, archived=archived, read=partial(read_event, settings))


def read_event(settings: Settings, partition: int, offset: int) -> Document | None:
    """Return the event at a place of a stream's topic, or nothing where it has expired or cannot be read.

    A reader is made for one look and closed: people ask seldom, and one that stayed would be for one thread, and would
    keep what it knew of a topic that is made again.

    Raises:
        Transient: the brokers or the registry do not answer.
    """
    topic = settings.topics.transactions
    try:
        with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
            return EventReader(history, registry, settings.stream, topic).read_at(partition, offset)
    except KafkaException as error:
        raise Transient(f"kafka: reading an event of {topic}: {error}") from error
