"""Uploads as folders that processes share: one that works on an upload is alive, or the upload has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weir.infra.uploads.folders import UploadFolders
from weir.infra.uploads.job import ABANDONED

NOW_MS = 1_767_268_800_000
HOUR_MS = 3_600_000
_WORKER = """
import sys
from pathlib import Path
from weir.infra.uploads.folders import UploadFolders
held = UploadFolders(Path(sys.argv[1])).create("csv", 1)
held.events.write_bytes(b"an event")
held.result.write_bytes(b"half of the res")
held.save(held.job.start(2).know_total(9).count(4, 0))
print(held.job.id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folders(tmp_path: Path) -> UploadFolders:
    return UploadFolders(tmp_path / "uploads" / "transactions")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _WORKER, str(tmp_path / "uploads" / "transactions")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def read_id(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def test_another_process_sees_the_work_and_that_it_fails_when_its_process_is_killed(
    folders: UploadFolders, worker: subprocess.Popen[str], tmp_path: Path
) -> None:
    upload_id = read_id(worker)
    seen = folders.find(upload_id, NOW_MS)
    assert seen is not None
    assert (seen.state, seen.rows, seen.rows_total) == ("running", 4, 9)
    worker.kill()
    worker.wait()
    found = folders.find(upload_id, NOW_MS)
    assert found is not None
    assert (found.state, found.problem, found.finished_ms) == ("failed", ABANDONED, NOW_MS)
    assert folders.list_all(NOW_MS + 1) == [found]
    left = tmp_path / "uploads" / "transactions" / upload_id
    assert sorted(path.name for path in left.iterdir()) == ["job.json", "lock"]


def test_another_process_deletes_it_and_the_worker_finds_it_gone(folders: UploadFolders) -> None:
    with folders.create("csv", NOW_MS) as held:
        assert not held.is_forgotten
        assert UploadFolders(held.folder.parent).delete(held.job.id)
        assert held.is_forgotten
        held.save(held.job.start(NOW_MS))  # and writes nothing
        assert list(held.folder.parent.iterdir()) == []
    assert not folders.delete(held.job.id)


def test_what_has_not_ended_never_expires(folders: UploadFolders) -> None:
    with folders.create("csv", NOW_MS) as held:
        folders.expire(NOW_MS + 1_000 * HOUR_MS, HOUR_MS)
        assert [job.id for job in folders.list_all(NOW_MS)] == [held.job.id]


def test_a_folder_that_a_process_left_half_made_or_half_deleted_is_deleted_after_an_hour(
    folders: UploadFolders, tmp_path: Path
) -> None:
    left = tmp_path / "uploads" / "transactions" / ".0123"
    left.mkdir(parents=True)
    (left / "events.csv").write_bytes(b"an event")
    os.utime(left, (NOW_MS / 1_000, NOW_MS / 1_000))
    folders.expire(NOW_MS + HOUR_MS, HOUR_MS)
    assert left.exists()
    folders.expire(NOW_MS + HOUR_MS + 1, HOUR_MS)
    assert not left.exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"id": "x"}'])
def test_one_that_a_power_cut_left_empty_is_deleted_and_the_others_are_listed(
    folders: UploadFolders, text: bytes
) -> None:
    held, other = folders.create("csv", NOW_MS), folders.create("csv", NOW_MS)
    held.close()
    (held.folder / "job.json").write_bytes(text)
    assert [job.id for job in folders.list_all(NOW_MS)] == [other.job.id]
    assert not held.folder.exists()
    other.close()


def test_its_owner_alone_reads_it(folders: UploadFolders) -> None:
    with folders.create("csv", NOW_MS) as held:
        assert {path.stat().st_mode & 0o077 for path in (held.folder, held.folder.parent)} == {0}


@pytest.mark.parametrize("written", ["", ".", "..", "../x", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_an_id_that_is_none_names_nothing(folders: UploadFolders, written: str) -> None:
    assert folders.find(written, NOW_MS) is None
    assert not folders.delete(written)
