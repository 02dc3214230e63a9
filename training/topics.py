"""The training matrix from the ``features`` and ``labels`` topics: what the model saw, as it was logged when it saw it.

The ``decisions`` topic says which labels could not come (``training/weights.py``).
An archive of all three gives the same matrix, and reaches further back.

Rows of other feature declarations mean something else under the same names and are left out; records that cannot be
read are counted and left out. Both are reported.

**Delivery:** read only, committed records alone, from the beginning of the log to where it ended when reading began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from weir.infra.kafka.clients import build_consumer, check_message, read_headers
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.avro.codec import BatchCodec, SchemaLookup
from weir.schemas.avro.framing import IdOfGuid, frame_by_header
from weir.schemas.contracts import decisions_schema, features_schema, label_schemas, subject
from weir.schemas.errors import PoisonRecord, Refused, Transient
from weir.schemas.label_source import SOURCE
from weir.schemas.stream import Stream
from weir.training.dataset import Examples, concatenate
from weir.training.decided import OUTCOME, PROPENSITY, join_decided
from weir.training.gates.groups import split_groups
from weir.training.labels import build_keys, labels_of

_GROUP = "weir-train"  # librdkafka wants a name; nothing is ever committed under it
_CHUNK = 20_000
_POLL_SECONDS = 0.5
_SILENCE_SECONDS_MAX = 60.0
"""How long nothing may arrive before the brokers count as away."""
_METADATA_SECONDS = 10.0

ReadTopic = Callable[[str, str], Iterator[pa.RecordBatch]]
"""Yields the readable records of a topic, given its name and the newest schema of its values."""

_log = get_logger("train")


def load_topics(settings: Settings) -> tuple[Examples, pa.Table]:
    """Read the topics of the settings' stream to their end.

    Returns:
        The examples in event-time order with what was decided of them, and every label of the topic.

    Raises:
        Refused: the stream has no labels, or a topic does not exist or holds nothing that can be used.
        Transient: the brokers or the registry are unreachable.
    """
    registry = Registry(settings.registry)
    try:
        return load_logged(settings, lambda topic, schema: read_topic(settings, topic, schema, registry))
    finally:
        registry.close()


def load_logged(settings: Settings, read: ReadTopic) -> tuple[Examples, pa.Table]:
    """Read the feature rows and the labels of the settings' stream, wherever they are kept; see ``load_topics``."""
    labels_of(settings.stream)
    examples, labels = _load_features(settings, read), _load_labels(settings, read)
    decisions = _load_decisions(settings, read)
    if decisions is None:
        return examples, labels
    return replace(examples, decided=join_decided(examples.keys, decisions, settings.stream)), labels


def _load_features(settings: Settings, read: ReadTopic) -> Examples:
    topic = settings.topics.features
    declared, stream = settings.declarations_hash, settings.stream
    parts = [build_examples(batch, stream, declared) for batch in read(topic, features_schema(stream))]
    if not sum(map(len, parts)):
        wanted = f"expected rows of declarations {declared}, found none"
        raise Refused(f"topic {topic}: {wanted}; run `weir process` first")
    return concatenate(parts)


def _load_labels(settings: Settings, read: ReadTopic) -> pa.Table:
    topic, stream = settings.topics.labels, settings.stream
    said = labels_of(stream)
    wanted = list(dict.fromkeys((stream.id, stream.key.field, said.time, said.verdict, SOURCE)))
    labels = [_select(batch, wanted) for batch in read(topic, label_schemas(stream)[-1])]
    if not sum(batch.num_rows for batch in labels):
        raise Refused(f"topic {topic}: expected labels, found none; without labels nothing can be learnt")
    return pa.Table.from_batches(labels)


def _load_decisions(settings: Settings, read: ReadTopic) -> pa.Table | None:
    """Return what was decided; None where no decision is kept, which is no reason not to train."""
    topic, stream = settings.topics.decisions, settings.stream
    wanted = list(dict.fromkeys((stream.id, stream.key.field, OUTCOME, PROPENSITY)))
    try:
        decisions = [_select(batch, wanted) for batch in read(topic, decisions_schema(stream))]
    except Refused as error:
        _log.warning("decisions_unknown", topic=topic, detail=str(error))
        return None
    return pa.Table.from_batches(decisions) if sum(batch.num_rows for batch in decisions) else None


def _select(batch: pa.RecordBatch, wanted: list[str]) -> pa.RecordBatch:
    """Return the wanted columns that a batch has."""
    return batch.select([name for name in wanted if name in batch.schema.names])


def build_examples(batch: pa.RecordBatch, stream: Stream, declarations_hash: str) -> Examples:
    """Turn logged feature rows into examples; rows of other declarations are left out and reported.

    Args:
        batch: columns of the stream's feature rows.
        stream: whose rows they are.
        declarations_hash: of the deployment.
    """
    ours = batch.filter(pc.equal(batch["declarations_hash"], declarations_hash))
    if ours.num_rows < batch.num_rows:
        _log.warning("rows_of_other_declarations", rows=batch.num_rows - ours.num_rows, expected=declarations_hash)
    matrix = np.empty((ours.num_rows, len(stream.feature_names)), np.float32)
    for column, name in enumerate(stream.feature_names):
        matrix[:, column] = ours[name].to_numpy(zero_copy_only=False)  # null becomes NaN
    groups = split_groups(stream, matrix, ours)
    return Examples(matrix, ours[stream.time].to_numpy(), build_keys(ours, stream), groups)


def read_topic(settings: Settings, topic: str, schema: str, registry: Registry) -> Iterator[pa.RecordBatch]:
    """Yield a topic's readable records as batches, in the order of each partition.

    Raises:
        Refused: the topic does not exist.
        Transient: the brokers or the registry are unreachable.
    """
    consumer = build_consumer(settings.kafka, group=_GROUP, enable_partition_eof=True)
    codec = BatchCodec(schema=schema)
    schema_of, id_of_guid = schema_lookup(registry, topic), guid_lookup(registry, topic)
    try:
        for values in read_values(consumer, topic, id_of_guid):
            decoded = codec.decode(values, schema_of)
            if decoded.errors:
                _log.warning(
                    "records_left_out", topic=topic, records=len(decoded.errors), first=decoded.errors[0][1].reason
                )
            yield decoded.batch
    finally:
        consumer.close()


def read_values(consumer: Consumer, topic: str, id_of_guid: IdOfGuid) -> Iterator[list[bytes | None]]:
    """Yield the values of a topic, partition by partition as they arrive, until each partition's end was seen.

    Each is in its frame, wherever its schema's id was sent, or ``None`` where it has none.

    Raises:
        Refused: the topic does not exist.
        Transient: nothing arrived for a minute.
    """
    metadata = consumer.list_topics(topic, timeout=_METADATA_SECONDS).topics[topic]
    if metadata.error is not None:
        raise Refused(f"topic {topic}: expected it to exist; `weir topics create` makes it")
    remaining = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in sorted(remaining)])
    heard = time.monotonic()
    while remaining:
        messages = consumer.consume(_CHUNK, _POLL_SECONDS)
        ended = {message.partition() for message in messages if _is_end(message)}
        remaining -= ended
        read = [check_message(message) for message in messages if not _is_end(message)]
        framed = [frame_by_header(message.value(), read_headers(message), id_of_guid) for message in read]
        values = [None if isinstance(value, PoisonRecord) else value for value in framed]
        if values:
            yield values
        heard = time.monotonic() if messages else heard
        if time.monotonic() - heard > _SILENCE_SECONDS_MAX:
            raise Transient(f"kafka: {topic} did not arrive to its end, {len(remaining)} partitions left")


def schema_lookup(registry: Registry, topic: str) -> SchemaLookup:
    """Return what answers for the schemas of a topic's values."""
    return lambda schema_id: registry.writer_schema(schema_id, subject(topic))


def guid_lookup(registry: Registry, topic: str) -> IdOfGuid:
    """Return what answers for the ids of a topic's schemas that are sent as GUIDs."""
    return lambda guid: registry.id_of_guid(guid, subject(topic))


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
