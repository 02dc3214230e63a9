"""Feature rows to decisions: the one place that decides, for the scorer, for ``weir run`` and for the API. No I/O.

What a row lacks is flagged, never invented: it is mapped to the model's features by name, and a cause in
``degraded_by`` says what the decision was made without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.inference.bundle import Bundle
from weir.inference.canary import HasCanary
from weir.inference.core.decisions import Judgement, judge
from weir.inference.core.lists import Ids, Lists
from weir.inference.core.records import ModelLabel, Shadowed, build_decisions, read_ids
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.core.vector import Matrix, build_degraded
from weir.inference.shadow import ShadowScorer
from weir.infra.kafka.sink import Headers, Rows
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import decisions_schema
from weir.schemas.errors import PoisonRecord
from weir.schemas.stream import Stream
from weir.streaming.feature_rows import FeatureBatch

SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET = "weir.source.topic", "weir.source.partition", "weir.source.offset"
"""Headers of a decision: the coordinates of the event it is about. The id of the request that published it follows."""

SchemaLookup = Callable[[int], "WriterSchema | PoisonRecord"]


class Current(Protocol):
    """What is to decide now; ``inference.champion.Champion`` is the real one, and changes between two batches."""

    @property
    def bundle(self) -> Bundle:
        """Return the model."""
        ...

    @property
    def lists(self) -> Lists:
        """Return the allow, block and watch lists."""
        ...

    @property
    def rules(self) -> RuleSet:
        """Return the rules of the stream."""
        ...

    @property
    def thresholds(self) -> ThresholdTable | None:
        """Return the thresholds that stand before the model's own, where there are any."""
        ...


@dataclass(frozen=True)
class Decided:
    """The outcome of a batch, row by row.

    Attributes:
        batch: the rows that were decided.
        judgement: one per row.
        degraded_by: lists of strings, per row what it was made without.
        model: that decided.
        shadow: what was scored next to it, where something was.
        canary: whether the model decides for a share of the keys; None where there is no canary.
    """

    batch: FeatureBatch
    judgement: Judgement
    degraded_by: pa.ListArray
    model: ModelLabel
    shadow: Shadowed | None = None
    canary: bool | None = None


class Decider:
    """Decides the rows of one stream by what is in force."""

    def __init__(
        self,
        current: Current,
        stream: Stream,
        shadow: ShadowScorer | None = None,
        canary: HasCanary | None = None,
    ) -> None:
        """Bind to what decides now, which may be replaced between two calls, and to whose rows they are.

        Args:
            current: what decides.
            stream: of the rows.
            shadow: scores next to it.
            canary: says which keys another model decides for.
        """
        self._current = current
        self._canary = canary
        self._shadow = shadow
        self._id_field_of = stream.id_field_of

    def judge(
        self,
        features: Matrix,
        names: Sequence[str],
        ids: Ids,
        fields: pa.RecordBatch | None,
        model: Bundle | None = None,
    ) -> Judgement:
        """Decide by features, ids and fields alone; what is asked in an API is no record yet.

        Args:
            features: float32, shape (rows, len(names)).
            names: of its columns.
            ids: entity kind to ids, one per row, at least of the kinds that have lists.
            fields: of the events, one row each: the append time, what rules read and what thresholds differ by.
            model: that decides; by default the one in force.
        """
        now = self._current
        return judge(features, names, ids, model or now.bundle, now.lists, now.rules, fields, now.thresholds)

    def decide(self, batch: FeatureBatch, model: Bundle | None = None) -> Decided:
        """Decide feature rows, by the model in force or by another one."""
        bundle = model or self._current.bundle
        manifest = bundle.manifest
        # first, so that what two graphs push out of the processor's cache is read again once, not twice
        shadow = None if self._shadow is None else self._shadow.score(batch)
        ids = read_ids(batch.rows, self._current.lists.kinds, self._id_field_of)
        judgement = self.judge(batch.features, batch.names, ids, batch.rows, bundle)
        degraded_by = build_degraded(batch.rows, manifest.declarations_hash, bundle.lacking)
        return Decided(batch, judgement, degraded_by, ModelLabel(manifest.name, manifest.version), shadow)

    def decide_by_key(self, batch: FeatureBatch) -> list[tuple[Decided, npt.NDArray[np.int64] | None]]:
        """Decide feature rows, each by the model that decides for its key.

        Returns:
            What was decided with the places of its rows in the batch; one without places where there is no canary.
        """
        canary = None if self._canary is None else self._canary.canary
        if canary is None or not len(batch):
            return [(self.decide(batch), None)]
        own = canary.takes(batch.keys)
        sides = [(own, canary.bundle), (~own, None)]
        return [
            (replace(self.decide(batch.keep(rows), model), canary=model is not None), np.flatnonzero(rows))
            for rows, model in sides
            if rows.any()
        ]


class DecisionWriter:
    """Writes the decisions of one stream."""

    def __init__(self, stream: Stream, *, source_topic: str, topic: str, schema_id: int) -> None:
        """Bind to a deployment.

        Args:
            stream: whose decisions they are.
            source_topic: topic of the events, named in each decision's headers.
            topic: where decisions go.
            schema_id: the registry's id of the decision schema.
        """
        self._source_topic = source_topic.encode()
        self._topic = topic
        self._schema_id = schema_id
        self._codec = BatchCodec(schema=decisions_schema(stream))

    def to_avro(self, decided: Decided, *, decision_time_ms: int) -> Rows:
        """Return the records of a batch, one per row."""
        rows = decided.batch.rows
        batch = build_decisions(
            rows,
            decided.judgement,
            decided.degraded_by,
            schema=self._codec.arrow_schema,
            model=decided.model,
            decision_time_ms=decision_time_ms,
            shadow=decided.shadow,
        )
        values = self._codec.encode(batch, self._schema_id)
        return Rows(self._topic, decided.batch.keys, values, self._build_headers(decided.batch))

    def _build_headers(self, batch: FeatureBatch) -> list[Headers]:
        rows, own = batch.rows, batch.build_headers() or repeat(Headers())
        topic = (SOURCE_TOPIC, self._source_topic)
        partitions = rows.column("source_partition").to_pylist()
        of_partition = {partition: (SOURCE_PARTITION, b"%d" % partition) for partition in set(partitions)}
        return [
            [topic, of_partition[partition], (SOURCE_OFFSET, b"%d" % offset), *more]
            for partition, offset, more in zip(partitions, rows.column("source_offset").to_pylist(), own, strict=False)
        ]


def compute_ages_seconds(rows: pa.RecordBatch, now_ms: int) -> npt.NDArray[np.float64]:
    """Return how long ago each row's event was appended, in seconds, never below 0."""
    ingest: npt.NDArray[np.int64] = rows.column("ingest_time_ms").to_numpy(zero_copy_only=False)
    return np.maximum(0, now_ms - ingest) / 1_000
