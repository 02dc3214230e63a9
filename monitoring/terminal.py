"""Tables on a terminal. The one place that builds them, so that no value in any view is taken for markup.

Every cell passes ``schemas.printable.escape`` and is given to the library as text, not as markup: ``[red]`` in an id
is five characters. Nothing is cut: a long value wraps inside its column on a terminal, and a pipe gets one line a row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from weir.schemas.printable import escape

_ENDLESS = 1_000_000


def cell(value: object, style: str = "") -> Text:
    """Return a value as a cell; ``None`` is a dash."""
    return Text("-" if value is None else escape(str(value)), style=style, overflow="fold")


def build_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "", caption: str = "", box: bool = True
) -> Table:
    """Return a table of cells; a row may hold ``Text`` that ``cell`` made."""
    table = Table(title_justify="left", caption_justify="left", pad_edge=box)
    if not box:
        table.box = None
    table.title = cell(title) if title else None
    table.caption = cell(caption) if caption else None
    for column in columns:
        table.add_column(cell(column), overflow="fold")
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return table


def print_tables(tables: Sequence[Table], stream: TextIO | None = None) -> None:
    """Write tables to stdout, or to another stream: as wide as the terminal, or as wide as they are in a pipe."""
    stream = stream or sys.stdout
    for table in tables:
        piped = not stream.isatty()
        if piped:
            table.min_width = max((len(str(part)) for part in (table.title, table.caption) if part), default=None)
        width = Console(width=_ENDLESS).measure(table).maximum if piped else None
        Console(file=stream, width=width, markup=False, emoji=False, highlight=False).print(table)


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Write one line, escaped."""
    (stream or sys.stdout).write(escape(text) + "\n")
