"""Tells a first start from one whose committed offsets were lost.

Without committed offsets a processor begins at the log's first record. That is right once; when outputs exist already,
it would decide everything again.
"""

from __future__ import annotations

from confluent_kafka import KafkaException, TopicPartition

from infra.kafka import build_consumer
from infra.kafka_admin import TopicFacts
from infra.settings import Settings
from schemas.errors import Refused, Transient

REQUEST_TIMEOUT_SECONDS = 10.0


def check_first_start(settings: Settings, topics: dict[str, TopicFacts]) -> None:
    """Refuse to begin at the first record of the log when there are outputs already.

    Raises:
        Refused: the group committed nothing, and the features topic has records.
        Transient: the brokers did not answer in time.
    """
    names, group = settings.topics, settings.processor.group
    consumer = build_consumer(settings.kafka, group=group)
    inputs = [TopicPartition(names.transactions, p) for p in range(topics[names.transactions].partitions)]
    try:
        if any(found.offset >= 0 for found in consumer.committed(inputs, timeout=REQUEST_TIMEOUT_SECONDS)):
            return
        for number in range(topics[names.features].partitions):
            low, high = consumer.get_watermark_offsets(
                TopicPartition(names.features, number), timeout=REQUEST_TIMEOUT_SECONDS
            )
            if high > low:
                raise Refused(
                    f"group {group} has no committed offsets, but {names.features} has records: they would be decided "
                    "twice; run `weir offsets recover --apply` to set the offsets from the outputs"
                )
    except KafkaException as error:
        raise Transient(f"kafka: {error}") from error
    finally:
        consumer.close()
