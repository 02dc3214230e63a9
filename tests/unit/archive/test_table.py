"""A table in a folder: rows exactly once whatever breaks, two writers, columns that are added, tables of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.unit.archive.test_rows import RECORD, build_maker, build_raw
from weir.archive.columns import FIXED, decoded_columns
from weir.archive.place import Place
from weir.archive.table import CHECKPOINT_COMMITS, ArchiveTable, Overtaken, open_table
from weir.schemas.errors import Refused, Transient
from weir.streaming.stage import do_nothing

STEPS = ("archive_checked", "archive_written", "archive_committed")


@dataclass(frozen=True)
class Topic:
    name: str = "payments"
    topic_id: str = "id-1"


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "archive")).below("payments")


def reopen(place: Place, record: pa.Schema = RECORD) -> ArchiveTable:
    return open_table(place, Topic(), "payments", record)


def rows_of(first: int, count: int, partition: int) -> list[pa.RecordBatch]:
    raw = build_raw([b"t:%d" % number for number in range(first, first + count)], first=first)
    raw.partitions = [partition] * count
    return [build_maker().make(raw)]


def add(
    table: ArchiveTable, first: int, count: int, partition: int = 0, on_step: Callable[[str], None] = do_nothing
) -> None:
    table.append(rows_of(first, count, partition), {partition: first + count}, on_step)


def read(place: Place) -> list[dict[str, Any]]:
    return DeltaTable(place.uri).to_pyarrow_table().to_pylist()


def offsets(place: Place, partition: int = 0) -> list[int]:
    return sorted(row["offset"] for row in read(place) if row["partition"] == partition)


def test_rows_and_the_position_behind_them_come_with_one_commit(place: Place) -> None:
    table = reopen(place)
    assert table.begin([0, 1]) == {0: None, 1: None}
    add(table, 0, 5)
    add(table, 5, 3)
    again = reopen(place)
    assert again.begin([0, 1]) == {0: 8, 1: None}
    assert (again.batch, offsets(place)) == (2, list(range(8)))
    assert {row["offset"]: row["batch"] for row in read(place)}[5] == 2


def test_a_root_may_be_relative_and_have_any_name_and_its_tables_are_their_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place("my archive, 100%/ü").below("payments")
    table = reopen(place)
    table.begin([0])
    add(table, 0, 5)
    assert offsets(place) == list(range(5))
    assert (tmp_path / place.uri).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_ends_at_any_step_leaves_each_row_once(place: Place, step: str) -> None:
    def end(name: str) -> None:
        if name == step:
            raise Killed

    first = reopen(place)
    first.begin([0])
    with pytest.raises(Killed):
        add(first, 0, 5, on_step=end)
    heir = reopen(place)
    start = heir.begin([0])[0] or 0
    assert start == (5 if step == "archive_committed" else 0)
    add(heir, start, 10 - start)
    assert offsets(place) == list(range(10))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_up_before_it_is_made_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    table = reopen(place)
    table.begin([0])
    commit = DeltaTable.create_write_transaction

    def lose(*arguments: Any, **named: Any) -> None:
        if is_there:
            commit(*arguments, **named)
        monkeypatch.undo()
        raise OSError("connection reset")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", lose)
    with pytest.raises(Transient, match="connection reset"):
        add(table, 0, 5)
    add(table, 0, 5)
    add(table, 5, 5)
    assert (offsets(place), table.batch) == (list(range(10)), 2)
    assert len([*Path(place.uri).rglob("*.parquet")]) == 2


def test_of_two_archivers_of_a_partition_one_stops_and_rows_are_there_once(place: Place) -> None:
    one, other = reopen(place), reopen(place)
    one.begin([0])
    other.begin([0])
    add(one, 0, 5)
    with pytest.raises(Overtaken, match="another archiver follows the same partition"):
        add(other, 0, 5)
    add(one, 5, 5)
    assert offsets(place) == list(range(10))
    assert len([*Path(place.uri).rglob("*.parquet")]) == 2


def test_archivers_of_different_partitions_share_a_table_and_its_batch_numbers(place: Place) -> None:
    one, other = reopen(place), reopen(place)
    one.begin([0])
    other.begin([1])
    for turn in range(3):
        add(one, turn * 5, 5, 0)
        add(other, turn * 5, 5, 1)
    assert offsets(place, 0) == offsets(place, 1) == list(range(15))
    batches = {(row["partition"], row["offset"] // 5): row["batch"] for row in read(place)}
    assert sorted(batches.values()) == [1, 2, 3, 4, 5, 6]


def test_a_new_declaration_adds_columns_and_rewrites_nothing(place: Place) -> None:
    table = reopen(place)
    table.begin([0])
    add(table, 0, 5)
    files = table.list_paths()
    wider = pa.schema([*RECORD, ("country", pa.string())])
    newer = reopen(place, wider)
    assert newer.list_paths() == files
    assert newer.schema().names[-1] == "country"
    table.look()
    add(table, 5, 5)  # an archiver of the older declaration continues
    assert [row["country"] for row in read(place)] == [None] * 10
    assert newer.columns(wider)["country"] == decoded_columns(wider)["country"]


def test_a_column_keeps_the_type_that_it_had_first(place: Place) -> None:
    reopen(place)
    changed = pa.schema([("transaction_id", pa.string()), ("amount_minor", pa.float64())])
    assert reopen(place, changed).columns(changed)["amount_minor"].type == pa.int64()


def test_the_table_of_a_topic_that_was_made_again_is_refused(place: Place) -> None:
    reopen(place)
    with pytest.raises(Refused, match="deleted and created again, or of another cluster"):
        open_table(place, Topic(topic_id="id-2"), "payments", RECORD)


def test_a_table_of_something_else_is_refused(place: Place) -> None:
    write_deltalake(place.uri, pa.table({"a": [1]}))
    with pytest.raises(Refused, match="expected a table of an archive"):
        reopen(place)


def test_a_table_of_a_newer_version_is_refused(place: Place) -> None:
    reopen(place).delta.alter.set_table_properties({"weir.format": "2"}, raise_if_not_exists=False)
    with pytest.raises(Refused, match="a newer version of weir wrote it"):
        reopen(place)


def test_positions_outlive_a_checkpoint_of_the_log(place: Place) -> None:
    table = reopen(place)
    table.begin([0])
    for turn in range(5):
        add(table, turn, 1)
    table.delta.create_checkpoint()
    for entry in (Path(place.uri) / "_delta_log").glob("*.json"):
        if int(entry.stem) < table.delta.version():
            entry.unlink()
    assert reopen(place).begin([0]) == {0: 5}


def test_the_log_of_a_table_gets_a_checkpoint_each_few_commits(place: Place) -> None:
    table = reopen(place)
    table.begin([0])
    for turn in range(CHECKPOINT_COMMITS):
        add(table, turn, 1)
    assert (Path(place.uri) / "_delta_log" / "_last_checkpoint").exists()
    assert reopen(place).begin([0]) == {0: CHECKPOINT_COMMITS}


def test_a_table_of_an_older_release_gets_our_new_columns_and_its_rows_have_null_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("weir.archive.table.FIXED", pa.schema([each for each in FIXED if each.name != "undecoded"]))
        table = reopen(place)
        table.begin([0])
        add(table, 0, 5)
        assert "undecoded" not in table.schema().names
    again = reopen(place)
    assert again.begin([0]) == {0: 5}
    again.append([build_maker().make(build_raw([b"garbage"], first=5))], {0: 6}, do_nothing)
    assert [row["offset"] for row in sorted(read(place), key=lambda row: row["offset"])] == list(range(6))
    assert all(row["undecoded"] is None for row in read(place))
