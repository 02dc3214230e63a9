"""Where a declaration was written: the file and line that a message about it names."""

from __future__ import annotations

import sys
from typing import NamedTuple


class Origin(NamedTuple):
    """A file and a line of it."""

    file: str
    line: int


def find_origin() -> Origin:
    """Return the nearest caller outside of this package: the line of the user's file that declares something."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").rpartition(".")[0] == __package__:
        frame = frame.f_back
    return Origin(frame.f_code.co_filename, frame.f_lineno)
