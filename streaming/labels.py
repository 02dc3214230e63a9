"""The ``labels`` input: what transactions turned out to be, folded into units of their own.

A counted label has no output; its effect is the risk features of later transactions. Folding is idempotent and does not
depend on order (the newest ``label_time_ms`` of a transaction wins), and never looks at a transaction unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from infra.kafka_output import Record
from infra.redis_view import Unit
from schemas.codec import BatchCodec, WriterSchema
from schemas.errors import PoisonRecord
from schemas.features import Entity
from schemas.validation import validate_labels
from streaming.arrangement import runs, sort_by_unit
from streaming.core.labels import LabelBatch, build_label_batch, fold_labels
from streaming.dead_letters import build_dead_letter, not_decodable
from streaming.folder import DeadRecord, Outcome
from streaming.partials import Ask, Changed, PartialStore


@dataclass(frozen=True)
class LabelsConfig:
    """Names that differ between deployments."""

    topic: str
    dlq_topic: str
    partitions: int
    group: str
    dlq_header_prefix: str


class LabelsFolder:
    """Judges and folds labels."""

    kind = "l"
    input_kind = "labels"

    def __init__(self, config: LabelsConfig, schema_of: Callable[[int], WriterSchema | PoisonRecord]) -> None:
        """Bind to a deployment; ``schema_of`` answers for writer schema ids of the input's subject."""
        self.topic = config.topic
        self.dlq_topic = config.dlq_topic
        self.partitions = config.partitions
        self._config = config
        self.schema_of = schema_of
        self._codec = BatchCodec(self.input_kind)

    def process(self, records: dict[int, list[Message]], store: PartialStore, live: Mapping[Unit, int]) -> Outcome:
        """Steps 2 and 3; see ``streaming.folder.Folder``."""
        del live  # labels read their own units alone
        messages = [message for partition in sorted(records) for message in records[partition]]
        labels, dead = self._decode(messages)
        changed = _fold(labels, store)
        letters = [self.dead_letter(d) for d in dead]
        return Outcome(dead=letters, changed=changed, counted=len(labels), refused=dead)

    def fold_again(self, partition: int, records: list[Message], store: PartialStore) -> list[Changed]:
        """Fold records that counted; see ``streaming.folder.Folder``."""
        labels, dead = self._decode(records)
        if dead:
            raise not_decodable(self.topic, dead[0])
        return _fold(labels, store).get(Unit("l", partition), [])

    def _decode(self, messages: list[Message]) -> tuple[LabelBatch, list[DeadRecord]]:
        decoded = self._codec.decode([message.value() for message in messages], self.schema_of)
        dead = [DeadRecord(messages[index], error, "decode") for index, error in decoded.errors]
        kept = [messages[index] for index in decoded.rows]
        invalid = dict(validate_labels(decoded.batch, keys=[message.key() for message in kept]))
        dead += [DeadRecord(kept[index], error, "validate") for index, error in invalid.items()]
        good = np.array([index not in invalid for index in range(len(kept))], dtype=bool)
        partition = np.array([message.partition() for message in kept], dtype=np.int32)[good]
        return build_label_batch(decoded.batch.filter(pa.array(good)), partition=partition), dead

    def dead_letter(self, dead: DeadRecord) -> Record:
        """Return what is published for a dead record."""
        return build_dead_letter(
            dead, dlq_topic=self.dlq_topic, group=self._config.group, prefix=self._config.dlq_header_prefix
        )


def _fold(labels: LabelBatch, store: PartialStore) -> dict[Unit, list[Changed]]:
    asks = [
        Ask(entity, ids, [Unit("l", partition)])
        for entity, index in labels.entities.items()
        for partition, ids in runs(index)
    ]
    own: dict[Entity, list[bytes]] = {entity: [] for entity in labels.entities}
    for ask, values in zip(asks, store.read(asks).values, strict=True):
        own[ask.entity].extend(values[0])
    return sort_by_unit("l", labels.entities, fold_labels(labels, own))
