"""Opening a user's file for a command: its flags, and all the way from the path to a checker that has judged it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.user_files.checker import Checker
from infra.user_files.lines import check_encoding
from infra.user_files.plan import Plan, plain_plan
from infra.user_files.sources import open_source
from infra.user_files.tables import Reading, open_table
from infra.user_files.tally import Tally
from schemas.errors import Refused

_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}


@dataclass(frozen=True)
class Manner:
    """How a command was asked to read a file.

    Attributes:
        reading: of text files.
        form: the format, by default what the name ends in.
    """

    reading: Reading = field(default_factory=Reading)
    form: str | None = None

    def plan(self, kind: str) -> Plan:
        """Return which column fills which field."""
        return plain_plan(kind)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a file is to be read."""
    group = parser.add_argument_group("how the file is read")
    group.add_argument("--format", choices=["csv", "jsonl", "parquet"], help="by default what the name ends in")
    group.add_argument("--separator", metavar="CHAR", help="between the cells of a CSV file: ';', '|' or tab")
    group.add_argument("--encoding", help="of a text file, such as utf-16 or windows-1252 (default: utf-8)")
    group.add_argument("--skip-lines", type=int, metavar="N", help="lines before the header of a CSV file")


def manner_of(arguments: argparse.Namespace) -> Manner:
    """Return what those flags say.

    Raises:
        Refused: an encoding or a separator is none.
    """
    check_encoding(arguments.encoding or "utf-8")
    reading = Reading(check_separator(arguments.separator), arguments.encoding or "utf-8", arguments.skip_lines or 0)
    return Manner(reading, arguments.format)


def check_separator(given: str | None) -> str | None:
    r"""Return a separator as one character.

    Raises:
        Refused: it is another number of characters, a quote or the end of a line.

    >>> check_separator("tab")
    '\t'
    """
    if given is None:
        return None
    separator = _NAMED_SEPARATORS.get(given, given)
    if len(separator) != 1 or separator in '"\n\r':
        raise Refused(f"expected one character as separator, or tab, found {given!r}")
    return separator


def now_ms() -> int:
    """Return UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def open_checked(path: Path, kind: str, manner: Manner) -> Iterator[Checker]:
    """Open a file, to be judged next; its bad rows are written on stderr as they are found.

    Raises:
        Refused: it is missing, no file, of another format, or has no columns.
    """
    with open_source(path, form=manner.form) as source:
        tally = Tally(source.name, sys.stderr.write)
        table = open_table(source, manner.reading)
        try:
            yield Checker(source, table, manner.plan(kind), tally.report, now_ms, tally.follow)
        finally:
            tally.close()
