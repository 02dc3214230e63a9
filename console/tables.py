"""Reads a table out of a page of ours, so that a file has what the page shows and no table lacks its export. Pure.

A table is named by ``data-csv``. A cell is its text with single blanks. A cell with ``data-value`` is that instead, a
number where it is one: money and scores are rounded for eyes alone. A time with a title is the title, as ``3 min ago``
says nothing in a file. A dash, which pages show for nothing, is an empty cell. Columns of buttons, whose cells are of
the class ``act``, and drawings are left out.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

Cell = str | float
_CELLS: Final = frozenset({"td", "th"})
_SILENT: Final = frozenset({"svg", "form", "button"})


def read_table(page: str, name: str) -> list[list[Cell]] | None:
    """Return the rows of a table of a page with its headings first, or None where it has none of that name.

    >>> read_table('<table data-csv="a"><tr><th>Id</th></tr><tr><td>x &lt; <b>y</b></td></tr></table>', "a")
    [['Id'], ['x < y']]
    >>> read_table('<table data-csv="a"><tr><td data-value="2.5">2.50 USD</td></tr></table>', "a")
    [[2.5]]

    Args:
        page: HTML.
        name: of the table.
    """
    reader = _Reader(name)
    reader.feed(page)
    reader.close()
    return reader.rows if reader.found else None


class _Reader(HTMLParser):
    """Gathers the cells of one table."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._inside = False
        self._cell: list[str] | None = None
        self._value: str | None = None
        self._silent = 0
        self._in_titled = False
        self.found = False
        self.rows: list[list[Cell]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._inside = given.get("data-csv") == self._name and not self.found
            self.found |= self._inside
        if not self._inside:
            return
        if tag == "tr":
            self.rows.append([])
        elif tag in _CELLS and "act" not in (given.get("class") or "").split():
            self._cell, self._value = [], given.get("data-value")
        elif tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self.handle_data(" ")
        elif tag == "time" and given.get("title"):
            self.handle_data(given["title"] or "")
            self._in_titled = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._inside = False
        elif tag in _CELLS and self._cell is not None:
            text = " ".join("".join(self._cell).split())
            is_value = self._value is not None
            self.rows[-1].append(_read_cell(self._value or "" if is_value else text, is_value=is_value))
            self._cell = None
        elif tag in _SILENT and self._inside:
            self._silent -= 1
        elif tag == "time":
            self._in_titled = False

    def handle_data(self, data: str) -> None:
        if self._cell is not None and not self._silent and not self._in_titled:
            self._cell.append(data)


def _read_cell(text: str, *, is_value: bool) -> Cell:
    if not is_value:
        return "" if text == "-" else text
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text
