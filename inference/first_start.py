"""Tells a scorer's first start from one whose committed offsets were lost.

Without committed offsets a scorer begins at the first feature row. That is right once; when decisions exist already,
it would decide every row again.
"""

from __future__ import annotations

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from infra.kafka import build_consumer
from infra.kafka_admin import describe_topics
from infra.kafka_history import History
from infra.settings import Settings
from schemas.errors import Refused, Transient

REQUEST_TIMEOUT_SECONDS = 10.0


def check_first_start(settings: Settings) -> None:
    """Refuse to begin at the first row when there are decisions already.

    Raises:
        Refused: the group committed nothing, and the decisions topic has records.
        Transient: the brokers did not answer in time.
    """
    names, group = settings.topics, settings.scorer.group
    topics = describe_topics(settings.kafka, [names.features, names.decisions])
    inputs = [TopicPartition(names.features, number) for number in range(topics[names.features].partitions)]
    if _has_committed(settings, inputs):
        return
    history = History(settings.kafka)
    try:
        # a record, not an end above the start: a first transaction that was aborted leaves its markers behind
        found = any(
            history.first_offset((names.decisions, number), OFFSET_BEGINNING) is not None
            for number in range(topics[names.decisions].partitions)
        )
    finally:
        history.close()
    if found:
        raise Refused(
            f"group {group} has no committed offsets, but {names.decisions} has records: every row would be decided "
            "again; restore the group's offsets, or give `--decide-again` if that is meant"
        )


def _has_committed(settings: Settings, inputs: list[TopicPartition]) -> bool:
    consumer = build_consumer(settings.kafka, group=settings.scorer.group)
    try:
        return any(found.offset >= 0 for found in consumer.committed(inputs, timeout=REQUEST_TIMEOUT_SECONDS))
    except KafkaException as error:
        raise Transient(f"kafka: committed offsets: {error.args[0].str()}") from error
    finally:
        consumer.close()
