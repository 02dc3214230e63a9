"""One batch of feature rows to decisions and dead letters: the decide step of the scorer. No I/O but the registry's.

What a row lacks is flagged, never invented: it is mapped to the model's features by name, and a cause in
``degraded_by`` says what the decision was made without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Message

from weir.inference.bundle import Bundle
from weir.inference.core.decisions import Judgement, judge
from weir.inference.core.lists import Lists
from weir.inference.core.records import ModelLabel, build_decisions, read_ids
from weir.inference.core.vector import build_degraded, build_matrix
from weir.inference.shipped_rules import rules_of
from weir.infra.kafka.sink import Headers, Rows
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema, features_schema
from weir.schemas.errors import PoisonRecord
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET = "weir.source.topic", "weir.source.partition", "weir.source.offset"
"""Headers of a decision: the coordinates of the event it is about."""

SchemaLookup = Callable[[int], "WriterSchema | PoisonRecord"]


@dataclass(frozen=True)
class Scored:
    """What became of a batch; every message is in ``decisions`` or in ``unreadable``, once.

    Attributes:
        rows: feature rows that were decided, in input order.
        judgement: one per row.
        degraded_by: lists of strings, per row what it was made without.
        decisions: records to publish, one per row.
        unreadable: messages that are no feature row, and why.
    """

    rows: pa.RecordBatch
    judgement: Judgement
    degraded_by: pa.ListArray
    decisions: Rows
    unreadable: list[tuple[Message, PoisonRecord]]


class Scoring:
    """Decodes, judges, encodes: the rows of one stream.

    Args:
        source_topic: topic of the events, named in each decision's headers.
        decisions_topic: where decisions go.
        schema_id: the registry's id of the decision schema.
        schema_of: writer schema of a feature row's id; may raise ``Transient``.
        stream: whose rows they are.
    """

    def __init__(
        self,
        *,
        source_topic: str,
        decisions_topic: str,
        schema_id: int,
        schema_of: SchemaLookup,
        stream: Stream = payments,
    ) -> None:
        self._source_topic = source_topic.encode()
        self._decisions_topic = decisions_topic
        self._schema_id = schema_id
        self._schema_of = schema_of
        self._features = BatchCodec(schema=features_schema(stream))
        self._decisions = BatchCodec(schema=decisions_schema(stream))
        self._id_field_of = stream.id_field_of
        self._rules = rules_of(stream)

    def score(self, messages: Sequence[Message], bundle: Bundle, lists: Lists, *, decision_time_ms: int) -> Scored:
        """Decide a batch.

        Raises:
            Transient: the registry is away; nothing was decided.
        """
        decoded = self._features.decode([message.value() for message in messages], self._schema_of)
        rows = decoded.batch
        ids = read_ids(rows, lists.kinds, self._id_field_of)
        judgement = judge(build_matrix(rows, bundle.names), ids, bundle, lists, self._rules)
        degraded_by = build_degraded(rows, bundle.manifest.declarations_hash, bundle.lacking)
        label = ModelLabel(bundle.manifest.name, bundle.manifest.version)
        schema = self._decisions.arrow_schema
        batch = build_decisions(
            rows, judgement, degraded_by, schema=schema, model=label, decision_time_ms=decision_time_ms
        )
        values = self._decisions.encode(batch, self._schema_id)
        keys = [messages[index].key() for index in decoded.rows.tolist()]
        decisions = Rows(self._decisions_topic, keys, values, self._build_headers(rows))
        unreadable = [(messages[index], error) for index, error in decoded.errors]
        return Scored(rows, judgement, degraded_by, decisions, unreadable)

    def _build_headers(self, rows: pa.RecordBatch) -> list[Headers]:
        topic = (SOURCE_TOPIC, self._source_topic)
        partitions = rows.column("source_partition").to_pylist()
        of_partition = {partition: (SOURCE_PARTITION, b"%d" % partition) for partition in set(partitions)}
        return [
            [topic, of_partition[partition], (SOURCE_OFFSET, b"%d" % offset)]
            for partition, offset in zip(partitions, rows.column("source_offset").to_pylist(), strict=True)
        ]


def compute_ages_seconds(rows: pa.RecordBatch, now_ms: int) -> npt.NDArray[np.float64]:
    """Return how long ago each row's event was appended, in seconds, never below 0."""
    ingest: npt.NDArray[np.int64] = rows.column("ingest_time_ms").to_numpy(zero_copy_only=False)
    return np.maximum(0, now_ms - ingest) / 1_000
