"""Gathers what a backup has in a folder of the home that its owner alone reads.

Numbered steps:

1. One moment of the database.
2. Calls of the audit log: those that were put back before, of the archive, and of the topic what the archive lacks.
3. Files of the home that cannot be made again, the list of erasures last: who is erased meanwhile is in the copy of
   the database or not, and is on the list in either case, so that ``weir gdpr again`` finds them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from weir.access.audit.kept import write_calls
from weir.backup.calls import Wanted, each_call
from weir.backup.manifest import AUDIT_KEY, DATABASE, ERASURES, LISTS, SEAL_KEY, Calls, Manifest, is_known
from weir.gdpr.erasures import whole_lines
from weir.infra.database.copying import copy_out
from weir.infra.database.engine import connect, find_file
from weir.infra.setting_listing import list_set
from weir.infra.settings import Settings
from weir.schemas.errors import Refused

STAGING = "backing-up"
"""Of a home: the folder in which a backup is gathered, and one that is put back is unpacked."""
OnStep = Callable[[str], object]


@contextmanager
def staging(home: Path) -> Iterator[Path]:
    """Yield an empty folder in a home, for one process at a time; what a killed one left in it is deleted.

    Raises:
        Refused: another process makes a backup of this home, or puts one back.
    """
    descriptor = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"expected to be alone with {home}, found another backup or restore; wait for it") from None
        folder = home / STAGING
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def gather(settings: Settings, project: str, folder: Path, wanted: Wanted, on_step: OnStep) -> Manifest:
    """Write the members of a backup to a folder; return its manifest without them.

    Args:
        settings: of this deployment.
        project: its name.
        folder: empty.
        wanted: of the audit log.
        on_step: called after each numbered step.

    Raises:
        Refused: there is no database.
        Transient: the database, the brokers or the archive do not answer.
    """
    refuse_no_database(settings)
    made_ms = int(time.time() * 1_000)
    engine = connect(settings)
    try:
        revision, rows = copy_out(engine, folder / DATABASE)
    finally:
        engine.dispose()
    on_step("database")
    calls = _gather_calls(settings, folder, wanted, made_ms)
    on_step("calls")
    _gather_files(settings.home, folder)
    on_step("files")
    return Manifest(made_ms, _find_version(), project, settings.cluster, revision, rows, calls, list_set(settings))


def refuse_no_database(settings: Settings) -> None:
    """Refuse a home without a database: to open one would make it, and an empty backup helps nobody.

    Raises:
        Refused: there is none.
    """
    path = find_file(settings)
    if path is not None and not path.is_file():
        raise Refused(
            f"expected a database in {path}, found none; set WEIR_HOME or WEIR_DATABASE__URL to the one that is meant"
        )


def _gather_calls(settings: Settings, folder: Path, wanted: Wanted, made_ms: int) -> Calls:
    (folder / "audit").mkdir()
    name = datetime.fromtimestamp(made_ms / 1_000, UTC).strftime("calls-%Y%m%dT%H%M%SZ.parquet")
    sources: list[str] = []
    count = write_calls(folder / "audit" / name, each_call(settings, wanted, sources.append))
    return Calls(count, tuple(sources))


def _gather_files(home: Path, folder: Path) -> None:
    lists = sorted(path.relative_to(home).as_posix() for path in (home / "lists").glob("*.json"))
    for name in (AUDIT_KEY, SEAL_KEY, LISTS, *lists, ERASURES):
        if is_known(name) and (home / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            content = (home / name).read_bytes()
            (folder / name).write_bytes(whole_lines(content) if name == ERASURES else content)


def _find_version() -> str:
    try:
        return version("weir")
    except PackageNotFoundError:  # copied and not installed, as in the image
        return "of a checkout"
