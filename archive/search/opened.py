"""The table of a stream's decisions, and reads of it that files which others rewrite do not fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from weir.archive.place import Place
from weir.archive.table import ArchiveTable, find_table
from weir.schemas.errors import Damaged, Refused

T = TypeVar("T")
FILES_AT_ONCE: Final = 8
"""An object store takes its time for each request; files on this machine keep its cores busy."""
_ATTEMPTS: Final = 3


class NoTable(Refused):
    """There is no archive of a topic."""


def open_topic(root: Place, topic: str) -> ArchiveTable:
    """Open the table of a topic.

    Raises:
        NoTable: there is none.
        Refused: one that this version cannot read.
        Transient: the store cannot be read.
    """
    table = find_table(root.below(topic))
    if table is None:
        raise NoTable(f"expected the table of topic {topic} in {root.uri}, found none; `weir archive` makes it")
    return table


def read_newest(table: ArchiveTable, read: Callable[[], T]) -> T:
    """Return what is read of a table as it is now; a file that was erased meanwhile has another in its place.

    Raises:
        Damaged: a file is missing, or is not what was written.
        Transient: the store cannot be read.
    """
    for _ in range(_ATTEMPTS - 1):
        table.look()
        try:
            with table.place.errors("read"):
                return read()
        except Damaged:
            continue
    table.look()
    with table.place.errors("read"):
        return read()
