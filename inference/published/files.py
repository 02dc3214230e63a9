"""Reads the files that are published."""

from __future__ import annotations

from pathlib import Path

from weir.inference.published.act import TEXT_BYTES_MAX, Kind
from weir.schemas.errors import Refused

LISTS_BYTES_MAX = 1 << 30
"""Of a file of lists: 5 million entries with a reason each take less."""


def read_file(path: Path, kind: Kind) -> str:
    """Return the text of a file.

    Raises:
        Refused: it is missing, too long, or not UTF-8.
    """
    longest = LISTS_BYTES_MAX if kind == "lists" else TEXT_BYTES_MAX
    try:
        size = path.stat().st_size
        if size > longest:
            raise Refused(f"{path}: expected at most {longest:,} bytes of {kind}, found {size:,}")
        return path.read_bytes().decode()
    except OSError as error:
        raise Refused(f"{path}: expected a file of {kind}, found none: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path}: expected UTF-8, found other bytes") from None
