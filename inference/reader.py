"""Builds the reader of live partials: topics are asked of the broker, because their ids are part of every key."""

from __future__ import annotations

from infra.feature_reader import FeatureReader
from infra.kafka_admin import describe_topics
from infra.redis_client import Client
from infra.redis_view import StateView
from infra.settings import Settings


def build_feature_reader(settings: Settings, client: Client) -> FeatureReader:
    """Return a reader over all units of this deployment.

    Raises:
        Refused: a topic does not exist.
        Transient: the brokers did not answer in time.
    """
    names = settings.topics
    topics = describe_topics(settings.kafka, [names.transactions, names.labels])
    transactions, labels = topics[names.transactions], topics[names.labels]
    view = StateView(
        client,
        cluster=settings.cluster,
        group=settings.processor.group,
        topic_ids={"t": transactions.topic_id, "l": labels.topic_id},
    )
    return FeatureReader(client, view, partitions=transactions.partitions, label_partitions=labels.partitions)
