"""Uploads as folders under the home, which all processes of a host share; who works on one holds a lock in it.

    <home>/uploads/<stream>/<id>/job.json       what is known of it, replaced whole
                                 lock           locked by the process that works on it, from receipt to end
                                 events.<form>  the file, deleted when the work ends
                                 rows.arrow     its rows as they were read, likewise
                                 result.<form>  the answers

The kernel lets go of the lock of a process that dies, however it dies. So a job that has not ended and whose lock is
free was abandoned, and the process that reads it next writes that down: it fails, and is not ``running`` for ever. A
folder is made under a name that nobody looks at, and renamed into its place with the lock held; it is renamed to such
a name before it is deleted. So a folder that is there is whole.

Delivery: at most once. A file that was being scored when its process ended is not scored again.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from weir.infra.uploads.job import ABANDONED, Form, Job, read_job, write_job

ID = re.compile(r"[0-9a-f]{32}")
_HIDDEN = "."
_MODE = 0o700
_LEFT_MS = 3_600_000
"""A folder under such a name that is younger may be about to get its lock."""


@dataclass
class Held:
    """An upload that this process works on; ``close`` lets go of it."""

    folder: Path
    job: Job
    _lock: int

    @property
    def events(self) -> Path:
        """The file."""
        return self.folder / f"events.{self.job.form}"

    @property
    def rows(self) -> Path:
        """Its rows."""
        return self.folder / "rows.arrow"

    @property
    def result(self) -> Path:
        """The answers."""
        return _result_of(self.folder, self.job)

    @property
    def is_forgotten(self) -> bool:
        """Whether somebody deleted it."""
        return not (self.folder / "lock").exists()

    def save(self, job: Job) -> None:
        """Write what is known now.

        Of an upload that was deleted nothing is written. Where the disk is full, the last that was written stays, and
        an end that is not written is an upload that was abandoned.
        """
        self.job = job
        with suppress(OSError):
            _write(self.folder, job)

    def close(self) -> None:
        """Delete what only the work needs, and let go."""
        self.events.unlink(missing_ok=True)
        self.rows.unlink(missing_ok=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        """Work on it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self.close()


class UploadFolders:
    """The uploads of one stream."""

    def __init__(self, root: Path) -> None:
        """Bind to a folder, which need not be there."""
        self._root = root

    def create(self, form: Form, now_ms: int) -> Held:
        """Make an upload, which this process works on."""
        job = Job(secrets.token_hex(16), form, now_ms)
        self._root.mkdir(mode=_MODE, parents=True, exist_ok=True)
        made = self._root / f"{_HIDDEN}{job.id}"
        made.mkdir(mode=_MODE)
        lock = os.open(made / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(made, job)
        return Held(made.rename(self._root / job.id), job, lock)

    def find(self, upload_id: str, now_ms: int) -> Job | None:
        """Return what is known of an upload; None where there is none."""
        return _read(self._root / upload_id, now_ms) if ID.fullmatch(upload_id) else None

    def find_result(self, job: Job) -> Path:
        """Return where the answers of an upload that is done are."""
        return _result_of(self._root / job.id, job)

    def list_all(self, now_ms: int) -> list[Job]:
        """Return all uploads, the newest first."""
        jobs = (_read(folder, now_ms) for folder in self._folders())
        return sorted((job for job in jobs if job), key=lambda job: (job.created_ms, job.id), reverse=True)

    def delete(self, upload_id: str) -> bool:
        """Delete an upload; its process finds it gone and ends the work. False where there is none."""
        if not ID.fullmatch(upload_id):
            return False
        gone = self._root / f"{_HIDDEN}{upload_id}.{secrets.token_hex(4)}"
        try:
            (self._root / upload_id).rename(gone)
        except FileNotFoundError:
            return False
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def expire(self, now_ms: int, keep_ms: int) -> None:
        """Delete uploads that ended so long ago, and what a process left behind that died while it made or deleted."""
        for job in self.list_all(now_ms):
            expires_ms = job.expires_ms(keep_ms)
            if expires_ms is not None and expires_ms <= now_ms:
                self.delete(job.id)
        with suppress(FileNotFoundError):
            for folder in self._root.glob(f"{_HIDDEN}*"):
                if folder.stat().st_mtime * 1_000 < now_ms - _LEFT_MS and not _is_held(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in self._root.iterdir() if ID.fullmatch(path.name))


def _result_of(folder: Path, job: Job) -> Path:
    return folder / f"result.{job.form}"


def _write(folder: Path, job: Job) -> None:
    part = folder / f"job.{secrets.token_hex(4)}"
    part.write_bytes(write_job(job))
    part.replace(folder / "job.json")


def _read(folder: Path, now_ms: int) -> Job | None:
    """Return what is known of an upload, which fails here where its process has ended."""
    try:
        job = read_job((folder / "job.json").read_bytes())
        if job.has_ended or _is_held(folder):
            return job
        # its process may have ended the work between the two looks
        job = read_job((folder / "job.json").read_bytes())
    except FileNotFoundError:
        return None
    except (TypeError, ValueError):  # a machine that lost its power may leave a file that is empty
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return job if job.has_ended else _abandon(folder, job.fail(ABANDONED, now_ms))


def _abandon(folder: Path, job: Job) -> Job:
    """Write down that an upload failed, and delete what only its work needed."""
    with suppress(OSError):  # deleted meanwhile, or a full disk: the next who reads it says the same
        _write(folder, job)
    for path in (folder / f"events.{job.form}", folder / "rows.arrow", _result_of(folder, job)):
        path.unlink(missing_ok=True)
    return job


def _is_held(folder: Path) -> bool:
    """Return whether a process works on an upload."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)
