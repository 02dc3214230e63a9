"""Where a declaration was written, and what is wrong with it: a message names the file and the line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import NamedTuple


class Origin(NamedTuple):
    """A file and a line of it, and the column where that is known; 0 where it is not."""

    file: str
    line: int
    column: int = 0


@dataclass(frozen=True)
class Finding:
    """One fault of a declaration.

    Attributes:
        where: the line to change.
        what: the part that is at fault, such as ``flag declined``.
        fault: what was expected, what was found, and the nearest right thing.
    """

    where: Origin
    what: str
    fault: str

    def __str__(self) -> str:
        column = f":{self.where.column}" if self.where.column else ""
        return f"{self.where.file}:{self.where.line}{column}: {self.what}: {self.fault}"


def find_origin() -> Origin:
    """Return the nearest caller outside of this package: the line of the user's file that declares something."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").rpartition(".")[0] == __package__:
        frame = frame.f_back
    return Origin(frame.f_code.co_filename, frame.f_lineno)
