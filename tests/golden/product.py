"""Drives the product through the log. When its parts are named or cut otherwise, this file follows, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tests.golden.log import Entry
from tests.golden.records import Given, cut, read_schema
from tests.payments import FEATURE_NAMES
from weir.infra.redis.unit import Position, Unit
from weir.schemas.avro.codec import BatchCodec, WriterSchema
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.backfill import backfill
from weir.streaming.event_stage import EventStage, EventStageConfig
from weir.streaming.feature_rows import FeatureBatch
from weir.streaming.kernels import shipped_kernel
from weir.streaming.label_stage import LabelStage, LabelStageConfig
from weir.streaming.stage import Further, Outcome
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.empty_view import EmptyView
from weir.streaming.state.queries import Changed, encode_known

FEATURES_SCHEMA_ID, DECISIONS_SCHEMA_ID = 11, 12
_WRITERS = {1: "transactions.v1", 2: "transactions.v2", 3: "labels"}
_REFOLDED_RECORDS = 700


class Row(NamedTuple):
    """A feature row that was published."""

    key: bytes | None
    value: bytes


class State:
    """Partials and known ids, as they are written to Redis."""

    def __init__(self) -> None:
        self.partials: dict[tuple[str, str, str], bytes] = {}
        self.known: dict[str, bytes] = {}

    def write(self, unit: Unit, changed: Iterable[Changed]) -> None:
        for part in changed:
            for entity_id, partial in zip(part.ids, part.partials, strict=True):
                self.partials[unit.tag, str(part.entity), entity_id] = partial
            self.known[unit.tag] = self.known.get(unit.tag, b"") + encode_known(
                shipped_kernel().entities, part.entity, part.new
            )


class Run:
    """The log through the processor's two inputs, batch by batch.

    Attributes:
        rows: feature rows in the order in which they were published.
        letters: dead letters and labels sent on to another partition, likewise.
        verdicts: per coordinates why a record did not count.
    """

    def __init__(self, partitions: int, then: Callable[[FeatureBatch], Further] | None = None) -> None:
        self._partitions = partitions
        self._folders: dict[str, EventStage | LabelStage] = _build_folders(partitions, then)
        self._units = [Unit(kind, number) for kind in ("t", "l") for number in range(partitions)]
        self._store = self._build_store()
        self.state, self.rows = State(), list[Row]()
        self.letters: list[Any] = []
        self.verdicts: dict[tuple[str, int, int], str] = {}

    def take(self, log: Sequence[Entry]) -> Run:
        """Take the whole log; every few batches the labels' first unit is another process's and not at hand."""
        for number, batch in enumerate(cut(log)):
            live = dict.fromkeys(self._units[: self._partitions] if number % 7 == 5 else self._units, 0)
            for topic, folder in self._folders.items():
                records = _by_partition(entry for entry in batch if entry.topic == topic)
                if records:
                    self._keep(folder.process(records, self._store, live), _ends(folder.kind, records))
        return self

    def _keep(self, outcome: Outcome, ends: Mapping[Unit, int]) -> None:
        if outcome.then is not None:
            outcome.complete()
        self.rows += [Row(*pair) for rows in outcome.rows for pair in zip(rows.keys, rows.values, strict=True)]
        self.letters += [*outcome.dead, *outcome.forwarded]
        for dead in outcome.refused:
            message = dead.message
            at = message.topic(), message.partition(), message.offset()
            self.verdicts[at] = f"{dead.stage} {dead.error.reason}"
        for unit, end in ends.items():
            changed = outcome.changed.get(unit, [])
            self.state.write(unit, changed)
            self._store.pin(unit, end, changed, is_mixed=unit in outcome.mixed)
            self._store.confirm(unit, end)

    def refold(self, log: Sequence[Entry]) -> State:
        """Fold what counted once more, as a rebuild does, in other batches."""
        store, state = self._build_store(), State()
        for topic, folder in self._folders.items():
            counted = [e for e in log if e.topic == topic and (e.topic, e.partition, e.offset) not in self.verdicts]
            for partition, messages in _by_partition(counted).items():
                unit = Unit(folder.kind, partition)
                for at in range(0, len(messages), _REFOLDED_RECORDS):
                    part = messages[at : at + _REFOLDED_RECORDS]
                    changed = folder.fold_again(partition, part, store).changed
                    state.write(unit, changed)
                    store.pin(unit, part[-1].offset() + 1, changed)
        return state

    def _build_store(self) -> PartialStore:
        store = PartialStore(
            EmptyView(),
            declarations_hash=shipped_kernel().stream.declarations_hash,
            entities_max=1_000_000,
            bytes_max=1 << 30,
        )
        for unit in self._units:
            store.own(unit, Position(0, partitions=self._partitions), born_empty=True)
        return store


class History(NamedTuple):
    """A log's good transactions as history computes them."""

    verdicts: np.ndarray
    late: np.ndarray
    features: np.ndarray


def compute_history(log: Sequence[Entry], unreadable: Iterable[tuple[str, int, int]], *, partitions: int) -> History:
    """Take every transaction that is not refused as a record through the backfill, next to the labels."""
    refused = set(unreadable)
    readable = [entry for entry in log if (entry.topic, entry.partition, entry.offset) not in refused]
    transactions, labels = (_decode(kind, readable) for kind in ("transactions", "labels"))
    append_ms = [entry.append_ms for entry in readable if entry.topic == "transactions"]
    batch = transactions.append_column("append_time_ms", pa.array(append_ms, pa.int64()))
    done = list(
        backfill(
            shipped_kernel(), [batch], pa.Table.from_batches([labels]), placeholders=BUILT_IN, partitions=partitions
        )
    )
    return History(*(np.concatenate([getattr(step, name) for _, step in done]) for name in History._fields))


def _decode(kind: str, log: Iterable[Entry]) -> pa.RecordBatch:
    return BatchCodec(kind).decode([entry.value for entry in log if entry.topic == kind], _schema_of).batch


def names() -> tuple[str, ...]:
    """Return the features in their order."""
    return FEATURE_NAMES


def schema_now(kind: str) -> str:
    """Return the Avro schema by which the product writes."""
    return schema_json(kind)


def _schema_of(schema_id: int) -> WriterSchema | PoisonRecord:
    if schema_id not in _WRITERS:
        return PoisonRecord("unknown_schema_id", f"expected a registered schema id, found {schema_id}")
    return WriterSchema(schema_id, subject_ok=True, schema=read_schema(_WRITERS[schema_id]))


def _build_folders(
    partitions: int, then: Callable[[FeatureBatch], Further] | None = None
) -> dict[str, EventStage | LabelStage]:
    own = EventStageConfig(
        topic="transactions", dlq_topic="transactions.dlq", features_topic="features",
        features_schema_id=FEATURES_SCHEMA_ID, partitions=partitions, label_partitions=partitions, group="golden",
        dlq_header_prefix="__dlq.errors.", placeholders=BUILT_IN, kernel=shipped_kernel(),
    )  # fmt: skip
    labels = LabelStageConfig("labels", "labels.dlq", partitions, "golden", "__dlq.errors.", BUILT_IN, shipped_kernel())
    return {"transactions": EventStage(own, _schema_of, then=then), "labels": LabelStage(labels, _schema_of)}


def _by_partition(entries: Iterable[Entry]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for entry in entries:
        found.setdefault(entry.partition, []).append(Given(entry))
    return found


def _ends(kind: str, records: Mapping[int, list[Any]]) -> dict[Unit, int]:
    return {Unit(kind, partition): messages[-1].offset() + 1 for partition, messages in records.items()}


def batches_of(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield items in equal batches."""
    for at in range(0, len(items), size):
        yield items[at : at + size]
