"""Files that their owner alone reads: made whole or not at all, by whichever process is first."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from weir.schemas.errors import Refused

_MODE = 0o600


def read_private(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return what a file holds, which is made where there is none.

    Args:
        path: of the file.
        make: returns what a new file holds.

    Raises:
        Refused: others may read the file.
    """
    if not path.exists():
        _write(path, make())
    if path.stat().st_mode & 0o077:
        raise Refused(f"expected {path} to be readable by its owner alone; run `chmod 600 {path}`")
    return path.read_bytes()


def _write(path: Path, text: bytes) -> None:
    """Write a file whole or not at all; another process that makes it at the same time wins or loses whole too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")  # a process of before may have left one
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        part.unlink()
