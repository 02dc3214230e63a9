"""Opening a user's file for a command: its flags, and all the way from the path to a checker that has judged it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from weir.infra.user_files.checker import Checker
from weir.infra.user_files.lines import check_encoding
from weir.infra.user_files.mapping import Mapping, load_mapping
from weir.infra.user_files.plan import Plan, plain_plan
from weir.infra.user_files.sources import open_source
from weir.infra.user_files.tables import Reading, check_separator, open_table
from weir.infra.user_files.tally import Tally
from weir.schemas.errors import Refused
from weir.schemas.placeholders import BUILT_IN, Placeholders
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

_FORMATS = ("csv", "jsonl", "parquet")


@dataclass(frozen=True)
class Manner:
    """How a command was asked to read a file.

    Attributes:
        reading: of text files.
        form: the format, by default what the name ends in.
        mapping: which columns fill which fields, where they have other names.
        placeholders: ids that name nobody in this deployment.
        stream: whose records are in the file.
    """

    reading: Reading = field(default_factory=Reading)
    form: str | None = None
    mapping: Mapping | None = None
    placeholders: Placeholders = BUILT_IN
    stream: Stream = payments

    def plan(self, kind: str) -> Plan:
        """Return which column fills which field.

        Raises:
            Refused: the mapping names what there is not.
        """
        return plain_plan(kind, self.stream) if self.mapping is None else self.mapping.plan(kind, self.stream)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a file is to be read."""
    group = parser.add_argument_group("how the file is read")
    group.add_argument("--map", type=Path, metavar="FILE", help="which columns fill which fields: docs/publish.md")
    group.add_argument("--format", choices=_FORMATS, help="by default what the name ends in")
    group.add_argument("--separator", metavar="CHAR", help="between the cells of a CSV file: ';', '|' or tab")
    group.add_argument("--encoding", help="of a text file, such as utf-16 or windows-1252 (default: utf-8)")
    group.add_argument("--skip-lines", type=int, metavar="N", help="lines before the header of a CSV file")


def manner_of(arguments: argparse.Namespace, placeholders: Placeholders, stream: Stream = payments) -> Manner:
    """Return what those flags say, which ids name nobody, and whose records they are.

    Raises:
        Refused: an encoding or a separator is none, or the mapping is not one.
    """
    mapping = load_mapping(arguments.map) if arguments.map else None
    said = mapping.file if mapping else {}
    encoding = str(arguments.encoding or said.get("encoding", "utf-8"))
    check_encoding(encoding)
    separator = arguments.separator or said.get("separator")
    skip_lines = said.get("skip_lines", 0) if arguments.skip_lines is None else arguments.skip_lines
    if not isinstance(skip_lines, int) or skip_lines < 0:
        raise Refused(f"expected skip_lines as a number of lines, found {skip_lines!r}")
    reading = Reading(check_separator(separator), encoding, skip_lines)
    return Manner(reading, arguments.format or _format_of(said), mapping, placeholders, stream)


def _format_of(said: dict[str, object]) -> str | None:
    form = said.get("format")
    if form is None or form in _FORMATS:
        return form
    raise Refused(f"expected format as one of {', '.join(_FORMATS)}, found {form!r}")


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
            plan = manner.plan(kind)
            yield Checker(source, table, plan, manner.placeholders, tally.report, now_ms, tally.follow)
        finally:
            tally.close()
