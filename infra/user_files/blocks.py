"""What every reader hands on: some rows as columns, with the number of each, and the rows that are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.schemas.errors import PoisonRecord

BLOCK_ROWS = 5_000
"""Small enough that a block of wide rows fits in memory, large enough that columns are converted quickly."""

BLOCK_CHARS = 8 << 20
"""Of text in a block: lines may be long, and a block of long ones is cut earlier."""

Column = Any
"""An Arrow array, or a list of plain values where a format has no types."""


@dataclass
class Block:
    """Consecutive rows of a file.

    Attributes:
        numbers: the line on which each row starts, from 1; for Parquet the row.
        columns: by name, each as long as ``numbers``; a column that no row has is left out.
        bad: number and error of what could not be split into columns.
        lost: rows that the last error of ``bad`` stands for beyond its own.
        lines: lines that these rows took, ``blank`` and ``continued`` ones included.
        blank: lines with nothing on them.
        continued: lines after the first of rows that span several.
        broken: why nothing after this block can be read, or ``""``.
    """

    numbers: list[int] = field(default_factory=list)
    columns: Mapping[str, Column] = field(default_factory=dict)
    bad: list[tuple[int, PoisonRecord]] = field(default_factory=list)
    lost: int = 0
    lines: int = 0
    blank: int = 0
    continued: int = 0
    broken: str = ""
