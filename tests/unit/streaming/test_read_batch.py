"""A batch's partials, packed, against a dictionary of what each unit has: owned ones, others', and those in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streaming.kept import Sound, keep
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.id_set import IdSet
from weir.streaming.core.passes import Partials
from weir.streaming.state import cache
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.queries import BatchQuery, Changed, encode_known

KINDS = ["card", "device"]
UNITS = [Unit("t", 0), Unit("t", 1), Unit("t", 2)]
LABELS = [Unit("l", 0), Unit("l", 1)]
IDS = [f"id-{number}" for number in range(8)]
Cell = tuple[Unit, str, str]


class _Redis(Sound):
    """What each unit has; an owned unit stands where its last write left it.

    Attributes:
        cells: partials.
        positions: of the units.
        late: writes that are on their way.
    """

    def __init__(self) -> None:
        self.cells: dict[Cell, bytes] = {}
        self.positions = dict.fromkeys([*UNITS, *LABELS], 1)
        self.late: list[tuple[Unit, int, dict[Cell, bytes]]] = []

    def write(self, unit: Unit, end: int, cells: dict[Cell, bytes]) -> None:
        self.cells |= cells
        self.positions[unit] = end

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        found = {}
        for unit, keys in wanted:
            values = [self.cells.get((unit, *key.split(":")), b"") for key in keys]  # type: ignore[arg-type] # two parts
            found[unit] = Loaded(Position(self.positions[unit]), values)
        return found


class _Batch(NamedTuple):
    kind: str
    rows: list[tuple[int, str]]
    others: list[Unit]
    labels: list[Unit]
    trims: tuple[bool, bool]
    lands: bool


BATCHES = st.builds(
    _Batch,
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(IDS)), max_size=8, unique=True).map(sorted),
    st.lists(st.sampled_from(UNITS), unique=True).map(sorted),
    st.lists(st.sampled_from(LABELS), unique=True).map(sorted),
    st.tuples(st.booleans(), st.booleans()),
    st.booleans(),
)


def _lists(partials: Partials | None, size: int) -> list[list[bytes]]:
    if partials is None:
        return [[] for _ in range(size)]
    data, offsets = partials.data.tobytes(), partials.offsets.tolist()
    strings = [data[begin:end] for begin, end in pairwise(offsets)]
    return [strings[begin:end] for begin, end in pairwise(partials.first.tolist())]


@settings(max_examples=300, deadline=None)
@given(
    owned=st.sets(st.sampled_from([*UNITS, *LABELS])),
    listed=st.booleans(),
    before=st.dictionaries(
        st.tuples(st.sampled_from([*UNITS, *LABELS]), st.sampled_from(KINDS), st.sampled_from(IDS)),
        st.binary(min_size=1, max_size=90),
    ),
    batches=st.lists(BATCHES, max_size=12),
)
def test_a_batch_gets_what_every_unit_has(
    owned: set[Unit], listed: bool, before: dict[Cell, bytes], batches: list[_Batch]
) -> None:
    """Memory may hold five ids, so much is dropped and read again; who is not owned is written by somebody else.

    Writes of owned units land batches later, and there may be a trim before a batch is pinned.
    """
    redis, truth = _Redis(), dict(before)
    redis.cells |= before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "find_broken", lambda *_: np.empty(0, np.int64))
        store = PartialStore(redis, declarations_hash="h", entities_max=5, bytes_max=100_000)
        for unit in sorted(owned):
            names = [encode_known(KINDS, kind, [name]) for of, kind, name in before if of == unit]
            store.own(unit, Position(1), born_empty=not names, ids=IdSet(KINDS, names) if listed else None)
        for number, batch in enumerate(batches, 2):
            _take(redis, truth, store, owned, batch, number)


def _take(
    redis: _Redis, truth: dict[Cell, bytes], store: PartialStore, owned: set[Unit], batch: _Batch, number: int
) -> None:
    if batch.lands:
        for unit, end, cells in redis.late:
            redis.write(unit, end, cells)
            store.confirm(unit, end)
        redis.late.clear()
    units, names = np.array([unit for unit, _ in batch.rows], np.int32), [name for _, name in batch.rows]
    index = EntityIndex(units, pa.array(names, pa.string()), np.zeros(0, np.int32))
    states = store.read_batch([BatchQuery(batch.kind, index, batch.others, batch.labels)]).states
    asked = [(UNITS[unit], name) for unit, name in batch.rows]
    assert _lists(states.own[batch.kind], 0) == [[truth.get((own, batch.kind, name), b"")] for own, name in asked]
    assert _lists(states.others.get(batch.kind), len(asked)) == [
        [truth[unit, batch.kind, name] for unit in batch.others if unit != own and (unit, batch.kind, name) in truth]
        for own, name in asked
    ]
    assert _lists(states.labels.get(batch.kind), len(asked)) == [
        [truth[unit, batch.kind, name] for unit in batch.labels if (unit, batch.kind, name) in truth]
        for _, name in asked
    ]
    changes: dict[Unit, list[Changed]] = {}
    for unit in {own for own, _ in asked}:
        ids = [name for own, name in asked if own == unit]
        new = [f"{unit.tag} {name} {number}".encode() * (1 + number % 3) for name in ids]
        cells = {(unit, batch.kind, name): value for name, value in zip(ids, new, strict=True)}
        if unit in owned:
            first = [name for name in ids if (unit, batch.kind, name) not in truth]
            changes[unit] = [Changed(batch.kind, ids, new, first)]
            keep(store, unit, changes[unit])
            redis.late.append((unit, number, cells))
        else:
            redis.write(unit, number, cells)
        truth |= cells
    if batch.trims[0]:
        store.trim()
    for unit, changed in changes.items():
        store.pin(unit, number, changed)
    if batch.trims[1]:
        store.trim()
