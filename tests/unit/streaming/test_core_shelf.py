"""Shelves against a dictionary: what is put on one is taken from it again, however it grew, moved and was packed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

import weir.streaming.core.numbering
from weir.streaming.core.entity_index import EntityIndex
from weir.streaming.core.numbering import Numbering
from weir.streaming.core.packing import pack
from weir.streaming.core.partial_table import ALL, OTHERS, OWN, Shelf
from weir.streaming.core.passes import Partials

UNITS = 3


def _index(pairs: list[tuple[int, str]]) -> EntityIndex:
    units = np.array([unit for unit, _ in pairs], np.int32)
    return EntityIndex(units, pa.array([key for _, key in pairs], pa.string()), np.zeros(0, np.int32))


def _lists(partials: Partials) -> list[list[bytes]]:
    data, ends = partials.data.tobytes(), partials.offsets.tolist()
    strings = [data[begin:end] for begin, end in pairwise(ends)]
    return [strings[begin:end] for begin, end in pairwise(partials.first.tolist())]


def _expect(kept: dict[tuple[int, str], bytes], pair: tuple[int, str], which: int) -> list[bytes]:
    own, key = pair
    if which == OWN:
        return [kept.get(pair, b"")]
    units = [unit for unit in range(UNITS) if which == ALL or unit != own]
    return [kept[unit, key] for unit in units if (unit, key) in kept]


@pytest.mark.parametrize("seed", range(5))
def test_a_shelf_gives_back_what_was_put_on_it_last(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shelf, kept = Shelf(UNITS), dict[tuple[int, str], bytes]()
    for turn in range(60):
        drawn = {(int(rng.integers(UNITS)), f"é-{rng.integers(5 + 20 * turn)}") for _ in range(40)}
        pairs = sorted(drawn, key=lambda pair: pair[1])
        index = _index(pairs)
        numbers = shelf.number(index.values)
        for which in (OWN, OTHERS, ALL):
            found = _lists(shelf.take(numbers, index.units, which))
            assert found == [_expect(kept, pair, which) for pair in pairs]
        new = [rng.bytes(int(rng.integers(1, 8 + 4 * turn))) if rng.random() < 0.9 else b"" for _ in pairs]
        shelf.put(numbers, index.units, pack(new))
        kept |= {pair: value for pair, value in zip(pairs, new, strict=True) if value}
    everything = _index(sorted(kept))
    found = _lists(shelf.take(shelf.find(everything.values), everything.units, OWN))
    assert found == [[kept[pair]] for pair in sorted(kept)]


def test_who_is_not_on_the_shelf_has_no_partials() -> None:
    shelf, index = Shelf(1), _index([(0, "a"), (0, "b")])
    shelf.put(shelf.number(index.values), index.units, pack([b"1", b"2"]))
    asked = _index([(0, "c"), (0, "b")])
    assert _lists(shelf.take(shelf.find(asked.values), asked.units, ALL)) == [[], [b"2"]]
    assert len(shelf) == 2


def test_what_growing_partials_leave_behind_is_reclaimed() -> None:
    shelf, index = Shelf(1), _index([(0, f"card-{number}") for number in range(100)])
    for size in range(1, 400):
        new = [bytes([(size + place) % 251]) * size for place in range(100)]
        shelf.put(shelf.number(index.values), index.units, pack(new))
        assert _lists(shelf.take(shelf.find(index.values), index.units, OWN)) == [[value] for value in new]
    assert shelf.reserved_bytes < 4 * 100 * 400


def test_ids_whose_hashes_are_the_same_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weir.streaming.core.numbering, "hash_strings", lambda ids: np.zeros(len(ids), np.uint64))
    ids = Numbering()
    assert ids.add(pa.array(["ab", "a", "", "b", "a"])).tolist() == [0, 1, 2, 3, 1]
    assert ids.find(pa.array(["b", "ba", "ab", ""])).tolist() == [3, -1, 0, 2]
    assert len(ids) == 4
