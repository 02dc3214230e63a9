"""One demo a home at a time, and an end for what a demo that was killed left running.

A demo holds a lock for as long as it lives and records each process that it starts. Where the lock is free and the
record names processes that still run, their demo had no time to end them. They are known by their pid, start time and
command line, never by a name or a port alone.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weir.infra.children import end_recorded, find_recorded
from weir.schemas.errors import Refused


def children_record(home: Path) -> Path:
    """Return the file that names the processes of this home's demo."""
    return home / "demo-children.json"


@contextmanager
def only_demo(home: Path) -> Iterator[None]:
    """Be the one demo of this home.

    Raises:
        Refused: another one runs.
    """
    with _lock_path(home).open("a+") as file:
        if not _try_lock(file.fileno()):
            raise Refused(
                f"another demo runs in {home}; end it with Ctrl-C in its terminal, or set WEIR_HOME to another folder"
            )
        yield


def demo_runs(home: Path) -> bool:
    """Return whether a demo runs in this home just now."""
    path = _lock_path(home)
    if not path.is_file():
        return False
    with path.open("a+") as file:
        return not _try_lock(file.fileno())


def find_left_over(home: Path) -> list[str]:
    """Return the names of what a demo that was killed left running; call it where no demo runs."""
    return list(find_recorded(children_record(home)).values())


def end_left_over(home: Path) -> list[str]:
    """End what a demo that was killed left running, and return the names; call it where no demo runs."""
    return end_recorded(children_record(home))


def _lock_path(home: Path) -> Path:
    return home / "demo.lock"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
