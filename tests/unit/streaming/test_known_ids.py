"""Lists of known ids: what damage is found, and that Redis is asked for what they name and for nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streaming.kept import keep_and_pin
from weir.infra.redis.known_list import SEGMENT_BYTES, leave_out, list_segments, pack_part, read_parts, segment_of
from weir.infra.redis.loaded import Loaded
from weir.infra.redis.unit import Position, Unit
from weir.streaming.core.id_set import IdSet
from weir.streaming.state import cache
from weir.streaming.state.cache import PartialStore
from weir.streaming.state.queries import Changed, PartialQuery, encode_known

KINDS = ("card", "device")
IDS = st.text(max_size=12)
NAMED = st.lists(st.tuples(st.sampled_from(KINDS), st.lists(IDS, max_size=4)), max_size=5)
UNIT = Unit("t", 3)


def _list(named: Sequence[tuple[str, Sequence[str]]]) -> bytes:
    return b"".join(pack_part(encode_known(KINDS, kind, ids)) for kind, ids in named)


@settings(deadline=None)  # the first call compiles
@given(named=NAMED)
def test_a_list_names_what_was_written_and_nothing_else(named: list[tuple[str, list[str]]]) -> None:
    parts = read_parts(_list(named))
    assert parts == [encode_known(KINDS, kind, ids) for kind, ids in named if ids]
    found = IdSet(KINDS, parts)
    for kind in KINDS:
        there = {each for of, ids in named for each in ids if of == kind}
        asked = sorted(there | {f"{each}x" for each in there} | {"other"})
        absent = found.are_absent(found.hash_ids(kind, asked))
        assert [each for each, is_absent in zip(asked, absent, strict=True) if not is_absent] == sorted(there)


@given(named=NAMED, place=st.integers(0, 10_000), other=st.integers(0, 255))
def test_a_byte_that_changed_a_byte_too_few_and_one_too_many_are_found(
    named: list[tuple[str, list[str]]], place: int, other: int
) -> None:
    listed = _list(named)
    if listed:
        at = place % len(listed)
        damaged = listed[:at] + bytes([other]) + listed[at + 1 :]
        assert (read_parts(damaged) is None) == (damaged != listed)
        assert read_parts(listed[:-1]) is None
    assert read_parts(listed + b"\0") is None
    assert read_parts(listed + listed) is not None  # what the position says of its length tells this


@given(named=NAMED, who=IDS)
def test_an_id_that_is_left_out_leaves_the_others_and_the_length(named: list[tuple[str, list[str]]], who: str) -> None:
    content = who.encode()
    entry = len(content).to_bytes(2, "little") + content
    listed = _list(named)
    without = leave_out(listed, entry)
    assert len(without) == len(listed)
    blank = "\0" * len(content)
    expected = [(kind, [blank if each == who else each for each in ids]) for kind, ids in named]
    assert without == _list(expected)


def test_what_is_not_what_was_written_is_not_made_whole_by_an_erasure() -> None:
    listed = _list([("card", ["c1", "c2"])])
    damaged = listed[:-1] + b"3"
    assert read_parts(leave_out(damaged, b"\x02\x00c1")) is None
    assert b"c1" not in leave_out(damaged, b"\x02\x00c1")


@pytest.mark.parametrize("length", [1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 5 * SEGMENT_BYTES])
def test_the_segments_of_a_list_are_those_that_it_grew_in(length: int) -> None:
    grown = [segment_of(at) for at in range(0, length, 1_000)]
    assert list(dict.fromkeys(grown)) == list_segments(length)


def test_ids_that_were_added_are_known_once_they_are_settled() -> None:
    found = IdSet(KINDS)
    hashes = found.hash_ids("device", ["d1", "d2"])
    assert found.are_absent(hashes).all()
    found.add("device", ["d2"])
    found.settle()
    assert found.are_absent(hashes).tolist() == [True, False]
    assert found.are_absent(found.hash_ids("card", ["d2"])).all()


class _Held:
    """A view that holds partials, and notes what it is asked for."""

    def __init__(self) -> None:
        self.applied = 1
        self.partials: dict[str, bytes] = {}
        self.asked: list[str] = []

    def load_many(self, wanted: Iterable[tuple[Unit, Sequence[str]]]) -> dict[Unit, Loaded]:
        found = {}
        for unit, keys in wanted:
            self.asked += keys
            found[unit] = Loaded(Position(self.applied), [self.partials.get(key, b"") for key in keys])
        return found

    def load_checked(
        self, wanted: Iterable[tuple[Unit, Sequence[str]]], checked: Collection[Unit]
    ) -> dict[Unit, Loaded]:
        assert checked == {UNIT}
        return self.load_many(wanted)

    def suspect(self, unit: Unit, reason: str) -> None:
        raise AssertionError(f"{unit} is suspect: {reason}")


@settings(deadline=None)
@given(
    before=st.sets(st.tuples(st.sampled_from(KINDS), st.sampled_from("abcdef")), max_size=6),
    steps=st.lists(st.tuples(st.sampled_from(KINDS), st.sets(st.sampled_from("abcdefgh"), min_size=1)), max_size=12),
)
def test_a_store_finds_what_was_written_and_asks_for_nothing_that_was_never_there(
    before: set[tuple[str, str]], steps: list[tuple[str, set[str]]]
) -> None:
    """Each step reads ids, writes half of them, and may drop what memory holds: two ids are more than it may hold."""
    view, truth = _Held(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "find_broken", lambda *_: np.empty(0, np.int64))
        for kind, name in before:
            truth[f"{kind}:{name}"] = view.partials[f"{kind}:{name}"] = b"before"
        ids = IdSet(KINDS, [encode_known(KINDS, kind, [name]) for kind, name in sorted(before)])
        store = PartialStore(view, declarations_hash="h", entities_max=2, bytes_max=1_000)
        store.own(UNIT, Position(1), born_empty=False, ids=ids)
        for number, (kind, names) in enumerate(steps, 2):
            asked = sorted(names)
            view.asked = []
            found = store.read([PartialQuery(kind, asked, [UNIT])])[0][0]
            assert list(found) == [truth.get(f"{kind}:{name}", b"") for name in asked]
            assert set(view.asked) <= truth.keys()
            written = asked[::2]
            new = [name for name in written if f"{kind}:{name}" not in truth]
            partials = [b"%d" % number] * len(written)
            keep_and_pin(store, UNIT, number, [Changed(kind, written, partials, new)])
            truth |= dict.fromkeys((f"{kind}:{name}" for name in written), b"%d" % number)
            view.partials |= truth
            view.applied = number
            store.confirm(UNIT, number)
            store.trim()
