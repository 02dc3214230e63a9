"""Opening what a user names: a regular file, packed or not, or the standard input.

A file is read twice, once to judge its columns and once for its rows, so the standard input is first copied to a
temporary file. Between the two readings a file must not change: its size and time are compared at the end.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from weir.infra.user_files.foreign import refuse_foreign
from weir.infra.user_files.lines import READ_ERRORS
from weir.schemas.errors import Refused

FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
STANDARD_INPUT = "-"
_HEAD_BYTES = 4_096
_COPY_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe; send its contents to `-`, the standard input",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class Source:
    """An open file of a known format.

    Attributes:
        name: what messages call it.
        format: ``csv``, ``jsonl`` or ``parquet``.
        size: bytes as stored.
    """

    name: str
    format: str
    size: int
    _file: BinaryIO
    _packed: bool
    _stamp: tuple[int, int]

    def rewind(self) -> BinaryIO:
        """Return the unpacked bytes from the start; what was handed out before is not to be read any more."""
        self._file.seek(0)
        return gzip.GzipFile(fileobj=self._file) if self._packed else self._file  # type: ignore[return-value]

    def position(self) -> int:
        """Return how many of the stored bytes have been read."""
        return self._file.tell()

    def has_changed(self) -> bool:
        """Return whether somebody wrote to the file since it was opened."""
        return _stamp(self._file) != self._stamp


@contextmanager
def open_source(path: Path, *, form: str | None = None) -> Iterator[Source]:
    """Open a user's file, or the standard input for ``-``.

    Args:
        path: where it is.
        form: its format; by default what its name ends in, for the standard input what its first bytes are.

    Raises:
        Refused: it is missing, no regular file, or of a format that is not ours; the message says which and the way.
    """
    check_regular(path)
    with _open_input(path) as file:
        head = file.read(_HEAD_BYTES)
        packed = head.startswith(_GZIP)
        if packed:
            head = _unpacked_head(file, path.name)
        name = "standard input" if str(path) == STANDARD_INPUT else path.name
        refuse_foreign(name, head)
        found = form or _format_of(path, head)
        _check_contents(name, found, head)
        if packed and found == "parquet":
            raise Refused(f"expected a Parquet file in {name}, found one packed by gzip; unpack it first")
        yield Source(name, found, os.fstat(file.fileno()).st_size, file, packed, _stamp(file))


def _stamp(file: BinaryIO) -> tuple[int, int]:
    state = os.fstat(file.fileno())
    return state.st_size, state.st_mtime_ns


@contextmanager
def _open_input(path: Path) -> Iterator[BinaryIO]:
    if str(path) == STANDARD_INPUT:
        with tempfile.TemporaryFile() as copy:
            while chunk := sys.stdin.buffer.read(_COPY_BYTES):
                copy.write(chunk)
            copy.seek(0)
            yield copy
        return
    try:
        # a pipe that nobody writes to would block the opening itself
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Refused(f"expected a file at {path}, found none that opens: {_reason(error)}") from None
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def check_regular(path: Path) -> None:
    """Refuse what is no file before it is opened: opening a device or a pipe can itself do something.

    Raises:
        Refused: it is missing, or something else than a regular file.
    """
    if str(path) == STANDARD_INPUT:
        return
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise Refused(f"expected a file at {path}, found none: {_reason(error)}") from None
    if not stat.S_ISREG(mode):
        raise Refused(f"expected a regular file at {path}, found {_KINDS.get(stat.S_IFMT(mode), 'something else')}")


def _unpacked_head(file: BinaryIO, name: str) -> bytes:
    file.seek(0)
    try:
        return gzip.GzipFile(fileobj=file).read(_HEAD_BYTES)
    except READ_ERRORS as error:
        raise Refused(f"expected gzip data in {name}, found: {str(error).lower()}") from None


def _format_of(path: Path, head: bytes) -> str:
    if str(path) == STANDARD_INPUT:
        if head.startswith(_PARQUET):
            return "parquet"
        return "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else "csv"
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    found = FORMATS.get(plain.suffix.lower())
    if found is None:
        known = ", ".join(FORMATS)
        raise Refused(
            f"expected a file named {known} (also with .gz), found {path.name}; rename it, convert it",
            flags="say --format",
        )
    return found


def _check_contents(name: str, form: str, head: bytes) -> None:
    is_parquet = head.startswith(_PARQUET)
    if not head:
        raise Refused(f"expected rows in {name}, found an empty file")
    if is_parquet and form != "parquet":
        fault = f"expected text in {name}, found Parquet; write it as text, or say that it is Parquet"
        raise Refused(fault, flags="name it .parquet or say --format parquet")
    if form == "parquet" and not is_parquet:
        raise Refused(f"expected a Parquet file in {name}, found other contents; Parquet begins with PAR1")
