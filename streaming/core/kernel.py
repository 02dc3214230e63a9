"""The kernel: ``(events, states) -> (new states, features)``, in the stream and over history alike.

Pure: bytes and arrays in, bytes and arrays out. A partial depends on its own partition's counted records alone, so
however the log is cut into batches the bytes are the same; features of shared entities also see the other partitions'
partials as they are given, which stay as they are for the length of a batch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.schemas.features import DUPLICATE_HORIZON_MS, ENTITIES, FEATURES, Aggregate, Entity
from weir.streaming.core.aggregates import KINDS
from weir.streaming.core.events import ATTRIBUTE_FIELDS, EventBatch
from weir.streaming.core.layout import DUPLICATE, ID_REUSED
from weir.streaming.core.packing import as_canonical, pack_lists, pack_one_each, unpack
from weir.streaming.core.passes import Columns, Groups, Machine, Partials, Results, evaluate_at, group_rows, run_pass
from weir.streaming.core.plans import PLANS, TYPES
from weir.streaming.core.risk import Changes, build_no_changes
from weir.streaming.core.seal import compute_seeds
from weir.streaming.core.values import VALUES
from weir.streaming.core.working_memory import build_scratch


@dataclass(frozen=True)
class States:
    """Partials of the entities of a batch; lists are aligned with the batch's ``EntityIndex.ids``.

    Attributes:
        own: our partition's partial, ``b""`` if never seen.
        others: the other partitions' partials in partition order; an empty list or a missing key is none.
        labels: the label units' partials, likewise.
    """

    own: dict[Entity, list[bytes]]
    others: Mapping[Entity, Sequence[Sequence[bytes]]] = field(default_factory=dict)
    labels: Mapping[Entity, Sequence[Sequence[bytes]]] = field(default_factory=dict)


@dataclass(frozen=True)
class PackedStates:
    """``States`` as compiled code takes them: per entity kind all partials end to end; a missing key is none.

    ``changes`` are labels that became known while the batch's rows passed: history knows when, the stream reads them.
    """

    own: Mapping[Entity, Partials]
    others: Mapping[Entity, Partials]
    labels: Mapping[Entity, Partials]
    changes: Mapping[Entity, Changes] = field(default_factory=dict)


@dataclass(frozen=True)
class Computed:
    """What a batch came to, but for the state.

    Attributes:
        verdicts: uint8, shape (rows,): 0 counted, 1 duplicate, 2 id reused with another body.
        late: bool, shape (rows,): at or before the card's newest event less the horizon; decided, not in windows.
        features: float32, shape (rows, features), columns in the order of ``FEATURES``; NaN is missing. Rows that do
            not count are unspecified.
    """

    verdicts: NDArray[np.uint8]
    late: NDArray[np.bool_]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class Step(Computed):
    """What a batch came to.

    Attributes:
        states: new own partials, aligned as they were given.
    """

    states: dict[Entity, list[bytes]]


def _columns(events: EventBatch) -> Columns:
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


def _build_machine() -> Machine:
    scratch = build_scratch(TYPES)
    return Machine(scratch.own, scratch.other, scratch.merged, scratch.view, scratch.risk, scratch.row)


_kept = threading.local()


@contextmanager
def _machine() -> Iterator[Machine]:
    """Lend this thread's machine: the kernel clears what it uses, and fresh memory is 40 % of a single look-up's CPU.

    After an error it is not kept, and what was left half done goes with it.
    """
    machine: Machine = _kept.__dict__.pop("machine", None) or _build_machine()
    yield machine
    _kept.machine = machine


Packed = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""New partials end to end, one per entity, and their offsets."""


def _pack(events: EventBatch, states: States) -> PackedStates:
    sizes = {entity: len(index) for entity, index in events.entities.items()}
    for entity, size in sizes.items():
        if len(states.own[entity]) != size:
            raise ValueError(f"expected {size} partials of {entity}, found {len(states.own[entity])}")
    return PackedStates(
        own={entity: pack_one_each(states.own[entity]) for entity in sizes},
        others={entity: pack_lists(lists, sizes[entity]) for entity, lists in states.others.items()},
        labels={entity: pack_lists(lists, sizes[entity]) for entity, lists in states.labels.items()},
    )


def _run(events: EventBatch, states: PackedStates, results: Results, *, live: bool) -> dict[Entity, Packed]:
    """Take every entity kind through the batch, cards first: their verdicts say which rows count for the others."""
    machine, out, columns = _build_machine(), {}, _columns(events)
    for spec in ENTITIES:
        index = events.entities[spec.entity]
        size = len(index)
        none = pack_lists(None, size)
        changes = states.changes.get(spec.entity) or build_no_changes(size)
        shared = states.others.get(spec.entity, none), states.labels.get(spec.entity, none), changes
        seeds = compute_seeds("t", spec.entity, index.values, index.units)
        groups = Groups(*group_rows(as_canonical(index.codes), size), seeds)
        own, plan = states.own[spec.entity], PLANS[spec.entity]
        out[spec.entity] = run_pass(plan, machine, columns, groups, own, shared, results, live)
    return out


def _write_values(events: EventBatch, features: NDArray[np.float32]) -> None:
    """Fill the stateless columns, read from the record alone."""
    for column, feature in enumerate(FEATURES):
        if feature.aggregate is Aggregate.VALUE:
            features[:, column] = VALUES[feature.measure](events)


def _build_results(rows: int, columns: int, refused: NDArray[np.uint8] | None = None) -> Results:
    features = np.full((rows, columns), np.nan, dtype=np.float32)
    verdicts = np.zeros(rows, dtype=np.uint8) if refused is None else refused.copy()
    return Results(verdicts, np.zeros(rows, dtype=np.bool_), features)


def step_packed(
    events: EventBatch, states: PackedStates, refused: NDArray[np.uint8] | None = None
) -> tuple[Computed, dict[Entity, Packed]]:
    """Judge a batch, compute its features and fold it, for a caller that keeps partials in flat arrays; as ``step``."""
    results = _build_results(len(events), len(FEATURES), refused)
    out = _run(events, states, results, live=True)
    _write_values(events, results.features)
    return Computed(results.verdicts, results.late, results.features), out


def find_repeats(events: EventBatch) -> NDArray[np.uint8]:
    """Find ids that a batch has in several input partitions: each partition's state sees its own rows alone.

    Returns:
        uint8, shape (rows,): verdicts as in ``Computed``; of the copies the first row counts.

    **Cost:** a step in Python per row: for batches in which a card's records are in several partitions.
    """
    verdicts = np.zeros(len(events), dtype=np.uint8)
    columns = (
        events.hashes[ATTRIBUTE_FIELDS.index("card_id")],
        events.id_hash,
        events.partition,
        events.append_time_ms,
        events.body_digest,
    )
    first: dict[tuple[int, int], tuple[int, int, int]] = {}
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for row, (card, transaction, partition, append_ms, digest) in enumerate(rows):
        known = first.setdefault((card, transaction), (partition, append_ms, digest))
        if known[0] != partition and abs(append_ms - known[1]) < DUPLICATE_HORIZON_MS:
            verdicts[row] = DUPLICATE if known[2] == digest else ID_REUSED
    return verdicts


def step(events: EventBatch, states: States, refused: NDArray[np.uint8] | None = None) -> Step:
    """Judge a batch, compute its features and fold it.

    Args:
        events: rows in log order, of one or several input partitions.
        states: partials as of just before the batch.
        refused: uint8, shape (rows,): verdicts that are known already, from ``find_repeats``; 0 is none.

    Raises:
        ValueError: when partials do not match the batch, or are not of this version.
    """
    done, out = step_packed(events, _pack(events, states), refused)
    return Step(done.verdicts, done.late, done.features, {entity: unpack(*packed) for entity, packed in out.items()})


def fold(events: EventBatch, own: dict[Entity, list[bytes]]) -> dict[Entity, list[bytes]]:
    """Fold rows that are known to count; the same bytes as ``step`` gives for them.

    Args:
        events: counted rows in log order.
        own: partials as of just before them, aligned with the batch's entities.

    Raises:
        ValueError: as ``step``.
    """
    out = _run(events, _pack(events, States(own)), _build_results(len(events), 0), live=False)
    return {entity: unpack(*packed) for entity, packed in out.items()}


class Reading(NamedTuple):
    """An entity to be read as of a time.

    Attributes:
        partials: every partition's partial, in partition order.
        labels: every label unit's partial.
        at_ms: UTC epoch ms; windows end here.
    """

    entity: Entity
    partials: list[bytes]
    labels: list[bytes]
    at_ms: int


def read_all(readings: Sequence[Reading]) -> list[dict[str, float | None]]:
    """Compute entities' windows with no event at hand, each as of its own time.

    Returns:
        Per entity a value for each of its features; None is missing, or says nothing without an event.
    """
    with _machine() as machine:
        return [_read(machine, reading) for reading in readings]


def read(entity: Entity, partials: list[bytes], labels: list[bytes], at_ms: int) -> dict[str, float | None]:
    """Compute one entity's windows; see ``Reading`` and ``read_all``.

    >>> read(Entity.CARD, [], [], 0)["card_event_count_1h"]
    0.0
    """
    return read_all([Reading(entity, partials, labels, at_ms)])[0]


def _read(machine: Machine, reading: Reading) -> dict[str, float | None]:
    entity, partials, labels, at_ms = reading
    features = np.full(len(FEATURES), np.nan, dtype=np.float32)
    evaluate_at(PLANS[entity], machine, pack_lists([partials], 1), pack_lists([labels], 1), at_ms, features)
    values = features.tolist()
    return {
        name: None if needs_event or math.isnan(value := values[column]) else value
        for column, name, needs_event in _READ[entity]
    }


_READ: dict[Entity, list[tuple[int, str, bool]]] = {
    spec.entity: [
        (column, feature.name, KINDS[feature.aggregate].needs_event)
        for column, feature in enumerate(FEATURES)
        if feature.entity is spec.entity
    ]
    for spec in ENTITIES
}
"""What a look-up returns of an entity: the feature's column, its name, and whether it says nothing without an event."""
