"""Builds the parts that work on a stream's state: its stages, its view in Redis, and what stands before the view."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial

from weir.infra.kafka.admin import TopicFacts
from weir.infra.redis.client import Client
from weir.infra.redis.state_view import StateView
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import SchemaLookup, WriterSchema
from weir.schemas.avro.framing import IdOfGuid
from weir.schemas.contracts import subject
from weir.schemas.errors import PoisonRecord
from weir.streaming.event_stage import EventStage, EventStageConfig
from weir.streaming.feature_rows import FeatureBatch
from weir.streaming.kernels import kernel_of
from weir.streaming.label_stage import LabelStage, LabelStageConfig
from weir.streaming.stage import FoldingStage, Further
from weir.streaming.state.cache import PartialStore

Then = Callable[[FeatureBatch], Further]


def build_view(settings: Settings, client: Client, topic_ids: dict[str, str], declarations_hash: str = "") -> StateView:
    """Return the view that declarations have in Redis.

    Args:
        settings: of the stream.
        client: of Redis.
        topic_ids: of the inputs, by the kind of their units.
        declarations_hash: of other declarations than the stream's.
    """
    return StateView(
        client,
        cluster=settings.cluster,
        group=settings.processor.group,
        topic_ids=topic_ids,
        declarations_hash=declarations_hash or settings.declarations_hash,
        look_back_ms=settings.stream.horizon_ms + settings.stream.label_hold_ms,
    )


def build_store(settings: Settings, view: StateView) -> PartialStore:
    """Return an empty store of partials before a view."""
    return PartialStore(
        view,
        declarations_hash=settings.stream.declarations_hash,
        entities_max=settings.processor.cache_entities_max,
        bytes_max=settings.processor.cache_mb_max * 1_000_000,
    )


def name_inputs(settings: Settings) -> dict[str, str]:
    """Return the input topics by the kind of their units: ``t`` events, and ``l`` labels where the stream has any."""
    names = settings.topics
    return {"t": names.transactions} | ({"l": names.labels} if settings.stream.labels else {})


def build_stages(
    settings: Settings,
    topics: dict[str, TopicFacts],
    registry: Registry,
    *,
    features_schema_id: int = 0,
    then: Then | None = None,
) -> list[FoldingStage]:
    """Return the stages of a stream.

    Args:
        settings: of the stream.
        topics: its inputs, by name.
        registry: answers for writer schemas.
        features_schema_id: of the feature rows; not needed where none are made.
        then: decides the rows in the transaction that publishes them.
    """
    names, stream = settings.topics, settings.stream
    events = EventStageConfig(
        topic=names.transactions,
        dlq_topic=names.dlq,
        features_topic=names.features,
        features_schema_id=features_schema_id,
        partitions=topics[names.transactions].partitions,
        label_partitions=topics[names.labels].partitions if stream.labels else 0,
        group=settings.processor.group,
        dlq_header_prefix=settings.processor.dlq_header_prefix,
        placeholders=settings.placeholders,
        kernel=kernel_of(stream),
    )
    stages: list[FoldingStage] = [EventStage(events, *_lookups(registry, subject(names.transactions)), then)]
    if stream.labels:
        labels = LabelStageConfig(
            topic=names.labels,
            dlq_topic=names.labels_dlq,
            partitions=topics[names.labels].partitions,
            group=settings.processor.group,
            dlq_header_prefix=settings.processor.dlq_header_prefix,
            placeholders=settings.placeholders,
            kernel=kernel_of(stream),
        )
        stages.append(LabelStage(labels, *_lookups(registry, subject(names.labels))))
    return stages


def _lookups(registry: Registry, of_subject: str) -> tuple[SchemaLookup, IdOfGuid]:
    """Return what answers for the schemas of a subject, by id and by GUID."""
    return partial(_writer_schema, registry, of_subject), partial(_id_of_guid, registry, of_subject)


def _writer_schema(registry: Registry, of_subject: str, schema_id: int) -> WriterSchema | PoisonRecord:
    return registry.writer_schema(schema_id, of_subject)


def _id_of_guid(registry: Registry, of_subject: str, guid: uuid.UUID) -> int | PoisonRecord:
    return registry.id_of_guid(guid, of_subject)
