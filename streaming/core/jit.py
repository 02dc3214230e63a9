"""How this package compiles: leaves are compiled into their callers, entry points are cached on disk.

Numba decides whether a cached entry point is fresh by the date of *its own* file, so a change to a leaf in another
file would go unnoticed. ``SOURCE_STAMP`` is therefore made part of the entry points' argument types (a field name of
the plans and ledgers): any change to a file that compiled code is made of compiles again, whatever the file dates say.
What a stream declares is data to compiled code, but for the shape of the records: another shape compiles once, next to
the others.
The few entry points that take no record (grouping, hashing) call no leaf of another file.

Numba saves machine code in two steps, an index and a numbered file. Two processes that compile different shapes at
once could take the same number, and one would later run the other's code. So one process at a time saves.

Numba names compiled functions by their arguments' types, and a record's type by a number that counts types in this
process. Code of two shapes that two processes saved could have one name, and a third process that loads both would run
one in place of the other. So a record's type is named by what is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit, types

F = TypeVar("F", bound=Callable[..., Any])

SAVING = "saving.lock"
"""The file, next to machine code, that one process at a time saves under."""


def _name_by_content(record: types.Record) -> tuple[str, tuple[int]]:
    digest = hashlib.sha256(record.name.encode()).digest()
    return "Record", (int.from_bytes(digest[:8], "big"),)


cast("Any", types.Record).mangling_args = property(_name_by_content)


def leaf(function: F) -> F:
    """Compile a function that is only called from compiled code."""
    return cast("F", njit(error_model="numpy")(function))


def entry(function: F) -> F:
    """Compile a function that Python calls, and keep the machine code next to the source file."""
    return _compile(function, nogil=False)


def long_entry(function: F) -> F:
    """Compile likewise a function that takes so long that the other threads should run Python meanwhile.

    To get the interpreter back may take 5 ms where another thread computes, so a short function keeps it.
    """
    return _compile(function, nogil=True)


def _compile(function: F, *, nogil: bool) -> F:
    compiled = njit(error_model="numpy", cache=True, nogil=nogil)(function)
    if hasattr(compiled, "_cache"):  # with compiled code off it is the plain function
        _save_alone(compiled._cache)
    return cast("F", compiled)


def _save_alone(cache: Any) -> None:
    save, folder = cache.save_overload, Path(cache.cache_path)

    def save_alone(*arguments: Any) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / SAVING).open("a")
        except OSError:  # read-only: nothing is saved
            save(*arguments)
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            save(*arguments)

    cache.save_overload = save_alone


def list_sources() -> list[Path]:
    """Return the files that compiled code is made of: whatever compiles something, and the format's constants."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [path for path in files if path.stem in ("jit", "layout") or "core.jit import" in path.read_text()]


def _compute_source_stamp() -> str:
    digest = hashlib.sha256()
    for path in list_sources():
        digest.update(path.read_bytes())
    return f"source_{digest.hexdigest()[:16]}"


SOURCE_STAMP: str = _compute_source_stamp()
