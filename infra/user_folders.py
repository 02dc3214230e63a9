"""Folders of this user that are not Weir's own home: for downloads, and where a Java may be."""

from __future__ import annotations

import os
from pathlib import Path

from weir.schemas.errors import Refused


def cache_dir() -> Path:
    """Return where downloads are kept for every home: ``XDG_CACHE_HOME`` or ``~/.cache``, then ``weir``.

    Raises:
        Refused: neither is known, as in a container whose user has no entry.
    """
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "weir"
    home = user_home()
    if home is None:
        raise Refused("expected a home folder of this user for downloads, found none; set XDG_CACHE_HOME to a folder")
    return home / ".cache" / "weir"


def user_home() -> Path | None:
    """Return the user's own home folder where there is one."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def java_home() -> Path | None:
    """Return ``JAVA_HOME`` where it is set."""
    return Path(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else None
