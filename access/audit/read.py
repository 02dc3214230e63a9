"""Reads the audit log again: all from a time on, or the newest calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, Message

from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.history import History
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.audit import SCHEMA, AuditRecord, Phase, Placed, read_record
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.schemas.errors import Transient

LOOKED_MAX: Final = 10_000
"""Newest records of a partition that one question looks at: 60 ms of processor time."""
WAIT_SECONDS: Final = 4.0
"""Of a question for the one before."""
Tell = Callable[[], None]


class Newest(NamedTuple):
    """The newest calls.

    Attributes:
        calls: the newest first; a change is its result, and its intent where there is no result.
        is_whole: false where there are, or may have been, older ones since the time that was asked for.
        missed: records that could not be written between those that were looked at.
    """

    calls: list[AuditRecord]
    is_whole: bool
    missed: int


def read_calls(
    settings: Settings, since_ms: int, tell_forgotten: Tell, *, looked_max: int | None = None
) -> Iterator[AuditRecord]:
    """Yield the records that the brokers appended from a time on, oldest first; what is no record of ours is left out.

    Args:
        settings: of this deployment.
        since_ms: UTC epoch ms.
        tell_forgotten: called for a partition that may have had more of them, which it has forgotten or leaves out.
        looked_max: newest records of a partition that are read; all without it.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers or the registry did not answer in time.
    """
    for each in read_placed(settings, since_ms, tell_forgotten, looked_max=looked_max):
        yield each.record


def read_placed(
    settings: Settings,
    since_ms: int,
    tell_forgotten: Tell,
    *,
    looked_max: int | None = None,
    start_of: Callable[[int], int] = lambda _: 0,
) -> Iterator[Placed]:
    """Yield the same records with their places.

    Args:
        settings: as for ``read_calls``.
        since_ms: likewise.
        tell_forgotten: likewise.
        looked_max: likewise.
        start_of: returns the offset from which a partition is wanted; 0 for all of it.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers or the registry did not answer in time.
    """
    topic = settings.topics.audit
    facts = describe_topics(settings.kafka, [topic])[topic]
    codec = BatchCodec(schema=SCHEMA)
    with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
        schema_of = partial(registry.writer_schema, subject=subject(topic))
        try:
            for number in range(facts.partitions):
                where = (topic, number)
                low, end = history.low(where), history.end(where)
                if looked_max is not None:
                    low = max(low, end - looked_max)
                start = max(low, history.offset_at_time(where, since_ms))
                if start == low > start_of(number):
                    tell_forgotten()
                for messages in history.read(where, max(start, start_of(number)), end):
                    found = codec.decode([message.value() for message in messages], schema_of)
                    for row, document in zip(found.rows.tolist(), found.batch.to_pylist(), strict=True):
                        yield _place(facts.topic_id, messages[row], read_record(document))
        except KafkaException as error:
            raise Transient(f"kafka: {topic}: {error.args[0].str()}") from error


def read_lows(settings: Settings) -> tuple[str, dict[int, int]]:
    """Return the id of the topic, and the oldest offset that each of its partitions still has.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers did not answer in time.
    """
    topic = settings.topics.audit
    facts = describe_topics(settings.kafka, [topic])[topic]
    with closing(History(settings.kafka)) as history:
        return facts.topic_id, {number: history.low((topic, number)) for number in range(facts.partitions)}


def _place(topic_id: str, message: Message, record: AuditRecord) -> Placed:
    return Placed(topic_id, message.partition(), message.offset(), message.timestamp()[1], record)


def choose_newest(records: Iterable[AuditRecord], who: str, limit: int) -> tuple[list[AuditRecord], bool]:
    """Return the newest calls, the newest first, and whether those are all.

    Args:
        records: oldest first.
        who: id of the key that called; anybody without it.
        limit: of calls.
    """
    kept = [each for each in records if who in {"", each.key_id}]
    ended = {each.call for each in kept if each.phase == Phase.RESULT}
    calls = [each for each in kept if each.phase != Phase.INTENT or each.call not in ended]
    return calls[: -limit - 1 : -1], len(calls) <= limit


class NewestCalls:
    """The newest calls of a deployment, for one who asks at a time."""

    def __init__(self, settings: Settings) -> None:
        """Bind to a deployment, which is connected to when somebody asks."""
        self._settings = settings
        self._turn = threading.Lock()

    def read(self, since_ms: int, who: str, limit: int) -> Newest:
        """Return the newest calls since a time.

        Args:
            since_ms: UTC epoch ms.
            who: id of the key that called; anybody without it.
            limit: of calls.

        Raises:
            Refused: there is no audit log.
            Transient: the brokers or the registry did not answer in time, or others ask.
        """
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise Transient("expected the reader of the audit log to be free, found others that ask; ask again")
        try:
            cut: list[None] = []
            records = list(read_calls(self._settings, since_ms, lambda: cut.append(None), looked_max=LOOKED_MAX))
        finally:
            self._turn.release()
        calls, are_all = choose_newest(records, who, limit)
        return Newest(calls, are_all and not cut, sum(each.missed for each in records))
