"""Verification: every alteration that is planted is found and named, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.archive.tables import SCHEMA, T0_MS, append, build_row, open_plain
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.seals.chain import FOLDER, Chain
from weir.archive.seals.check_chain import check_chain
from weir.archive.seals.check_rows import SOURCES
from weir.archive.seals.key import SealKey, load_key
from weir.archive.seals.runs import Runs
from weir.archive.seals.seal import hash_text, seal_erasure
from weir.archive.seals.sealing import seal_new
from weir.archive.seals.verify import Verified, verify
from weir.archive.tree import leaf, row_bytes

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SealKey:
    return load_key(tmp_path_factory.mktemp("keys") / "seal.key")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, key: SealKey) -> Path:
    """An archive of two tables, three batches each, with holes in the offsets."""
    root = tmp_path_factory.mktemp("archive")
    for batch in (1, 2, 3):
        for topic in ("a", "b"):
            rows = [build_row(topic, p, 10 * batch + o, batch=batch) for p in (0, 1) for o in (0, 1, 2, 5)]
            seal_new(Chain(Place(str(root))), key, name=topic, table=append(root, topic, rows))
    return root


@pytest.fixture
def archive(sealed: Path, tmp_path: Path) -> Path:
    shutil.copytree(sealed, tmp_path / "archive")
    return tmp_path / "archive"


def _verify(root: Path, **how: Any) -> Verified:
    tables = {name: open_plain(root, name) for name in ("a", "b") if (root / name).exists()}
    return verify(Chain(Place(str(root))), tables, Objects(Place(str(root))), **how)


def _found(root: Path, **how: Any) -> list[tuple[str, str]]:
    return [(finding.where, finding.kind) for finding in _verify(root, **how).findings]


def _rewrite(root: Path, change: Callable[[Rows], Rows]) -> None:
    """Write table ``a`` again with other rows, as one who has the files would."""
    rows = DeltaTable(str(root / "a")).to_pyarrow_table().sort_by([("partition", "ascending"), ("offset", "ascending")])
    written = pa.Table.from_pylist(change(rows.to_pylist()), schema=SCHEMA)
    write_deltalake(str(root / "a"), written, mode="overwrite")


def _edit(**changed: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [row | changed if (row["partition"], row["offset"]) == (1, 21) else row for row in rows]


def _edit_seal(root: Path, sequence: int, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    folder = str(root / FOLDER)
    table = DeltaTable(folder).to_pyarrow_table().sort_by("sequence")
    rows = [change(row) if row["sequence"] == sequence else row for row in table.to_pylist()]
    shutil.rmtree(folder)
    write_deltalake(folder, pa.Table.from_pylist([row for row in rows if row is not None], schema=table.schema))


def test_an_archive_that_nobody_altered_has_no_finding(archive: Path, key: SealKey) -> None:
    verified = _verify(archive, public_keys=[key.public])
    assert verified.findings == []
    assert (verified.seals, {name: each.rows for name, each in verified.tables.items()}) == (6, {"a": 24, "b": 24})


def test_files_that_were_joined_break_no_seal(archive: Path) -> None:
    DeltaTable(str(archive / "a")).optimize.compact()
    assert len(DeltaTable(str(archive / "a")).file_uris()) == 1
    assert _found(archive) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"key": b"card-000002"},
        {"key": None},
        {"value": b"another value"},
        {"value": None},
        {"headers": []},
        {"headers": [{"name": "h", "value": b"22"}]},
        {"headers": None},
        {"append_ms": T0_MS},
        {"salt": bytes(16)},
        {"salt": b"short"},
        {"leaf": bytes(32)},
        {"leaf": None},
        {"batch": 1},
        {"batch": None},
        {"append_ms": None},
    ],
)
def test_a_row_of_which_one_column_was_changed_is_named(archive: Path, changed: dict[str, Any]) -> None:
    _rewrite(archive, _edit(**changed))
    assert _found(archive) == [("a[1]@21", "changed")]


def test_one_byte_of_any_row_is_found(archive: Path) -> None:
    for place in range(24):
        shutil.copytree(archive, work := archive.with_name(f"at{place}"))

        def bend(rows: Rows, place: int = place) -> Rows:
            value = bytearray(rows[place]["value"])
            value[place % len(value)] ^= 1
            return [row | {"value": bytes(value)} if at == place else row for at, row in enumerate(rows)]

        _rewrite(work, bend)
        partition, batch, step = place // 12, place % 12 // 4 + 1, (0, 1, 2, 5)[place % 4]
        assert _found(work) == [(f"a[{partition}]@{10 * batch + step}", "changed")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_that_was_turned_in_a_file_is_found_wherever_a_reader_would_see_it(
    archive: Path, at: float, bit: int
) -> None:
    """Some bits of a file say nothing of its rows: of those a reader sees none."""
    file = min((archive / "a").rglob("*.parquet"))
    before, content = _read_file(file), file.read_bytes()
    turned = bytearray(content)
    turned[int(at * len(turned))] ^= 1 << bit
    try:
        file.write_bytes(turned)
        after, found = _read_file(file), _found(archive)
    finally:
        file.write_bytes(content)
    assert bool(found) == (after != before), found


def _read_file(file: Path) -> Rows | None:
    try:
        batches = pq.ParquetFile(file).iter_batches(columns=[*SOURCES])
        return [row for batch in batches for row in batch.select(SOURCES).to_pylist()]
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None


def test_a_row_that_was_removed_is_named(archive: Path) -> None:
    _rewrite(archive, lambda rows: [row for row in rows if (row["partition"], row["offset"]) != (0, 12)])
    assert _found(archive) == [("a[0]@12", "removed")]


def test_a_row_that_was_added_is_named(archive: Path) -> None:
    _rewrite(archive, lambda rows: [*rows, build_row("a", 0, 13, batch=1)])
    assert _found(archive) == [("a[0]@13", "added")]


def test_a_row_that_is_there_twice_is_named(archive: Path) -> None:
    _rewrite(archive, lambda rows: [*rows, rows[3]])
    assert _found(archive) == [("a[0]@15", "twice")]


def test_a_row_of_another_place_is_named_at_both(archive: Path) -> None:
    _rewrite(archive, _edit(offset=23))
    assert sorted(_found(archive)) == [("a[1]@21", "removed"), ("a[1]@23", "added"), ("a[1]@23", "changed")]


def test_a_row_that_was_replaced_with_its_leaf_is_found_in_its_seal(archive: Path) -> None:
    value = b"another value"
    headers = [("h", b"21")]
    replaced = leaf(b"s" * 16, row_bytes("a", 1, 21, T0_MS + 21, b"card-000001", value, headers))
    _rewrite(archive, _edit(value=value, salt=b"s" * 16, leaf=replaced))
    assert _found(archive) == [("a in seal 3", "replaced")]


def test_a_table_that_is_gone_misses_all_its_rows(archive: Path) -> None:
    shutil.rmtree(archive / "b")
    assert {kind for _, kind in _found(archive)} == {"removed"}
    assert len(_found(archive)) == 24


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_that_is_gone_or_damaged_is_named_and_its_rows_too(archive: Path, is_there: bool) -> None:
    file = min((archive / "b").rglob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.unlink()
    if is_there:
        file.write_bytes(content[: len(content) // 2])
    found = _found(archive)
    assert found[0] == (f"b/{file.relative_to(archive / 'b')}", "unreadable")
    assert len([kind for _, kind in found if kind == "removed"]) == 8
    assert len(found) == 9


def test_rows_without_a_seal_yet_are_counted_and_no_finding(archive: Path) -> None:
    append(archive, "a", [build_row("a", 0, 40, batch=4)])
    verified = _verify(archive)
    assert verified.findings == []
    assert verified.tables["a"].unsealed == 1


def _with_root(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"seal": json.dumps({**json.loads(row["seal"]), "root": "00"}, sort_keys=True, separators=(",", ":"))}


@pytest.mark.parametrize("sequence", [1, 3, 6])
def test_a_seal_that_was_altered_is_named(archive: Path, sequence: int) -> None:
    _edit_seal(archive, sequence, _with_root)
    verified = _verify(archive)
    assert [str(finding) for finding in verified.chain] == [
        f"seal {sequence}: seal altered: its text is not the one that was sealed"
    ]


@pytest.mark.parametrize("sequence", [1, 3, 6])
def test_a_seal_that_was_altered_with_its_hash_is_named(archive: Path, sequence: int) -> None:
    _edit_seal(archive, sequence, lambda row: (new := _with_root(row)) | {"hash": hash_text(new["seal"])})
    where = {finding.where for finding in _verify(archive).chain}
    assert where == {f"seal {sequence}"}


def test_a_seal_that_another_key_signed_is_named(archive: Path, key: SealKey, tmp_path: Path) -> None:
    other = load_key(tmp_path / "other.key")

    def sign(row: dict[str, Any]) -> dict[str, Any]:
        new = _with_root(row)
        digest = hash_text(new["seal"])
        return new | {"hash": digest, "signature": other.sign(digest), "public_key": other.public}

    _edit_seal(archive, 6, sign)
    assert [(each.where, each.kind) for each in _verify(archive, public_keys=[key.public]).chain] == [
        ("seal 6", "key unknown")
    ]


def test_a_seal_that_was_taken_out_is_named(archive: Path) -> None:
    _edit_seal(archive, 4, lambda _: None)
    assert _verify(archive).chain[0] == replace(_verify(archive).chain[0], where="seal 4", kind="seal missing")


def test_a_chain_that_lost_its_end_is_found_by_the_hash_that_was_kept(archive: Path) -> None:
    head = _verify(archive).head
    assert head is not None
    assert _found(archive, expect=head.hash) == []
    _edit_seal(archive, 6, lambda _: None)
    assert (f"hash {head.hash}", "head missing") in _found(archive, expect=head.hash)


def test_a_text_in_the_place_of_a_seal_is_named(archive: Path) -> None:
    _edit_seal(archive, 2, lambda row: row | {"seal": "{}"})
    assert {finding.where for finding in check_chain(Chain(Place(str(archive))).read()).findings} == {"seal 2"}


def test_since_a_time_only_later_rows_are_read(archive: Path) -> None:
    _rewrite(archive, lambda rows: [row for row in rows if row["offset"] not in {12, 31}])
    assert _found(archive, since_ms=T0_MS + 30) == [("a[0]@31", "removed"), ("a[1]@31", "removed")]
    assert _verify(archive, since_ms=T0_MS + 30).tables["b"].rows == 8
    assert _found(archive, since_ms=T0_MS + 1_000) == []


EMPTY = {"key": None, "value": None, "headers": None, "salt": None, "id": None, "id_hash": None, "card_id": None}


def test_an_erased_row_answers_erased_and_not_changed(archive: Path, key: SealKey) -> None:
    Chain(Place(str(archive))).append(seal_erasure("a", Runs({1: ((21, 1),)}), at_ms=T0_MS, why="asked for"), key)
    _rewrite(archive, _edit(**EMPTY))
    verified = _verify(archive)
    assert verified.findings == []
    assert verified.tables["a"].erased == 1


def test_a_row_that_is_empty_without_a_record_of_its_erasure_is_named(archive: Path) -> None:
    _rewrite(archive, _edit(**EMPTY))
    assert _found(archive) == [("a[1]@21", "erased without a record")]


def test_a_row_whose_erasure_was_not_finished_is_named(archive: Path, key: SealKey) -> None:
    Chain(Place(str(archive))).append(seal_erasure("a", Runs({1: ((21, 1),)}), at_ms=T0_MS, why="asked for"), key)
    assert _found(archive) == [("a[1]@21", "not erased")]


def test_an_erased_row_whose_leaf_was_changed_is_found_in_its_seal(archive: Path, key: SealKey) -> None:
    Chain(Place(str(archive))).append(seal_erasure("a", Runs({1: ((21, 1),)}), at_ms=T0_MS, why="asked for"), key)
    _rewrite(archive, _edit(**EMPTY, leaf=bytes(32)))
    assert _found(archive) == [("a in seal 3", "replaced")]
