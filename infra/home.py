"""The home folder: looked at before anything is read from it, made before anything is written, refused in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weir.schemas.errors import Refused

_MODE = 0o700
"""It holds payments and model bundles, and its servers ask nobody for a password."""


@contextmanager
def home_errors(home: Path) -> Iterator[None]:
    """Turn what the file system says about the home into a refusal.

    Raises:
        Refused: it is no folder, or cannot be made, read or written.
    """
    try:
        yield
    except OSError as error:
        at = f" at {error.filename}" if error.filename and Path(str(error.filename)) != home else ""
        reason = (error.strerror or str(error)).lower()
        raise Refused(
            f"cannot use {home} as the home folder: {reason}{at}; set WEIR_HOME to one that can be made and written"
        ) from error


def check_home(home: Path) -> None:
    """Look at the home, which need not be there yet, without making it.

    Raises:
        Refused: it or a part of its path is there and is no folder, or may not be entered.
    """
    with home_errors(home):
        try:
            os.scandir(home).close()
        except FileNotFoundError:
            return


def ensure_home(home: Path) -> Path:
    """Make the home for its owner alone and return it as an absolute path.

    Raises:
        Refused: it cannot be made or written, or the servers cannot open such a path.
    """
    with home_errors(home):
        absolute = home.absolute()
        _check_path(str(absolute))
        absolute.mkdir(mode=_MODE, parents=True, exist_ok=True)
        absolute.chmod(_MODE)
        return absolute


def _check_path(text: str) -> None:
    """Refuse what a JVM cannot open, and a backslash, which the registry's database reads as a slash."""
    is_utf8 = text == text.encode(errors="ignore").decode()
    if not is_utf8 or "\\" in text or not text.isprintable():
        raise Refused("expected a home folder whose path is printable UTF-8 without backslashes; set WEIR_HOME to one")


def stack_env_path(home: Path) -> Path:
    """Return where ``weir up`` writes the addresses of the embedded servers, as ``NAME=value`` lines."""
    return home / "stack.env"
