"""Rows of a CSV file, each with the line on which it starts; one bad quote costs one line.

Idea: a line without a quote is split at once. A quoted cell that is still open at the end of its line may continue over
the following ones, but only if it closes soon and none of the lines in between looks like a row of its own: an opening
quote without its partner would otherwise take in the rest of the file. Where that is so, the first line alone is bad,
and reading continues with the line after it.

A cell is quoted when it begins and ends with a quote, blanks around it apart; two quotes inside are one. A quote in the
middle of an unquoted cell is a character like any other; one at its end alone makes the line bad.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from weir.infra.user_files.blocks import BLOCK_CHARS, BLOCK_ROWS, Block
from weir.infra.user_files.lines import LINE_CHARS_MAX, Cut, Line
from weir.schemas.errors import PoisonRecord

RECORD_LINES_MAX = 50
"""A comment in a payment takes a few lines; a quote that is open for longer is a mistake."""
QUOTE = '"'
_CLOSES = re.compile(r'(?:[^"]|"")*"(?!")')


@dataclass(frozen=True)
class Split:
    """The cells of some text.

    Attributes:
        open: what follows a quote that does not close, which opens the cell after ``cells``; None where all close.
        fault: what was expected where the text is no row, or ``""``.
    """

    cells: list[str]
    open: str | None = None
    fault: str = ""


class Record(NamedTuple):
    """One row: where it starts, how many lines it took, and its cells or what is wrong."""

    number: int
    lines: int
    cells: list[str] | PoisonRecord


def split_cells(text: str, separator: str) -> Split:
    """Split one record; see the module for what a quote means."""
    if QUOTE not in text:
        return Split(text.split(separator))
    if _plainly_quoted(separator).fullmatch(text):
        return Split(next(csv.reader((text,), delimiter=separator)))
    cells: list[str] = []
    position = 0
    while True:
        start = _skip_blanks(text, position, separator)
        if not text.startswith(QUOTE, start):
            end = text.find(separator, position)
            cells.append(text[position:] if end < 0 else text[position:end])
            if cells[-1].rstrip().endswith(QUOTE):
                return Split(cells, fault=f"the quote at the end of cell {len(cells)} to open at its start, found none")
        else:
            close = _CLOSES.match(text, start + 1)
            if close is None:
                return Split(cells, open=text[start + 1 :])
            after = _skip_blanks(text, close.end(), separator)
            if after < len(text) and text[after] != separator:
                return Split(cells, fault=f"the quote of cell {len(cells) + 1} to close at its end, found more text")
            cells.append(text[start + 1 : close.end() - 1].replace('""', QUOTE))
            end = after if after < len(text) else -1
        if end < 0:
            return Split(cells)
        position = end + 1


@cache
def _plainly_quoted(separator: str) -> re.Pattern[str]:
    """Match lines whose quotes all stand around whole cells, as most writers leave them: there is nothing to judge."""
    cell = rf'(?:"[^"]*"|[^"{re.escape(separator)}]*)'
    return re.compile(rf"{cell}(?:{re.escape(separator)}{cell})*")


def _skip_blanks(text: str, position: int, separator: str) -> int:
    while position < len(text) and text[position].isspace() and text[position] != separator:
        position += 1
    return position


class Records:
    """The records of lines that were not yet read, ``expected`` cells each."""

    def __init__(self, lines: Iterator[Line], separator: str, expected: int) -> None:
        self._lines = lines
        self._separator = separator
        self._expected = expected
        self._ahead: deque[Line] = deque()
        self._doubtful = 0
        self.blank = 0

    def __iter__(self) -> Iterator[Record]:
        while (line := self._next()) is not None:
            if line.text is None:
                yield _bad(line, 1, f"at most {LINE_CHARS_MAX:,} characters on a line, found more")
            elif not line.text or line.text.isspace():
                self.blank += 1
            else:
                yield self._read(line, line.text)

    def _next(self) -> Line | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _peek(self, place: int) -> Line | None:
        while len(self._ahead) <= place:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[place]

    def _read(self, line: Line, text: str) -> Record:
        if line.number == self._doubtful:
            return _bad(line, 1, "quotes around whole cells, found some that may close the row before")
        split = split_cells(text, self._separator)
        lines = 1
        if split.open is not None:
            closed = self._read_on(text, split)
            if closed is None:
                return _bad(line, 1, _stray(line.number, split))
            split, lines = closed
            for _ in range(lines - 1):
                self._ahead.popleft()
        if split.fault:
            return _bad(line, lines, split.fault)
        if len(split.cells) != self._expected:
            return _bad(line, lines, f"{self._expected} cells, found {len(split.cells)}")
        return Record(line.number, lines, split.cells)

    def _read_on(self, text: str, split: Split) -> tuple[Split, int] | None:
        """Return the record over several lines with their number, or None where its quote is a stray one."""
        before = len(split.cells)
        if self._is_whole(split):
            return None
        for extra in range(1, RECORD_LINES_MAX):
            line = self._peek(extra - 1)
            if line is None or line.text is None:
                return None
            if self._is_row(line.text, before):
                if QUOTE in line.text and not _plainly_quoted(self._separator).fullmatch(line.text):
                    self._doubtful = line.number  # no row is made of a part of another
                return None
            text = f"{text}\n{line.text}"
            split = split_cells(text, self._separator) if QUOTE in line.text else split
            if split.fault or len(text) > LINE_CHARS_MAX:
                return None
            if split.open is None:
                return (split, extra + 1) if len(split.cells) == self._expected else None
        return None

    def _is_whole(self, split: Split) -> bool:
        """Return whether the first cell is open and its line has all cells; its last line would look like a row too."""
        return not split.cells and self._cells_of(split.open or "") >= self._expected > 1

    def _is_row(self, text: str, before: int) -> bool:
        """Return whether a line looks like a row; the last line of a first cell may, and has to."""
        if before == 0 and QUOTE in text:
            return False
        return self._cells_of(text) >= self._expected > 1

    def _cells_of(self, text: str) -> int:
        return text.count(self._separator) + 1


def _stray(number: int, split: Split) -> str:
    cell = len(split.cells) + 1
    return (
        f"the quote that opens cell {cell} to close, found none before the next row; "
        f"line {number} alone is left out, reading continues with line {number + 1}"
    )


def _bad(line: Line, lines: int, expected: str) -> Record:
    where = f" (lines {line.number} to {line.number + lines - 1})" if lines > 1 else ""
    return Record(line.number, lines, PoisonRecord("malformed_line", f"expected {expected}{where}"))


def read_delimited(lines: Iterator[Line], separator: str, names: list[str]) -> Iterator[Block]:
    """Yield the rows below a header in blocks.

    Args:
        lines: those after the header.
        separator: one character.
        names: the header's cells.
    """
    records = Records(lines, separator, len(names))
    rows: list[list[str]] = []
    block, blank, chars = Block(), 0, 0
    try:
        for record in records:
            block.lines += record.lines
            block.continued += record.lines - 1
            if isinstance(record.cells, PoisonRecord):
                block.bad.append((record.number, record.cells))
            else:
                block.numbers.append(record.number)
                rows.append(record.cells)
                chars += sum(map(len, record.cells))
            if len(rows) + len(block.bad) >= BLOCK_ROWS or chars >= BLOCK_CHARS:
                yield _finish(block, rows, names, records.blank - blank)
                rows, block, blank, chars = [], Block(), records.blank, 0
    except Cut as error:
        block.broken = str(error)
    yield _finish(block, rows, names, records.blank - blank)


def _finish(block: Block, rows: list[list[str]], names: list[str], blank: int) -> Block:
    block.blank = blank
    block.lines += blank
    if rows:
        block.columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return block
