"""Joined files hold the rows that were there, in order, when others commit too, and whatever breaks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.unit.archive.test_rows import DAY_MS, build_maker, build_raw
from tests.unit.archive.test_table import Killed, Topic, add, offsets, read, reopen
from weir.archive import joining
from weir.archive.columns import BUCKETS
from weir.archive.joining import find_days, join_day, sweep
from weir.archive.place import Place
from weir.archive.reader import TableReader
from weir.archive.table import ArchiveTable, open_table
from weir.streaming.stage import do_nothing

DAY = date(1970, 1, 1)
CLOSED = datetime(1970, 1, 2, 1, 0, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "archive")).below("payments")


@pytest.fixture
def table(place: Place) -> ArchiveTable:
    """Ten files of one day."""
    table = reopen(place)
    table.begin([0, 1])
    for turn in range(10):
        add(table, 20 * turn, 20)
    return table


def content(place: Place) -> list[dict[str, Any]]:
    return sorted(read(place), key=lambda row: (row["partition"], row["offset"]))


def test_a_closed_day_becomes_one_file_with_the_same_rows(table: ArchiveTable, place: Place) -> None:
    before = content(place)
    assert find_days(table, CLOSED - timedelta(seconds=1)) == []
    assert find_days(table, CLOSED - timedelta(seconds=1), open_too=True) == [DAY]
    assert find_days(table, CLOSED) == [DAY]
    done = join_day(table, DAY, do_nothing)
    assert (done.files, done.joined, done.rows, done.is_done) == (10, 1, 200, True)
    assert content(place) == before
    assert find_days(table, CLOSED) == []
    assert reopen(place).begin([0]) == {0: 200}
    assert table.batch == 10


def test_a_large_day_becomes_files_of_their_own_ranges_of_buckets(
    table: ArchiveTable, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(place)
    monkeypatch.setattr(joining, "FILE_ROWS", 50)
    done = join_day(table, DAY, do_nothing)
    assert 1 < done.joined <= BUCKETS
    assert content(place) == before
    files = pa.table(table.delta.get_add_actions(flatten=True)).to_pylist()
    ranges = sorted((each["min.bucket"], each["max.bucket"]) for each in files)
    assert all(one[1] < next_one[0] for one, next_one in pairwise(ranges))
    for each in files:
        rows = pq.read_table(
            Path(place.uri) / each["path"], columns=["bucket", "key", "partition", "offset"]
        ).to_pylist()
        places = [(row["bucket"], row["key"] or b"\xff", row["partition"], row["offset"]) for row in rows]
        assert places == sorted(places)


def test_files_that_are_large_are_left_and_of_many_rows_some_are_joined_at_once(
    table: ArchiveTable, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(place)
    monkeypatch.setattr(joining, "FILE_ROWS", 40)
    monkeypatch.setattr(joining, "MADE_MAX", 1)
    add(table, 200, 10)
    assert find_days(table, CLOSED) == []  # 20 rows are half of a large file
    monkeypatch.setattr(joining, "FILE_ROWS", 60)
    done = join_day(table, DAY, do_nothing)
    assert (done.files, done.joined, done.rows) == (3, 1, 60)
    rows = [join_day(table, day, do_nothing).rows for _ in range(9) for day in find_days(table, CLOSED)]
    assert max(rows) <= 60
    assert content(place)[:200] == before
    assert find_days(table, CLOSED) == []


def test_rows_that_come_meanwhile_are_kept(table: ArchiveTable, place: Place) -> None:
    other = reopen(place)
    other.begin([0])

    def archive_more(step: str) -> None:
        if step == "archive_joined":
            add(other, 200, 20)

    assert join_day(table, DAY, archive_more).is_done
    assert offsets(place) == list(range(220))
    add(other, 220, 20)
    assert offsets(place) == list(range(240))


def test_who_rewrote_a_file_meanwhile_is_not_undone(table: ArchiveTable, place: Place) -> None:
    def join_first(step: str) -> None:
        if step == "archive_joined":
            join_day(reopen(place), DAY, do_nothing)

    assert not join_day(table, DAY, join_first).is_done
    assert offsets(place) == list(range(200))
    assert len([*Path(place.uri).rglob("*.ids")]) == 11


@pytest.mark.parametrize("step", ["archive_joined", "archive_swapped"])
def test_a_job_that_ends_between_its_steps_loses_and_doubles_nothing(
    table: ArchiveTable, place: Place, step: str
) -> None:
    def end(name: str) -> None:
        if name == step:
            raise Killed

    before = content(place)
    with pytest.raises(Killed):
        join_day(table, DAY, end)
    assert content(place) == before
    again = reopen(place)
    for day in find_days(again, CLOSED):
        join_day(again, day, do_nothing)
    assert content(place) == before


def test_files_that_no_table_names_are_deleted_after_a_week_and_no_sooner(
    table: ArchiveTable, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    join_day(table, DAY, do_nothing)
    folder = Path(place.uri)
    orphan = folder / "day=1970-01-01" / "0000000099-orphan.parquet"
    orphan.write_bytes(b"left by a process that was killed")
    assert sweep(table) == 0
    assert len(_data_files(folder)) == 12
    monkeypatch.setattr(joining, "KEPT_HOURS", 0)
    table.delta.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 seconds"})
    assert sweep(reopen(place)) == 11
    assert len(_data_files(folder)) == len([*folder.rglob("*.ids")]) == 1
    assert offsets(place) == list(range(200))


def _data_files(folder: Path) -> list[Path]:
    return [*folder.glob("day=*/*.parquet")]


@pytest.mark.parametrize("is_joined", [False, True])
def test_an_id_a_key_and_a_day_are_found_before_and_after(
    table: ArchiveTable, place: Place, *, is_joined: bool
) -> None:
    raw = build_raw([b"special:1", b"t:1"], first=200, append_ms=3 * DAY_MS)
    table.append([build_maker().make(raw)], {0: 201, 1: 202}, do_nothing)
    if is_joined:
        join_day(table, DAY, do_nothing)
    reader = TableReader(reopen(place))
    (found,) = reader.find("special")
    assert (found["offset"], found["day"], found["amount_minor"]) == (200, date(1970, 1, 4), 1)
    assert reader.find("none") == []
    rows = content(place)
    own = [row for row in rows if row["key"] == b"card-1"]
    assert reader.history(b"card-1").num_rows == len(own) > 0
    assert reader.history(b"card-1", end_ms=3 * DAY_MS, columns=["offset"])["offset"].to_pylist() == [
        row["offset"]
        for row in sorted(own, key=lambda row: (row["append_ms"], row["partition"], row["offset"]))
        if row["append_ms"] < DAY_MS
    ]
    assert reader.history(b"nobody").num_rows == 0
    assert sum(map(len, reader.scan(DAY, DAY))) == 200
    assert sum(map(len, reader.scan(date(1970, 1, 2), date(1970, 1, 9), ["offset"]))) == 2


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"short")])
def test_an_index_that_is_gone_or_damaged_costs_time_and_nothing_else(
    table: ArchiveTable, place: Place, damage: Any
) -> None:
    raw = build_raw([b"special:1"], first=200)
    table.append([build_maker().make(raw)], {0: 201}, do_nothing)
    for index in Path(place.uri).rglob("*.ids"):
        damage(index)
    assert [row["offset"] for row in TableReader(reopen(place)).find("special")] == [200]


def test_a_reader_sees_what_came_since_when_it_looks(table: ArchiveTable, place: Place) -> None:
    reader = TableReader(open_table(place, Topic(), "payments", pa.schema([])))
    assert reader.find("late") == []
    table.append([build_maker().make(build_raw([b"late:1"], first=200))], {0: 201}, do_nothing)
    assert reader.find("late") == []
    reader.look()
    assert len(reader.find("late")) == 1


def test_delta_readers_see_the_same_table_without_us(table: ArchiveTable, place: Place) -> None:
    join_day(table, DAY, do_nothing)
    assert DeltaTable(place.uri).to_pyarrow_table(filters=[("day", "=", DAY)]).num_rows == 200
