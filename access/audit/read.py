"""Reads the audit log again, from a time on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from confluent_kafka import KafkaException

from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.history import History
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.audit import SCHEMA, AuditRecord, read_record
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.schemas.errors import Transient


def read_calls(settings: Settings, since_ms: int, tell_forgotten: Callable[[], None]) -> Iterator[AuditRecord]:
    """Yield the records that the brokers appended from a time on, oldest first; what is no record of ours is left out.

    Args:
        settings: of this deployment.
        since_ms: UTC epoch ms.
        tell_forgotten: called for a partition that may have had more of them, which it has forgotten.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers or the registry did not answer in time.
    """
    topic = settings.topics.audit
    count = describe_topics(settings.kafka, [topic])[topic].partitions
    codec = BatchCodec(schema=SCHEMA)
    with closing(History(settings.kafka)) as history, closing(Registry(settings.registry)) as registry:
        schema_of = partial(registry.writer_schema, subject=subject(topic))
        try:
            for number in range(count):
                where = (topic, number)
                low = history.low(where)
                start = max(low, history.offset_at_time(where, since_ms))
                if start == low > 0:
                    tell_forgotten()
                for messages in history.read(where, start, history.end(where)):
                    found = codec.decode([message.value() for message in messages], schema_of)
                    yield from map(read_record, found.batch.to_pylist())
        except KafkaException as error:
            raise Transient(f"kafka: {topic}: {error.args[0].str()}") from error
