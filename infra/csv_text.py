"""Tables as CSV that a spreadsheet shows and does not run. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_ACTING = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a cell begins with that a spreadsheet takes for a formula, or strips to find one."""


def write_csv(rows: Iterable[Sequence[Any]]) -> str:
    r"""Return rows as CSV; a text that a spreadsheet would run gets an apostrophe before it, a number stays one.

    >>> write_csv([["id", "amount"], ["=1+1", -5], [None, 2.5]])
    "id,amount\r\n'=1+1,-5\r\n,2.5\r\n"
    """
    written = io.StringIO()
    csv.writer(written).writerows([[neutralise(cell) for cell in row] for row in rows])
    return written.getvalue()


def neutralise(cell: Any) -> Any:
    """Return a cell that nothing is run of.

    >>> neutralise("@SUM(A1)"), neutralise("card-1"), neutralise(-5)
    ("'@SUM(A1)", 'card-1', -5)
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_ACTING) else cell
