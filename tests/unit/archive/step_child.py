"""Erases a card, or removes old days, and ends the process after a numbered step, with nothing left to run:

``python -m tests.unit.archive.step_child FOLDER erase|retention STEP NUMBER``. It ends with ``KILLED``, or with 0 where
that step does not come so often.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.unit.archive.test_erasing import CARD, T0_MS
from tests.unit.archive.test_forgetting import NOON
from weir.archive.erasing import erase, find_holding
from weir.archive.forgetting import forget
from weir.archive.place import Place
from weir.archive.seals.chain import Chain
from weir.archive.seals.key import load_key
from weir.archive.table import ArchiveTable, find_table

KILLED: Final = 9
KEEP_DAYS: Final = 1


def open_tables(root: Place) -> list[ArchiveTable]:
    """Return the tables of an archive, by their names' order."""
    found = [find_table(root.below(name)) for name in sorted(root.list_folders())]
    return [table for table in found if table is not None]


def work(folder: Path, what: str, on_step: Callable[[str], None]) -> None:
    """Do all of it, in an archive that is there."""
    root = Place(str(folder / "archive"))
    (key_file,) = folder.glob("seal*.*")
    chain, key = Chain(root), load_key(key_file)
    for table in open_tables(root):
        if what == "erase":
            found = find_holding(table, CARD)
            erase(found, CARD, chain=chain, key=key, at_ms=T0_MS, why="asked for", on_step=on_step)
        else:
            list(forget(table, keep_days=KEEP_DAYS, chain=chain, key=key, now=NOON, on_step=on_step))


def main(folder: str, what: str, step: str, number: str) -> int:
    """Work until the step has come so often."""
    left = int(number)

    def end_at(name: str) -> None:
        nonlocal left
        left -= name == step
        if not left:
            os._exit(KILLED)

    work(Path(folder), what, end_at)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
