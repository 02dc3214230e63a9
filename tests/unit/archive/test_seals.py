"""Seals: what they are about, how they are chained, and that two sealers and a crash leave one chain."""

from __future__ import annotations

import hashlib
import json
import stat
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.archive.tables import append, build_row
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import SealKey, is_signed, load_key
from weir.archive.seals.runs import Runs, build_runs, read_runs
from weir.archive.seals.seal import FORMAT, hash_text, link, read_seal, seal_erasure, seal_rows, skip_of, steps_between
from weir.archive.seals.sealing import seal_new
from weir.archive.tree import Tree
from weir.schemas.errors import Damaged, Refused


@pytest.fixture
def key(tmp_path: Path) -> SealKey:
    return load_key(tmp_path / "keys" / "seal.key")


def _rows(*coordinates: tuple[int, int]) -> pa.Table:
    return pa.Table.from_pylist([build_row("t", partition, offset) for partition, offset in coordinates])


def _chain_of(root: Path) -> list[str]:
    return [stored.text for stored in Chain(Place(str(root))).read()]


@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1))
def test_runs_hold_each_offset_once_and_no_other(coordinates: set[tuple[int, int]]) -> None:
    ordered = sorted(coordinates)
    runs = read_runs(json.loads(json.dumps(build_runs(_rows(*ordered)).to_data())))
    assert [(p, o) for p in range(3) for o in runs.offsets_of(p).tolist()] == ordered
    assert [runs.index_of(*each) for each in ordered] == list(range(runs.count))
    assert runs.index_of(3, 0) is None
    assert all(runs.index_of(0, offset) is None for offset in range(31) if (0, offset) not in coordinates)


def test_an_offset_that_is_there_twice_is_refused_by_its_name() -> None:
    with pytest.raises(Damaged, match="found another after 1@7"):
        build_runs(_rows((0, 7), (1, 7), (1, 7)))


def test_a_seal_is_of_the_rows_and_not_of_their_order_in_files() -> None:
    coordinates = [(0, 1), (0, 2), (0, 5), (1, 0)]
    seal, other = seal_rows("t", 1, _rows(*coordinates)), seal_rows("t", 1, _rows(*reversed(coordinates)))
    assert seal == other
    assert seal.root == Tree([build_row("t", *each)["leaf"] for each in coordinates]).root.hex()
    assert seal.runs.to_data() == {"0": [[1, 2], [5, 1]], "1": [[0, 1]]}


def test_a_seal_reads_back_from_its_line() -> None:
    seal = link(seal_rows("t", 4, _rows((0, 1))), sequence=3, previous="a", skip="b")
    assert read_seal(seal.to_text()) == seal
    erasure = seal_erasure("t", Runs({0: ((1, 1),)}), at_ms=5, why="asked for")
    assert read_seal(erasure.to_text()) == erasure


def test_a_seal_in_another_form_of_the_same_json_is_refused() -> None:
    text = seal_rows("t", 4, _rows((0, 1))).to_text()
    with pytest.raises(Damaged, match="found another"):
        read_seal(text.replace(",", ", "))
    with pytest.raises(Damaged, match="found other text"):
        read_seal("[]")


def test_a_seal_of_a_newer_format_is_refused_with_the_fix() -> None:
    text = seal_rows("t", 4, _rows((0, 1))).to_text()
    with pytest.raises(Refused, match="read them with a newer release"):
        read_seal(text.replace('"format":1', f'"format":{FORMAT + 1}'))


@given(st.integers(1, 5_000), st.data())
def test_any_seal_is_reached_from_any_later_one_in_few_steps(newest: int, data: st.DataObject) -> None:
    wanted = data.draw(st.integers(1, newest))
    steps = list(steps_between(newest, wanted))
    assert (steps[0], steps[-1]) == (newest, wanted)
    assert all(after in {before - 1, skip_of(before)} for before, after in pairwise(steps))
    assert len(steps) <= 1 + newest.bit_length() ** 2


def test_every_batch_has_one_seal_with_the_hash_of_the_one_before(tmp_path: Path, key: SealKey) -> None:
    append(tmp_path, "t", [build_row("t", 0, offset, batch=1) for offset in range(3)])
    table = append(tmp_path, "t", [build_row("t", 0, offset, batch=2) for offset in (3, 5)])
    assert len(seal_new(Chain(Place(str(tmp_path))), key, name="t", table=table)) == 2
    first, second = map(json.loads, _chain_of(tmp_path))
    assert first["previous"] == ""
    assert second["previous"] == hashlib.sha256(_chain_of(tmp_path)[0].encode()).hexdigest()
    assert (first["batch"], first["runs"]) == (1, {"0": [[0, 3]]})
    assert (second["batch"], second["runs"]) == (2, {"0": [[3, 1], [5, 1]]})


def test_each_seal_of_a_long_chain_carries_the_hashes_of_two_others(tmp_path: Path, key: SealKey) -> None:
    chain = Chain(Place(str(tmp_path)))
    for batch in range(1, 14):
        chain.append(seal_rows("t", batch, _rows((0, batch))), key)
    texts = _chain_of(tmp_path)
    for text in texts:
        seal = read_seal(text)
        assert seal.previous == (hash_text(texts[seal.sequence - 2]) if seal.sequence > 1 else "")
        skipped = skip_of(seal.sequence)
        assert seal.skip == (hash_text(texts[skipped - 1]) if skipped else "")


def test_sealing_again_changes_nothing(tmp_path: Path, key: SealKey) -> None:
    table = append(tmp_path, "t", [build_row("t", 0, 0)])
    seal_new(Chain(Place(str(tmp_path))), key, name="t", table=table)
    before = _chain_of(tmp_path)
    assert seal_new(Chain(Place(str(tmp_path))), key, name="t", table=table) == []
    assert _chain_of(tmp_path) == before


def test_a_crash_between_rows_and_seal_is_repaired_by_the_same_seal(tmp_path: Path, key: SealKey) -> None:
    crashed, steady = tmp_path / "crashed", tmp_path / "steady"
    for root in (crashed, steady):
        for batch in (1, 2):
            table = append(root, "t", [build_row("t", 0, batch, batch=batch)])
            if root == steady:
                seal_new(Chain(Place(str(root))), key, name="t", table=table)
    seal_new(Chain(Place(str(crashed))), key, name="t", table=table_of(crashed))
    assert _chain_of(crashed) == _chain_of(steady)


def table_of(root: Path):
    return append(root, "t", [])


def test_two_sealers_at_once_make_one_chain_with_each_batch_once(tmp_path: Path, key: SealKey) -> None:
    one, other = Chain(Place(str(tmp_path))), Chain(Place(str(tmp_path)))
    for batch in range(1, 6):
        seal = seal_rows("t", batch, _rows((0, batch)))
        first, second = (one, other) if batch % 2 else (other, one)
        assert first.append(seal, key) is not None
        assert second.append(seal, key) is None
        assert second.append(seal_rows("u", batch, _rows((0, batch))), key) is not None
    seals = [read_seal(text) for text in _chain_of(tmp_path)]
    assert [seal.sequence for seal in seals] == list(range(1, 11))
    assert len({(seal.table, seal.batch) for seal in seals}) == 10


def test_a_sealer_that_looked_before_another_wrote_does_not_fork(
    tmp_path: Path, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Chain(Place(str(tmp_path))), Chain(Place(str(tmp_path)))
    one.append(seal_rows("t", 1, _rows((0, 1))), key)
    other.read_length()
    write = other._write

    def race(seal, key):
        monkeypatch.setattr(other, "_write", write)
        one.append(seal_rows("t", 2, _rows((0, 2))), key)
        return write(seal, key)

    monkeypatch.setattr(other, "_write", race)
    stored = other.append(seal_rows("u", 1, _rows((0, 1))), key)
    assert stored is not None
    assert stored.sequence == 3
    assert [read_seal(text).table for text in _chain_of(tmp_path)] == ["t", "t", "u"]


@pytest.mark.parametrize("is_first", [False, True])
def test_a_sealer_that_another_overtakes_between_its_looks_does_not_fork(
    tmp_path: Path, key: SealKey, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    one, other = Chain(Place(str(tmp_path))), Chain(Place(str(tmp_path)))
    if not is_first:
        one.append(seal_rows("t", 1, _rows((0, 1))), key)
    chain_link = other._link

    def race(seal, sequence):
        monkeypatch.setattr(other, "_link", chain_link)
        linked = chain_link(seal, sequence)
        one.append(seal_rows("t", 2, _rows((0, 2))), key)
        other.read_length()
        return linked

    monkeypatch.setattr(other, "_link", race)
    assert other.append(seal_rows("u", 1, _rows((0, 1))), key) is not None
    sequences = [read_seal(text).sequence for text in _chain_of(tmp_path)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) == (2 if is_first else 3)


def test_a_seal_is_signed_by_a_key_that_its_owner_alone_reads(tmp_path: Path, key: SealKey) -> None:
    stored = Chain(Place(str(tmp_path))).append(seal_rows("t", 1, _rows((0, 1))), key)
    assert stored is not None
    assert is_signed(stored.hash, signature=stored.signature, public=key.public)
    assert not is_signed("0" * 64, signature=stored.signature, public=key.public)
    assert not is_signed(stored.hash, signature=stored.signature, public="00")
    file = tmp_path / "keys" / "seal.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_key(file).public == key.public
    assert [each.name for each in file.parent.iterdir()] == ["seal.key"]


@pytest.mark.parametrize(("mode", "text", "error"), [(0o644, None, "its owner alone"), (0o600, "x", "found something")])
def test_a_key_that_others_may_read_or_that_is_none_is_refused(
    tmp_path: Path, mode: int, text: str | None, error: str
) -> None:
    load_key(file := tmp_path / "seal.key")
    file.chmod(mode)
    if text is not None:
        file.write_text(text)
    with pytest.raises(Refused, match=error):
        load_key(file)
