"""A user's file as named columns and blocks of rows, whatever its format."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from weir.infra.user_files.blocks import Block
from weir.infra.user_files.delimited import read_delimited, split_cells
from weir.infra.user_files.header import HEADER_LINES_MAX, Advice, check_encoding_of, guess_from_lines
from weir.infra.user_files.json_lines import read_json_lines
from weir.infra.user_files.lines import Cut, Line, check_encoding, read_lines
from weir.infra.user_files.parquet_rows import ParquetRows
from weir.infra.user_files.sources import Source
from weir.schemas.errors import Refused

_HEAD_BYTES = 4_096
_SHOWN_CHARS = 64 * 1024
"""Of a line that is looked at for advice."""
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}


@dataclass(frozen=True)
class Reading:
    """How a file is to be read where it is not as usual.

    Attributes:
        separator: between the cells of a CSV file; by default a comma, in a .tsv file a tab.
        encoding: of a text file.
        skip_lines: lines before the header of a CSV file.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    skip_lines: int = 0


def check_separator(given: object) -> str | None:
    r"""Return a separator as one character.

    Raises:
        Refused: it is another number of characters, a quote or the end of a line.

    >>> check_separator("tab")
    '\t'
    """
    if given is None:
        return None
    separator = _NAMED_SEPARATORS.get(str(given), str(given))
    if len(separator) != 1 or separator in '"\n\r':
        raise Refused(f"expected one character as separator, or tab, found {given!r}")
    return separator


class Table(Protocol):
    """What is common to the formats.

    Attributes:
        names: the columns; for JSON lines known after all blocks were read.
        types: the Arrow type of each, where the format has types.
        line: the line of the header, 0 where there is none.
    """

    names: list[str]
    types: dict[str, Any]
    line: int

    def advise(self, wanted: Sequence[str]) -> Advice:
        """Return what is probably wrong with a file that lacks wanted columns, or nothing."""
        ...

    def blocks(self, names: list[str]) -> Iterator[Block]:
        """Yield the rows from the first one on, with at least some of the columns."""
        ...


def open_table(source: Source, reading: Reading) -> Table:
    """Return the table in a file.

    Raises:
        Refused: it has no header, is of another encoding, or does not open.
    """
    if source.format == "parquet":
        return _ParquetTable(source)
    stream = source.rewind()
    check_encoding_of(source.name, stream.read(_HEAD_BYTES), check_encoding(reading.encoding))
    return _JsonTable(source, reading) if source.format == "jsonl" else _CsvTable(source, reading)


class _ParquetTable:
    def __init__(self, source: Source) -> None:
        self._rows = ParquetRows(source.name, source.rewind())
        self.names = self._rows.names
        self.types = self._rows.types
        self.line = 0

    def advise(self, wanted: Sequence[str]) -> Advice:
        del wanted
        return Advice()

    def blocks(self, names: list[str]) -> Iterator[Block]:
        return self._rows.read(names)


class _JsonTable:
    line = 0

    def __init__(self, source: Source, reading: Reading) -> None:
        self._source = source
        self._encoding = reading.encoding
        self.names: list[str] = []
        self.types: dict[str, Any] = {}

    def advise(self, wanted: Sequence[str]) -> Advice:
        del wanted
        return Advice()

    def blocks(self, names: list[str]) -> Iterator[Block]:
        seen: dict[str, None] = {}
        yield from read_json_lines(read_lines(self._source.rewind(), self._encoding), frozenset(names), seen)
        self.names = list(seen)


class _CsvTable:
    def __init__(self, source: Source, reading: Reading) -> None:
        self._source = source
        self._reading = reading
        usual = "\t" if source.name.lower().removesuffix(".gz").endswith(".tsv") else ","
        self._separator = reading.separator or usual
        self.types: dict[str, Any] = {}
        try:
            self.line, self.names = self._read_header()
        except Cut as error:
            raise Refused(f"{source.name}: {error}") from None

    def _read_header(self) -> tuple[int, list[str]]:
        for line in itertools.islice(self._lines(), self._reading.skip_lines, None):
            if line.text is not None and not line.text.strip():
                continue
            split = split_cells(line.text or "", self._separator)
            if line.text is None or split.open is not None or split.fault:
                where = f"{self._source.name}:{line.number}"
                raise Refused(f"{where}: expected a header line, found one that is too long or has an open quote")
            return line.number, split.cells
        raise Refused(f"expected a header line in {self._source.name}, found nothing on its lines")

    def advise(self, wanted: Sequence[str]) -> Advice:
        lines = itertools.islice(self._lines(), self._reading.skip_lines, HEADER_LINES_MAX)
        try:
            shown = [(line.text or "")[:_SHOWN_CHARS] for line in lines]
        except Cut:
            return Advice()
        return guess_from_lines(shown, self._separator, wanted)

    def blocks(self, names: list[str]) -> Iterator[Block]:
        del names
        lines = itertools.islice(self._lines(), self.line, None)
        return read_delimited(lines, self._separator, self.names)

    def _lines(self) -> Iterator[Line]:
        return read_lines(self._source.rewind(), self._reading.encoding)
