"""Where a topic ends, open transactions included.

A read_committed consumer that asks for the end gets the last stable offset: an open transaction of anybody hides what
others have committed after it. Who must not miss a committed record asks here and then reads up to the answer, which
waits for the open ones to be decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from weir.infra.kafka.clients import build_admin
from weir.infra.kafka.leaders import ask_leader
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Refused, Transient

REQUEST_TIMEOUT_SECONDS = 10.0


def build_asker(kafka: KafkaSettings) -> AdminClient:
    """Return a client to ask with, for who asks often: to connect takes longer than to ask."""
    # log_level 0: that brokers are unreachable is raised, once, and not also logged forty times a second
    return build_admin(kafka, log_level=0)


def end_offsets(kafka: KafkaSettings, topic: str, asker: AdminClient | None = None) -> dict[int, int]:
    """Return the high watermark offset of each partition of a topic, in order of partition numbers.

    Args:
        kafka: the brokers.
        topic: its name.
        asker: from ``build_asker``; one is connected for this call by default.

    Raises:
        Refused: there is no such topic.
        Transient: the brokers did not answer in time.
    """
    admin = asker or build_asker(kafka)
    try:
        return ask_leader(lambda: _ask(admin, topic))
    except KafkaException as error:
        raise Transient(f"kafka: {kafka.bootstrap_servers} did not answer: {error.args[0].str()}") from error


def _ask(admin: AdminClient, topic: str) -> dict[int, int]:
    found = admin.list_topics(topic, timeout=REQUEST_TIMEOUT_SECONDS).topics[topic]
    if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(found.error)
    if not found.partitions:
        raise Refused(f"topic {topic} does not exist; `weir topics create` makes it")
    places = [TopicPartition(topic, number) for number in sorted(found.partitions)]
    return {number: int(each.offset) for (_, number), each in list_offsets(admin, places, OffsetSpec.latest()).items()}


def list_offsets(
    asker: AdminClient, places: Sequence[TopicPartition], spec: OffsetSpec, seconds: float = REQUEST_TIMEOUT_SECONDS
) -> dict[tuple[str, int], ListOffsetsResultInfo]:
    """Return an offset of each partition, open transactions included; who can wait asks through ``ask_leader``.

    Args:
        asker: from ``build_asker``.
        places: topic and number of the partitions.
        spec: which offset.
        seconds: that an answer may take.

    Raises:
        KafkaException: the brokers did not answer in time, or one of them has no answer.
    """
    if not places:
        return {}
    futures = asker.list_offsets(
        dict.fromkeys(places, spec), isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=seconds
    )
    return {(place.topic, place.partition): future.result() for place, future in futures.items()}
