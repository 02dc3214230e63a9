"""The list of erasures, ``<home>/erasures.jsonl``: when, which kind, and the id by a name that says nothing.

A copy that is put back, and a view that is built again from a log that still has the records, bring an erased id back.
``weir gdpr again`` finds such ids by this list: it names the ids that are there, and looks the names up.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from weir.schemas.errors import Refused


@dataclass(frozen=True)
class Entry:
    """One erasure.

    Attributes:
        at_ms: when it was asked for, UTC epoch milliseconds; what came later is not erased again.
        kind: of the entity.
        name: pseudonym of ``KIND=ID``.
        by: user of the machine that it was asked for on; empty where that has no name.
    """

    at_ms: int
    kind: str
    name: str
    by: str = ""


def list_path(home: Path) -> Path:
    """Return where the list of a home is."""
    return home / "erasures.jsonl"


def add_entry(home: Path, entry: Entry) -> None:
    """Add an erasure to the list, on the disk before this returns."""
    descriptor = os.open(list_path(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(json.dumps(asdict(entry)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_entries(home: Path) -> list[Entry]:
    """Return the erasures, of each id the newest; none where there is no list.

    Raises:
        Refused: a line is no erasure; one that a crash cut off at the end is passed by.
    """
    path = list_path(home)
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    found: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = Entry(**json.loads(line)) if line else None
        except (ValueError, TypeError):
            if number == len(lines):
                continue
            raise Refused(f"expected an erasure on line {number} of {path}, found something else") from None
        if entry is not None and (entry.name not in found or found[entry.name].at_ms < entry.at_ms):
            found[entry.name] = entry
    return list(found.values())


def add_lines(home: Path, content: bytes) -> None:
    """Add the lines of another list that are not in the list of a home, as when a backup is put back."""
    path = list_path(home)
    own = whole_lines(path.read_bytes() if path.exists() else b"")
    known = set(own.split(b"\n"))
    missing = [line for line in whole_lines(content).split(b"\n") if line and line not in known]
    if not missing:
        return
    if path.exists():
        os.truncate(path, len(own))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(b"\n".join(missing) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def whole_lines(content: bytes) -> bytes:
    r"""Return a list without a line at its end that a crash cut off.

    >>> whole_lines(b'{"at_ms": 1}\n{"at')
    b'{"at_ms": 1}\n'
    """
    return content[: content.rfind(b"\n") + 1]
