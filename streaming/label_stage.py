"""The ``labels`` input: what transactions turned out to be, folded into units of their own.

A counted label has no output; its effect is the risk features of later transactions. Folding is idempotent and does not
depend on order (the newest ``label_time_ms`` of a transaction wins), and never looks at a transaction unit.

When partitions were added, a repeated or corrected label may reach another partition than the first. Only the unit that
counted the first can correct its counts, so the record is forwarded to that unit's partition in the batch's
transaction, and its own position gets a dead letter of coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from weir.infra.kafka.clients import read_headers
from weir.infra.kafka.sink import Record
from weir.infra.redis.unit import Unit
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.avro.framing import IdOfGuid
from weir.schemas.contracts import label_schemas
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import validate_labels
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.labels import LabelBatch
from weir.streaming.core.packing import pack
from weir.streaming.dlq.build import build_dead_letter, not_decodable
from weir.streaming.dlq.letter import FORWARDED
from weir.streaming.event_stage import find_elsewhere
from weir.streaming.framed import find_no_guid, read_values
from weir.streaming.stage import DeadRecord, Outcome, Refolded
from weir.streaming.state.arrangement import runs, sort_by_unit
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.queries import Changed, PartialQuery


@dataclass(frozen=True)
class LabelStageConfig:
    """Names and ids that differ between deployments."""

    topic: str
    dlq_topic: str
    partitions: int
    group: str
    dlq_header_prefix: str
    placeholders: Placeholders
    kernel: Kernel


class LabelStage:
    """Judges and folds labels."""

    kind = "l"

    def __init__(
        self,
        config: LabelStageConfig,
        schema_of: Callable[[int], WriterSchema | PoisonRecord],
        id_of_guid: IdOfGuid = find_no_guid,
    ) -> None:
        """Bind to a deployment; the two answer for writer schemas of the input's subject, by id and by GUID."""
        self.topic = config.topic
        self.dlq_topic = config.dlq_topic
        self.partitions = config.partitions
        self._config = config
        self._kernel = config.kernel
        self.schema_of = schema_of
        self.id_of_guid = id_of_guid
        self.schema = label_schemas(config.kernel.stream)[-1]
        self._codec = BatchCodec(schema=self.schema)

    def process(self, records: dict[int, list[Message]], store: PartialStore, live: Mapping[Unit, int]) -> Outcome:
        """Steps 2 and 3; see ``streaming.stage.Stage``."""
        del live  # labels are folded from their own units alone
        messages = [message for partition in sorted(records) for message in records[partition]]
        decoded = self._decode(messages)
        states = self._read(decoded, store)
        dead, forwarded = list(decoded.dead), []
        if known := _find_homes(self._kernel, decoded.labels, states):
            for row, unit in known.items():
                dead.append(_forwarded(decoded.messages[row], unit))
                forwarded.append(_copy_to(decoded.messages[row], unit))
            decoded = decoded.without(np.isin(np.arange(len(decoded.messages)), list(known)))
            states = self._read(decoded, store)
        elsewhere = self._find_elsewhere(decoded)
        return Outcome(
            dead=[self.dead_letter(d) for d in dead],
            changed=self._fold(decoded.labels, states.own, store),
            counted=len(decoded.labels),
            refused=dead,
            mixed={Unit("l", number) for number in np.unique(decoded.partition[elsewhere]).tolist()},
            forwarded=forwarded,
        )

    def fold_again(self, partition: int, records: list[Message], store: PartialStore) -> Refolded:
        """Fold records that counted; see ``streaming.stage.Stage``."""
        decoded = self._decode(records, counted=True)
        if decoded.dead:
            raise not_decodable(self.topic, decoded.dead[0])
        changed = self._fold(decoded.labels, self._read(decoded, store, alone=True).own, store)
        elsewhere = self._find_elsewhere(decoded)
        return Refolded(changed.get(Unit("l", partition), []), bool(elsewhere.any()))

    def _read(self, decoded: _Decoded, store: PartialStore, *, alone: bool = False) -> _States:
        """Read the partials of a batch, and unless ``alone`` the ledgers that other units may have of its keys.

        Which those are is as for transactions (``EventStage``).
        """
        everyone = [Unit("l", partition) for partition in range(self.partitions)]
        mixed = [unit for unit in everyone if store.home_partitions(unit) != self.partitions]
        strayed = decoded.partition[self._find_elsewhere(decoded)].tolist()
        asks = []
        for entity, index in decoded.labels.entities.items():
            for partition, run in runs(index):
                own = Unit("l", partition)
                others: Sequence[Unit] = ()
                if entity == self._kernel.key and not alone:
                    others = everyone if partition in strayed else mixed
                asks.append(PartialQuery(entity, index.ids[run], [own, *[unit for unit in others if unit != own]]))
        states = _States({entity: [] for entity in decoded.labels.entities}, [], [])
        for ask, values in zip(asks, store.read(asks), strict=True):
            states.own[ask.entity].extend(values[0])
            if ask.entity == self._kernel.key:
                states.others.extend(zip(*values[1:], strict=True) if values[1:] else [()] * len(ask.ids))
                states.units.extend([ask.units[1:]] * len(ask.ids))
        return states

    def _decode(self, messages: list[Message], *, counted: bool = False) -> _Decoded:
        values, refused, _ = read_values(messages, self.id_of_guid)
        decoded = self._codec.decode(values, self.schema_of)
        dead = [DeadRecord(messages[index], refused.get(index, error), "decode") for index, error in decoded.errors]
        kept = [messages[index] for index in decoded.rows]
        append = np.array([message.timestamp()[1] for message in kept], np.int64)
        keys = [message.key() for message in kept]
        placeholders = self._config.placeholders
        found = validate_labels(
            self._kernel.stream,
            decoded.batch,
            keys=keys,
            append_time_ms=append,
            placeholders=placeholders,
            counted=counted,
        )
        invalid = dict(found)
        dead += [DeadRecord(kept[index], error, "validate") for index, error in invalid.items()]
        partition = np.array([message.partition() for message in kept], dtype=np.int32)
        wrong = np.zeros(len(kept), dtype=bool)
        wrong[list(invalid)] = True
        return _Decoded(decoded.batch, kept, partition, dead, placeholders, self._kernel).without(wrong)

    def _find_elsewhere(self, decoded: _Decoded) -> np.ndarray:
        key_field = self._kernel.stream.key.field
        return find_elsewhere(key_field, decoded.batch, decoded.partition, self.partitions)

    def _fold(self, labels: LabelBatch, own: dict[str, list[bytes]], store: PartialStore) -> dict[Unit, list[Changed]]:
        folded = self._kernel.fold_labels(labels, own)
        store.keep(self.kind, labels.entities, {entity: pack(partials) for entity, partials in folded.items()})
        known = {entity: np.array([*map(bool, partials)], np.bool_) for entity, partials in own.items()}
        return sort_by_unit(self.kind, labels.entities, known, folded)

    def dead_letter(self, dead: DeadRecord) -> Record:
        """Return what is published for a dead record."""
        return build_dead_letter(
            dead, dlq_topic=self.dlq_topic, group=self._config.group, prefix=self._config.dlq_header_prefix
        )


@dataclass(frozen=True)
class _Decoded:
    """Good labels of a batch: columns, the messages they came from, and their partitions."""

    batch: pa.RecordBatch
    messages: list[Message]
    partition: np.ndarray
    dead: list[DeadRecord]
    placeholders: Placeholders
    kernel: Kernel

    @cached_property
    def labels(self) -> LabelBatch:
        """Return what the kernel takes."""
        return self.kernel.build_labels(self.batch, partition=self.partition, placeholders=self.placeholders)

    def without(self, rows: np.ndarray) -> _Decoded:
        """Return the others; ``rows`` is bool, shape (rows,)."""
        kept = ~rows
        messages = list(compress(self.messages, kept))
        return replace(self, batch=self.batch.filter(pa.array(kept)), messages=messages, partition=self.partition[kept])


class _States(NamedTuple):
    """Our partials of a batch, other units' ledgers of its keys, and which units those are, per key."""

    own: dict[str, list[bytes]]
    others: list[tuple[bytes, ...]]
    units: list[Sequence[Unit]]


def _find_homes(kernel: Kernel, labels: LabelBatch, states: _States) -> dict[int, Unit]:
    """Return, per row whose transaction was labelled in another unit, or before in this batch, that unit."""
    where = kernel.find_known_elsewhere(labels, states.own[kernel.key], states.others)
    keys = labels.entities[kernel.key]
    homes = {row: states.units[int(keys.codes[row])][int(where[row])] for row in np.flatnonzero(where >= 0).tolist()}
    if any(states.units):  # in one batch, too, a transaction's labels may be in several partitions
        first: dict[int, int] = {}
        for row, (key, code) in enumerate(zip(labels.key.tolist(), keys.codes.tolist(), strict=True)):
            partition = int(keys.units[code])
            if row not in homes and first.setdefault(key, partition) != partition:
                homes[row] = Unit("l", first[key])
    return homes


def _forwarded(message: Message, unit: Unit) -> DeadRecord:
    where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
    error = PoisonRecord(
        FORWARDED,
        f"expected labels of one transaction in one partition, found an earlier one in {message.topic()}"
        f"[{unit.partition}]: partitions were added since ({where}); sent there, coordinates sent to DLQ",
    )
    return DeadRecord(message, error, "deduplicate", coordinates_only=True)


def _copy_to(message: Message, unit: Unit) -> Record:
    return Record(message.topic(), message.key(), message.value(), read_headers(message) or [], unit.partition)
