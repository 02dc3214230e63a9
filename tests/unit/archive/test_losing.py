"""Files that are gone or damaged and have no copy: dropped with a record in the chain, and the table continues."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weir.cli
from tests.unit.archive.test_rows import RECORD
from tests.unit.archive.test_table import Killed, Topic, add
from weir.archive import losing
from weir.archive.drop_cli import run_drop
from weir.archive.joining import swap_files
from weir.archive.losing import drop_lost, find_lost, find_unsigned
from weir.archive.place import Place
from weir.archive.reader import open_reader
from weir.archive.run import Followed
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import key_path, load_key
from weir.archive.seals.seal import LOSS, read_seal
from weir.archive.seals.sealing import seal_new
from weir.archive.table import ArchiveTable, open_table
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, Refused, Transient

COMMITS, ROWS = 9, 10
DAMAGED = range(2, 8)
"""Batches; more than are read at once when they are sealed."""


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive that was sealed, with a file of feature rows gone and one of decisions cut."""
    home = Path(shutil.copytree(built, tmp_path / "home"))
    monkeypatch.setenv("WEIR_HOME", str(home))
    min((home / "archive" / "features").glob("day=*/*.parquet")).unlink()
    cut = max((home / "archive" / "decisions").glob("day=*/*.parquet"))
    cut.write_bytes(cut.read_bytes()[:-100])
    return home


def _rows(home: Path, topic: str) -> int:
    return int(open_reader(Place(str(home / "archive")), topic).files["num_records"].to_numpy().sum())


def _verify(capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    capsys.readouterr()
    code = weir.cli.main(["evidence", "verify", "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("home")
def test_what_is_damaged_is_shown_and_nothing_is_changed_without_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert weir.cli.main(["archive", "drop-damaged"]) == 1
    said = capsys.readouterr().out
    assert "nothing was changed" in said
    assert said.count(".parquet") == 2
    assert weir.cli.main(["archive", "drop-damaged", "--apply"]) == 2
    assert "expected --why with the reason" in capsys.readouterr().err
    code, document = _verify(capsys)
    assert code == 1
    assert sorted({each["kind"] for each in document["findings"]}) == ["removed", "unreadable"]


def test_what_is_dropped_is_recorded_and_everything_else_is_proved_and_read(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {topic: _rows(home, topic) for topic in ("features", "decisions")}
    _, broken = _verify(capsys)
    removed = sum(each["kind"] == "removed" for each in broken["findings"])
    assert weir.cli.main(["archive", "drop-damaged", "--apply", "--why", "a disk broke"]) == 0
    code, document = _verify(capsys)
    assert (code, document["findings"]) == (0, [])
    lost = {topic: before[topic] - _rows(home, topic) for topic in before}
    assert {topic: document["tables"][topic]["lost_as_recorded"] for topic in before} == lost
    assert min(lost.values()) > 0
    assert sum(lost.values()) == removed
    seals = [read_seal(each.text) for each in Chain(Place(str(home / "archive"))).read()]
    assert [(seal.table, seal.why, seal.runs.count) for seal in seals if seal.kind == LOSS] == [
        (topic, "a disk broke", lost[topic]) for topic in ("features", "decisions")
    ]
    first = open_reader(Place(str(home / "archive")), "decisions").find_at(0)["id"][0].as_py()
    assert weir.cli.main(["evidence", first]) in {0, 1}, "its feature row may be lost, and it is answered for"
    assert weir.cli.main(["archive", "drop-damaged"]) == 0


@pytest.mark.usefixtures("home")
def test_a_row_that_is_changed_is_still_named_where_others_of_its_batch_are_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weir.cli.main(["archive", "drop-damaged", "--apply", "--why", "a disk broke"]) == 0
    monkeypatch.setattr("weir.archive.seals.check_rows._is_leaf", lambda *_: False)
    code, document = _verify(capsys)
    assert code == 1
    assert {each["kind"] for each in document["findings"]} == {"changed"}


@pytest.fixture
def table(tmp_path: Path) -> ArchiveTable:
    """A table whose first commit is sealed, and of which most files went before they were."""
    place = Place(str(tmp_path / "archive"))
    table = open_table(place.below("payments"), Topic(), "payments", RECORD)
    table.begin([0])
    add(table, 0, ROWS)
    seal_new(Chain(place), load_key(key_path(tmp_path)), name="payments", table=table)
    for turn in range(1, COMMITS):
        add(table, turn * ROWS, ROWS)
    for batch in DAMAGED:
        (path,) = Path(table.place.uri).glob(f"day=*/{batch:010d}-*.parquet")
        path.write_bytes(b"short")
    return table


def test_a_table_that_could_not_be_sealed_is_sealed_again(table: ArchiveTable, tmp_path: Path) -> None:
    chain, key = Chain(Place(str(tmp_path / "archive"))), load_key(key_path(tmp_path))
    with pytest.raises(Damaged), table.place.errors("sealed"):
        seal_new(chain, key, name="payments", table=table)
    lost = find_lost(table, chain)
    assert (lost.runs.count, lost.unsealed) == (0, len(DAMAGED) * ROWS)
    drop_lost(lost, chain=chain, key=key, at_ms=1, why="a disk broke")
    seal_new(chain, key, name="payments", table=table)
    seals = [read_seal(each.text) for each in chain.read()]
    assert [(seal.kind, seal.batch) for seal in seals] == [("rows", 1), ("loss", 0), ("rows", 8), ("rows", 9)]
    assert seals[1].why == f"a disk broke; {len(DAMAGED) * ROWS} more rows had no seal"
    assert not len(find_lost(table, chain).files)


def test_rows_that_somebody_removed_are_not_passed_off_as_lost(table: ArchiveTable, tmp_path: Path) -> None:
    chain, key = Chain(Place(str(tmp_path / "archive"))), load_key(key_path(tmp_path))
    drop_lost(find_lost(table, chain), chain=chain, key=key, at_ms=1, why="a disk broke")
    seal_new(chain, key, name="payments", table=table)
    files = {path.name[:10]: path for path in Path(table.place.uri).glob("day=*/*.parquet")}
    files[f"{COMMITS:010d}"].write_bytes(b"short")
    files[f"{1:010d}"].write_bytes(b"short")
    table.delta.delete(f"batch = {COMMITS - 1}")
    with pytest.raises(Refused, match=f"expected at most {2 * ROWS} rows to be missing, .* found {3 * ROWS}"):
        find_lost(table, chain)


def test_a_store_that_does_not_answer_is_no_loss(
    table: ArchiveTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(losing, "read_file", fail)
    with pytest.raises(Transient):
        find_lost(table, Chain(Place(str(tmp_path / "archive"))))


def _count_losses(chain: Chain) -> int:
    return sum(read_seal(each.text).kind == LOSS for each in chain.read())


def _rewrite(table: ArchiveTable, path: str) -> None:
    """As an erasure of another process does: the same rows in another file."""
    other = open_table(table.place, Topic(), "payments", RECORD)
    (day,) = {each["partition.day"] for each in other.list_files().to_pylist() if each["path"] == path}
    assert swap_files(other, day, [path], [])


def _put_back(table: ArchiveTable, path: str) -> None:
    whole = next(each for each in table.list_paths() if losing._is_whole(table, each))
    shutil.copyfile(Path(table.place.uri) / whole, Path(table.place.uri) / path)


@pytest.mark.parametrize("meanwhile", [_rewrite, _put_back])
def test_no_loss_is_signed_where_another_job_changed_the_files_meanwhile(
    table: ArchiveTable, tmp_path: Path, meanwhile: Callable[[ArchiveTable, str], None]
) -> None:
    chain, key = Chain(Place(str(tmp_path / "archive"))), load_key(key_path(tmp_path))
    lost = find_lost(table, chain)
    meanwhile(table, lost.files["path"].to_pylist()[0])
    with pytest.raises(Transient, match="the table changed; run it again"):
        drop_lost(lost, chain=chain, key=key, at_ms=1, why="a disk broke")
    assert _count_losses(chain) == 0


def test_files_that_could_not_be_taken_out_are_no_success(
    table: ArchiveTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = Chain(Place(str(tmp_path / "archive"))), load_key(key_path(tmp_path))
    monkeypatch.setattr(losing, "replace_files", lambda *_: False)
    with pytest.raises(Transient, match="the table changed; run it again"):
        drop_lost(find_lost(table, chain), chain=chain, key=key, at_ms=1, why="a disk broke")
    assert _count_losses(chain) == 0


def test_no_loss_is_signed_where_they_change_after_the_last_look(
    table: ArchiveTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = Chain(Place(str(tmp_path / "archive"))), load_key(key_path(tmp_path))
    lost, look = find_lost(table, chain), losing._check_still_lost

    def change(given: losing.Lost) -> None:
        look(given)
        _rewrite(table, given.files["path"].to_pylist()[-1])

    monkeypatch.setattr(losing, "_check_still_lost", change)
    with pytest.raises(Transient, match="the table changed; run it again"):
        drop_lost(lost, chain=chain, key=key, at_ms=1, why="a disk broke")
    assert _count_losses(chain) == 0
    assert not find_unsigned(table, chain)


def test_what_a_job_took_out_before_it_died_is_shown_and_signed_by_the_next_one(
    table: ArchiveTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, key = Chain(Place(str(tmp_path / "archive"))), load_key(key_path(tmp_path))
    (sealed,) = Path(table.place.uri).glob(f"day=*/{1:010d}-*.parquet")
    sealed.write_bytes(b"short")
    lost = find_lost(table, chain)
    with monkeypatch.context() as patch:
        patch.setattr(losing, "_sign", _die)
        with pytest.raises(Killed):
            drop_lost(lost, chain=chain, key=key, at_ms=1, why="a disk broke")
    again = open_table(table.place, Topic(), "payments", RECORD)
    assert _count_losses(chain) == 0
    home, root, followed = Settings(home=tmp_path), Place(str(tmp_path / "archive")), [Followed("payments", None, "x")]
    assert run_drop(home, root, followed, why="", apply=False) == 1
    said = capsys.readouterr().out
    assert "taken out and not recorded" in said
    assert "a disk broke" in said
    assert _count_losses(chain) == 0
    assert run_drop(home, root, followed, why="another reason", apply=True) == 0
    (seal,) = [seal for each in chain.read() if (seal := read_seal(each.text)).kind == LOSS]
    assert (seal.first_ms, seal.runs.count) == (1, ROWS)
    assert seal.why == f"a disk broke; {len(DAMAGED) * ROWS} more rows had no seal"
    assert seal.runs.to_data() == lost.runs.to_data()
    assert not find_unsigned(again, chain)
    assert not len(find_lost(again, chain).files)


def _die(*_: Any) -> None:
    raise Killed
