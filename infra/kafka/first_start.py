"""Tells a group's first start from one whose committed offsets were lost.

Without committed offsets a group begins at the log's first record. That is right once; when its outputs exist already,
it would make every one of them again.
"""

from __future__ import annotations

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import build_consumer
from weir.infra.kafka.history import History
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient

REQUEST_TIMEOUT_SECONDS = 10.0


def outputs_without_offsets(kafka: KafkaSettings, *, group: str, source: str, output: str) -> bool:
    """Return whether a group committed nothing of its source topic while its output topic has records.

    Raises:
        Refused: a topic does not exist.
        Transient: the brokers did not answer in time.
    """
    topics = describe_topics(kafka, [source, output])
    inputs = [TopicPartition(source, number) for number in range(topics[source].partitions)]
    if any(at is not None for at in read_committed_offsets(kafka, group, inputs)):
        return False
    history = History(kafka)
    try:
        # a record, not an end above the start: a first transaction that was aborted leaves its markers behind
        has_outputs = any(
            history.first_offset((output, number), OFFSET_BEGINNING) is not None
            for number in range(topics[output].partitions)
        )
    finally:
        history.close()
    # asked again: the group's very first transaction may have been committed between the two questions, and what it
    # made visible are outputs and offsets at once
    return has_outputs and all(at is None for at in read_committed_offsets(kafka, group, inputs))


def read_committed_offsets(kafka: KafkaSettings, group: str, inputs: list[TopicPartition]) -> list[int | None]:
    """Return what a group has committed of each partition.

    Raises:
        Transient: the brokers did not answer in time.
    """
    return [found.offset if found.offset >= 0 else None for found in read_committed(kafka, group, inputs)]


def read_committed(kafka: KafkaSettings, group: str, inputs: list[TopicPartition]) -> list[TopicPartition]:
    """Return each partition with what a group has committed of it, a negative offset for nothing, and its note.

    Raises:
        Transient: the brokers did not answer in time.
    """
    consumer = build_consumer(kafka, group=group)
    try:
        answers: list[TopicPartition] = consumer.committed(inputs, timeout=REQUEST_TIMEOUT_SECONDS)
        for found in answers:
            if found.error is not None:  # not an answer: least of all "none", which would be a lag of the whole log
                raise KafkaException(found.error)
    except KafkaException as error:
        raise Transient(f"kafka: committed offsets: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return answers
