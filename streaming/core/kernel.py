"""The kernel of a stream: ``(events, states) -> (new states, features)``, live and over history alike.

Pure: bytes and arrays in, bytes and arrays out. A partial depends on its own partition's counted records alone, so
however the log is cut into batches the bytes are the same; features of shared entities also see the other partitions'
partials as they are given, which stay as they are for the length of a batch.

A ``Kernel`` holds what follows from the stream's declarations (a plan per entity) and working memory; it keeps no state
of the stream. Kernels of one shape run the same machine code.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from weir.schemas.entity import Aggregate
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.one_row import RowPlan
from weir.schemas.stream import Stream
from weir.streaming.core.aggregates import KINDS
from weir.streaming.core.event_rows import Rows, build_event_rows
from weir.streaming.core.events import EventBatch, Log, build_event_batch
from weir.streaming.core.labels import LabelBatch, LabelFolder
from weir.streaming.core.layout import DUPLICATE, ID_REUSED
from weir.streaming.core.limits import refuse_faults
from weir.streaming.core.packing import as_canonical, pack_lists, unpack
from weir.streaming.core.partial import Partial, decode_partial
from weir.streaming.core.passes import Columns, Groups, Results, evaluate_at, group_rows, run_pass
from weir.streaming.core.plans import build_plans, build_shape
from weir.streaming.core.risk import build_no_changes
from weir.streaming.core.seal import compute_base, compute_seeds
from weir.streaming.core.states import Computed, Packed, PackedStates, Reading, States, Step, pack_states
from weir.streaming.core.values import plan_values
from weir.streaming.core.working_memory import Memory, build_memory, build_types


class Kernel:
    """Computes one stream; safe to use from several threads."""

    def __init__(self, stream: Stream) -> None:
        """Plan what compiled code does for the stream; nothing is compiled yet.

        Raises:
            Refused: the stream declares what cannot be computed, one sentence each.
        """
        refuse_faults(stream)
        self.stream = stream
        self.shape = build_shape(stream)
        self.plans = build_plans(stream, self.shape)
        self.key = stream.key.name
        self.entities: tuple[str, ...] = tuple(self.plans)
        self._plans = {name: np.array([plan], plan.dtype) for name, plan in self.plans.items()}
        self._passes = [self.key, *(name for name in self.entities if name != self.key)]
        self.shared: tuple[str, ...] = tuple(entity.name for entity in stream.entities if entity.shared)
        self.labelled: tuple[str, ...] = tuple(e.name for e in stream.entities if stream.has_labels(e))
        self._labels = LabelFolder(stream, self.plans, self.labelled)
        self._values = plan_values(stream)
        self._read = {name: self._list_read(name) for name in self.entities}
        self._kept = threading.local()

    def _list_read(self, entity: str) -> list[tuple[int, str, bool]]:
        """What a look-up returns of an entity: the feature's column, its name, and whether it needs an event."""
        return [
            (column, feature.name, KINDS[Aggregate(feature.aggregate)].needs_event)
            for column, feature in enumerate(self.stream.all_features)
            if feature.entity == entity and feature.aggregate != Aggregate.VALUE
        ]

    @property
    def label_entities(self) -> tuple[str, ...]:
        """Whose partials a label unit holds: the keys' ledgers, and the risk counts; none without labels."""
        return self._labels.entities

    def build_events(
        self,
        batch: pa.RecordBatch,
        *,
        append_time_ms: NDArray[np.int64],
        partition: NDArray[np.int32] | int,
        body_digest: NDArray[np.uint32],
        placeholders: Placeholders,
    ) -> EventBatch:
        """Turn validated records into flat columns; see ``events.Log`` and ``events.build_event_batch``."""
        log = Log(append_time_ms, partition, body_digest)
        return build_event_batch(self.stream, self.shape, batch, log, placeholders)

    def build_rows(self, plan: RowPlan, rows: Rows, *, append_time_ms: NDArray[np.int64]) -> EventBatch:
        """Turn records of requests, each apart from the others, into flat columns; see ``event_rows``."""
        return build_event_rows(self.stream, self.shape, plan, rows, append_time_ms)

    def step(self, events: EventBatch, states: States, refused: NDArray[np.uint8] | None = None) -> Step:
        """Judge a batch, compute its features and fold it.

        Args:
            events: rows in log order, of one or several input partitions.
            states: partials as of just before the batch.
            refused: uint8, shape (rows,): verdicts that are known already, from ``find_repeats``; 0 is none.

        Raises:
            ValueError: when partials do not match the batch, or are not of this version.
        """
        done, out = self.step_packed(events, pack_states(events.entities, states), refused)
        folded = {entity: unpack(*packed) for entity, packed in out.items()}
        return Step(done.verdicts, done.late, done.features, folded)

    def step_packed(
        self, events: EventBatch, states: PackedStates, refused: NDArray[np.uint8] | None = None
    ) -> tuple[Computed, dict[str, Packed]]:
        """Judge a batch, compute its features and fold it, for who keeps partials in flat arrays; as ``step``."""
        results = _build_results(len(events), len(self.stream.all_features), refused)
        out = self._run(events, states, results, live=True)
        for column, read in self._values.items():
            results.features[:, column] = read(events)
        return Computed(results.verdicts, results.late, results.features), out

    def fold(self, events: EventBatch, own: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
        """Fold rows that are known to count; the same bytes as ``step`` gives for them.

        Args:
            events: counted rows in log order.
            own: partials as of just before them, aligned with the batch's entities.

        Raises:
            ValueError: as ``step``.
        """
        folded = self.fold_packed(events, pack_states(events.entities, States(own)))
        return {entity: unpack(*packed) for entity, packed in folded.items()}

    def fold_packed(self, events: EventBatch, states: PackedStates) -> dict[str, Packed]:
        """Fold rows that are known to count, for who keeps partials in flat arrays; as ``fold``."""
        return self._run(events, states, _build_results(len(events), 0), live=False)

    def _run(self, events: EventBatch, states: PackedStates, results: Results, *, live: bool) -> dict[str, Packed]:
        """Take every entity kind through the batch, keys first: their verdicts say which rows count for the others."""
        columns, out = _build_columns(events), {}
        with self._memory() as memory:
            for entity in self._passes:
                index = events.entities[entity]
                size = len(index)
                others = states.others.get(entity) or pack_lists(None, size)
                labels = states.labels.get(entity) or pack_lists(None, size)
                shared = others, labels, states.changes.get(entity) or build_no_changes(size)
                seeds = compute_seeds(self.stream.declarations_hash, "t", entity, index.values, index.units)
                groups = Groups(*group_rows(as_canonical(index.codes), size), seeds)
                own, plans = states.own[entity], self._plans[entity]
                out[entity] = run_pass(plans, memory, columns, groups, own, shared, results, live)
        return out

    def read_all(self, readings: Sequence[Reading]) -> list[dict[str, float | None]]:
        """Compute entities' windows with no event at hand, each as of its own time.

        Returns:
            Per entity a value for each of its features; None is missing, or says nothing without an event.
        """
        with self._memory() as memory:
            return [self._read_one(memory, reading) for reading in readings]

    def read(self, entity: str, partials: list[bytes], labels: list[bytes], at_ms: int) -> dict[str, float | None]:
        """Compute one entity's windows; see ``Reading`` and ``read_all``."""
        return self.read_all([Reading(entity, partials, labels, at_ms)])[0]

    def _read_one(self, memory: Memory, reading: Reading) -> dict[str, float | None]:
        entity, partials, labels, at_ms = reading
        features = np.full(len(self.stream.all_features), np.nan, dtype=np.float32)
        evaluate_at(self._plans[entity], memory, pack_lists([partials], 1), pack_lists([labels], 1), at_ms, features)
        values = features.tolist()
        return {
            name: None if needs_event or math.isnan(value := values[column]) else value
            for column, name, needs_event in self._read[entity]
        }

    @contextmanager
    def _memory(self) -> Iterator[Memory]:
        """Lend this thread's memory: the kernel clears what it uses, and fresh memory is 40 % of a look-up's CPU.

        After an error it is not kept, and what was left half done goes with it.
        """
        memory: Memory = self._kept.__dict__.pop("memory", None) or build_memory(build_types(self.shape))
        yield memory
        self._kept.memory = memory

    def build_labels(
        self, batch: pa.RecordBatch, *, partition: NDArray[np.int32] | int, placeholders: Placeholders
    ) -> LabelBatch:
        """Turn validated labels into flat columns; see ``labels.LabelFolder``."""
        return self._labels.build(batch, partition=partition, placeholders=placeholders)

    def fold_labels(self, labels: LabelBatch, own: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
        """Fold a batch of labels; see ``labels.LabelFolder.fold``."""
        return self._labels.fold(labels, own)[0]

    def find_known_elsewhere(
        self, labels: LabelBatch, own: Sequence[bytes], others: Sequence[Sequence[bytes]]
    ) -> NDArray[np.int64]:
        """Find labels of facts that another unit counted and ours did not; see ``labels.LabelFolder``."""
        return self._labels.find_known_elsewhere(labels, own, others)

    @property
    def label_folder(self) -> LabelFolder:
        """Folds labels and tells what they changed, for history."""
        return self._labels

    def seal_base(self, kind: str, entity: str, partition: int = 0) -> np.uint64:
        """Return what the seals of one entity kind in one unit have in common; see ``seal.compute_base``."""
        return compute_base(self.stream.declarations_hash, kind, entity, partition)

    def decode_partial(self, entity: str, data: bytes) -> Partial | None:
        """Read a partial as plain objects; see ``partial.decode_partial``."""
        return decode_partial(self.plans[entity], self.shape, data)

    def find_repeats(self, events: EventBatch) -> NDArray[np.uint8]:
        """Find ids that a batch has in several input partitions: each partition's state sees its own rows alone.

        Returns:
            uint8, shape (rows,): verdicts as in ``Computed``; of the copies the first row counts.

        **Cost:** a step in Python per row: for batches in which a key's records are in several partitions.
        """
        index = events.entities[self.key]
        verdicts = np.zeros(len(events), dtype=np.uint8)
        columns = index.codes, events.id_hash, events.partition, events.append_time_ms, events.body_digest
        first: dict[tuple[str, int], tuple[int, int, int]] = {}
        horizon_ms = self.stream.duplicate_horizon_ms
        for row, (code, event, partition, append_ms, digest) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            seen = first.setdefault((index.ids[code], event), (partition, append_ms, digest))
            if seen[0] != partition and abs(append_ms - seen[1]) < horizon_ms:
                verdicts[row] = DUPLICATE if seen[2] == digest else ID_REUSED
        return verdicts


def _build_columns(events: EventBatch) -> Columns:
    return Columns(
        time=as_canonical(events.event_time_ms),
        append_time=as_canonical(events.append_time_ms),
        values=as_canonical(events.values),
        flags=as_canonical(events.flags),
        lat=as_canonical(events.lat_e5),
        lon=as_canonical(events.lon_e5),
        id_hash=as_canonical(events.id_hash.view(np.int64)),
        digest=as_canonical(events.body_digest),
        hashes=as_canonical(events.hashes),
    )


def _build_results(rows: int, columns: int, refused: NDArray[np.uint8] | None = None) -> Results:
    features = np.full((rows, columns), np.nan, dtype=np.float32)
    verdicts = np.zeros(rows, dtype=np.uint8) if refused is None else refused.copy()
    return Results(verdicts, np.zeros(rows, dtype=np.bool_), features)
