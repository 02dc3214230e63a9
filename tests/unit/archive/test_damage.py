"""A table that is damaged, of another version or of another cluster: one clear error that names the fix."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.archive.test_rows import RECORD
from tests.unit.archive.test_table import Topic, add, reopen
from weir.archive.joining import join_day
from weir.archive.place import Place
from weir.archive.reader import TableReader
from weir.archive.table import find_table, open_table
from weir.schemas.errors import Damaged, Refused
from weir.streaming.stage import do_nothing

DAY = date(1970, 1, 1)
RESTORE = "put it back from a copy of the archive"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two files."""
    place = Place(str(tmp_path_factory.mktemp("archive"))).below("payments")
    table = reopen(place)
    table.begin([0])
    add(table, 0, 20)
    add(table, 20, 20)
    return Path(place.uri)


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "archive" / "payments"))


def _entry(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020d}.json"


def _data_file(folder: Path) -> Path:
    return min(folder.glob("day=*/*.parquet"))


def _replace_in_log(before: str, after: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = _entry(folder, 0).read_text()
        assert before in text
        _entry(folder, 0).write_text(text.replace(before, after))

    return change


def _overwrite(folder: Path) -> None:
    content = _data_file(folder).read_bytes()
    _data_file(folder).write_bytes(content[:200] + b"\xff" * 300 + content[500:])


def _cut(folder: Path) -> None:
    _data_file(folder).write_bytes(_data_file(folder).read_bytes()[:-50])


OPENINGS: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "an entry of the log is garbage": (lambda folder: _entry(folder, 1).write_text("garbage"), Damaged, RESTORE),
    "an entry of the log is gone": (lambda folder: _entry(folder, 1).unlink(), Damaged, RESTORE),
    "the first entry of the log is gone": (lambda folder: _entry(folder, 0).unlink(), Damaged, RESTORE),
    "a newer version of weir": (
        _replace_in_log('"weir.format":"1"', '"weir.format":"2"'),
        Refused,
        "expected format 1 or lower .* found 2: a newer version of weir wrote it, and that version reads it",
    ),
    "a format that is no number": (_replace_in_log('"weir.format":"1"', '"weir.format":"x"'), Refused, "found x"),
    "no table of an archive": (
        _replace_in_log("weir.format", "other.format"),
        Refused,
        "found one of something else; choose another root",
    ),
    "a newer Delta": (
        _replace_in_log('"minReaderVersion":1', '"minReaderVersion":99'),
        Refused,
        "a newer version of weir or of Delta wrote it",
    ),
}


@pytest.mark.parametrize("what", OPENINGS)
def test_a_table_that_cannot_be_opened_says_what_is_wrong_and_the_fix(folder: Path, what: str) -> None:
    damage, error, text = OPENINGS[what]
    damage(folder)
    with pytest.raises(error, match=text):
        find_table(Place(str(folder)))
    with pytest.raises(error, match=text):
        reopen(Place(str(folder)))


def test_a_table_of_another_cluster_is_refused_and_another_root_is_named(folder: Path) -> None:
    with pytest.raises(Refused, match="or of another cluster; archive into another root with --to"):
        open_table(Place(str(folder)), Topic(topic_id="of another cluster"), "payments", RECORD)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "gone": lambda folder: _data_file(folder).unlink(),
    "cut": _cut,
    "overwritten": _overwrite,
    "empty": lambda folder: _data_file(folder).write_bytes(b""),
}
READINGS: dict[str, Callable[[Place], Any]] = {
    "by id": lambda place: _reader(place).find("t"),
    "by key": lambda place: _reader(place).history(b"card-1"),
    "all": lambda place: list(_reader(place).scan(DAY, DAY)),
    "joining": lambda place: join_day(_table(place), DAY, do_nothing),
}


def _table(place: Place) -> Any:
    return find_table(place)


def _reader(place: Place) -> TableReader:
    return TableReader(_table(place))


@pytest.mark.parametrize("what", DAMAGES)
@pytest.mark.parametrize("how", READINGS)
def test_a_file_that_is_damaged_ends_what_reads_it_with_one_error_and_rows_are_archived_on(
    folder: Path, what: str, how: str
) -> None:
    place = Place(str(folder))
    DAMAGES[what](folder)
    with pytest.raises(
        Damaged, match=f"found one missing or damaged: .*; `weir evidence verify` names each; {RESTORE}"
    ):
        READINGS[how](place)
    table = reopen(place)
    assert table.begin([0]) == {0: 40}
    add(table, 40, 5)
    assert (reopen(place).begin([0]), table.batch) == ({0: 45}, 3)
