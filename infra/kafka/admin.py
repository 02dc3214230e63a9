"""What the broker says of its topics: identity and partition counts."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from weir.infra.kafka.clients import build_admin
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Refused, Transient

REQUEST_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class TopicFacts:
    """A topic as the broker has it; ``topic_id`` changes when it is deleted and created again."""

    name: str
    topic_id: str
    partitions: int


def describe_topics(kafka: KafkaSettings, names: list[str], asker: AdminClient | None = None) -> dict[str, TopicFacts]:
    """Return the facts of each topic.

    Args:
        kafka: the brokers.
        names: of topics.
        asker: from ``weir.infra.kafka.offsets.build_asker``; one is connected for this call by default.

    Raises:
        Refused: one does not exist; the message names the fix.
        Transient: the brokers did not answer in time.
    """
    admin = asker or build_admin(kafka)
    futures = admin.describe_topics(TopicCollection(names), request_timeout=REQUEST_TIMEOUT_SECONDS)
    found = {}
    for name, future in futures.items():
        try:
            topic = future.result(REQUEST_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
                raise Refused(f"expected topic {name}, found none; run `weir topics create`") from None
            raise Transient(f"kafka at {kafka.bootstrap_servers}: {error.args[0].str()}") from error
        except TimeoutError as error:
            raise Transient(f"kafka at {kafka.bootstrap_servers}: no answer") from error
        found[name] = TopicFacts(name, str(topic.topic_id), len(topic.partitions))
    return found
