"""What memory may have dropped, and that whatever it still says is right."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import Entity
from weir.infra.redis.unit import Unit
from weir.streaming.state.memory import Memory

UNITS = [Unit("t", 0), Unit("t", 1)]
KIND = Entity.CARD
IDS = st.lists(st.sampled_from([f"c{number}" for number in range(9)]), min_size=1, max_size=4, unique=True)
STEPS = st.one_of(
    st.tuples(st.just("read"), st.sampled_from(UNITS), IDS),
    st.tuples(st.just("write"), st.sampled_from(UNITS), IDS),
    st.tuples(st.just("trim"), st.sampled_from(UNITS), IDS),
    st.tuples(st.just("own"), st.sampled_from(UNITS), IDS),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(steps=st.lists(STEPS, max_size=40), born_empty=st.tuples(st.booleans(), st.booleans()))
def test_what_memory_says_is_what_was_written_last(
    steps: list[tuple[str, Unit, list[str]]], born_empty: tuple[bool, bool]
) -> None:
    memory = Memory(entities_max=6, bytes_max=40)
    written: dict[tuple[Unit, str], bytes] = {}
    for unit, is_empty in zip(UNITS, born_empty, strict=True):
        memory.own(unit, born_empty=is_empty)
    for number, (verb, unit, ids) in enumerate(steps):
        numbers = memory.number(KIND, pa.array(ids))
        if verb == "write":
            partials = [f"{entity_id} at {number}".encode() for entity_id in ids]
            memory.put_one(unit, KIND, numbers, partials)
            written |= {(unit, entity_id): partial for entity_id, partial in zip(ids, partials, strict=True)}
        elif verb == "trim":
            memory.drop_unused()
        elif verb == "own":
            memory.own(unit, born_empty=False)
        for each in UNITS:
            found = memory.look_up(each, KIND, memory.number(KIND, pa.array(ids)))
            for entity_id, partial in zip(ids, found, strict=True):
                assert partial in {None, written.get((each, entity_id), b"")}
                assert partial is not None or not memory.is_known_whole(each)


def _filled(memory: Memory, ids: list[str], partial: bytes = b"some") -> None:
    memory.put_one(UNITS[0], KIND, memory.number(KIND, pa.array(ids)), [partial] * len(ids))


def _known(memory: Memory, ids: list[str]) -> list[str]:
    found = memory.look_up(UNITS[0], KIND, memory.number(KIND, pa.array(ids)))
    return [entity_id for entity_id, partial in zip(ids, found, strict=True) if partial]


@pytest.mark.parametrize(("entities_max", "bytes_max"), [(4, 10**6), (10**6, 20)])
def test_what_is_used_stays_and_what_is_not_used_goes(entities_max: int, bytes_max: int) -> None:
    memory = Memory(entities_max=entities_max, bytes_max=bytes_max)
    memory.own(UNITS[0], born_empty=False)
    for turn in range(10):
        _filled(memory, ["used", f"passing-{turn}", f"by-{turn}"])
        memory.drop_unused()
    assert _known(memory, ["used", "passing-9", "passing-3", "by-2"]) == ["used", "passing-9"]
    assert len(memory) < 10
    assert memory.bytes_held < 40


def test_nothing_is_dropped_below_the_bounds() -> None:
    memory = Memory(entities_max=4, bytes_max=100)
    memory.own(UNITS[0], born_empty=True)
    _filled(memory, ["c1", "c2"])
    assert not memory.drop_unused()
    assert memory.is_known_whole(UNITS[0])
    assert _known(memory, ["c1", "c2", "c3"]) == ["c1", "c2"]


def test_a_unit_is_known_whole_until_something_of_it_is_dropped() -> None:
    memory = Memory(entities_max=2, bytes_max=100)
    memory.own(UNITS[0], born_empty=True)
    _filled(memory, ["c1", "c2"])
    assert memory.drop_unused()
    assert memory.is_known_whole(UNITS[0])
    _filled(memory, ["c3", "c4"])
    assert memory.drop_unused()
    assert not memory.is_known_whole(UNITS[0])
    assert memory.look_up(UNITS[0], KIND, memory.number(KIND, pa.array(["c3", "c1", "c5"]))) == [b"some", None, None]


def test_a_forgotten_unit_comes_back_with_nothing() -> None:
    memory = Memory(entities_max=2, bytes_max=100)
    memory.own(UNITS[0], born_empty=True)
    _filled(memory, ["c1", "c2"])
    assert memory.drop_unused()
    memory.forget(UNITS[0])
    assert UNITS[0] not in memory
    memory.own(UNITS[0], born_empty=False)
    assert _known(memory, ["c1", "c2"]) == []
