"""A process that erases, or removes old days, is ended after each numbered step; the next one finishes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.archive import test_erasing, test_forgetting
from tests.unit.archive.step_child import KEEP_DAYS, KILLED, open_tables, work
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.findings import NOT_ERASED, NOT_REMOVED
from weir.archive.seals.verify import Verified, verify
from weir.streaming.stage import do_nothing

ROOT = Path(__file__).parents[3]
Row = dict[str, Any]


def _kill(folder: Path, what: str, step: str, number: int) -> None:
    command = [sys.executable, "-m", "tests.unit.archive.step_child", str(folder), what, step, str(number)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == KILLED, done.stderr[-2_000:]


def _verify(folder: Path) -> Verified:
    root = Place(str(folder / "archive"))
    return verify(Chain(root), {table.topic: table for table in open_tables(root)}, Objects(root))


def _read(folder: Path) -> dict[tuple[str, int, int], Row]:
    """Return every row, by table, partition and offset."""
    return {
        (table.topic, row["partition"], row["offset"]): row
        for table in open_tables(Place(str(folder / "archive")))
        for row in table.delta.to_pyarrow_table().to_pylist()
    }


@pytest.mark.parametrize(
    ("step", "number"),
    [("erase_recorded", 1), ("erase_emptied", 1), ("erase_deleted", 1), ("erase_recorded", 2), ("erase_emptied", 2)],
)
def test_an_erasure_that_was_killed_is_finished_by_the_next(tmp_path: Path, step: str, number: int) -> None:
    test_erasing.Archive(tmp_path)
    before = _read(tmp_path)
    _kill(tmp_path, "erase", step, number)
    unfinished = {NOT_ERASED} if step == "erase_recorded" else set()
    assert {finding.kind for finding in _verify(tmp_path).findings} == unfinished
    length = Chain(Place(str(tmp_path / "archive"))).read_length()
    assert length == 3 * 2 + number, "what is killed after a record leaves it"
    work(tmp_path, "erase", do_nothing)
    verified = _verify(tmp_path)
    assert verified.findings == []
    wanted = test_erasing.WANTED.encode()
    held = {place for place, row in before.items() if wanted in row["value"]}
    assert sum(table.erased for table in verified.tables.values()) == len(held) == 12
    after = _read(tmp_path)
    assert after.keys() == before.keys()
    for place, row in after.items():
        if place in held:
            assert (row["value"], row["key"], row["salt"], row["leaf"]) == (None, None, None, before[place]["leaf"])
        else:
            assert row == before[place]
    assert [path for path in (tmp_path / "archive").rglob("*") if path.is_file() and wanted in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("step", "number"), [("retention_recorded", 1), ("retention_removed", 1), ("retention_removed", 2)]
)
def test_a_removal_of_old_days_that_was_killed_is_finished_by_the_next(tmp_path: Path, step: str, number: int) -> None:
    archive = test_forgetting.Archive(tmp_path)
    before = _read(tmp_path)
    _kill(tmp_path, "retention", step, number)
    unfinished = set() if (step, number) == ("retention_removed", 2) else {NOT_REMOVED}
    assert {finding.kind for finding in _verify(tmp_path).findings} == unfinished
    work(tmp_path, "retention", do_nothing)
    verified = _verify(tmp_path)
    assert (verified.findings, verified.tables["payments"].forgotten) == ([], 20)
    kept = test_forgetting.offsets_of(2, 3, 4)
    assert _read(tmp_path) == {place: row for place, row in before.items() if place[2] in kept}
    seals = Chain(archive.root).read_length()
    work(tmp_path, "retention", do_nothing)
    assert Chain(archive.root).read_length() == seals, f"nothing is left of what {KEEP_DAYS} day keeps"
