"""The columns of a file, judged once and before any row: a fault of the file is one message, not one for each row.

The message says which columns are missing, which were found, and what is probably wrong with the file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from weir.infra.user_files.layouts import recognise
from weir.schemas.errors import Refused

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_GIVEN = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}
HEADER_LINES_MAX = 50
"""How far down a header is looked for, to say where it is; reports begin with some lines of text."""
_NAMES_SHOWN = 20
_NAME = re.compile(r"[A-Za-z_][\w .?#/()-]{0,60}")
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),  # before the mark of UTF-16 that it begins with
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Advice(NamedTuple):
    """What is probably wrong with a file.

    Attributes:
        text: that, and what can be done to the file.
        flags: how a command takes it as it is; ``""`` where none does.
    """

    text: str = ""
    flags: str = ""


def check_encoding_of(name: str, head: bytes, encoding: str) -> None:
    """Refuse a text file that is plainly of another encoding than the one to be read.

    Raises:
        Refused: it has the marks of UTF-16 or UTF-32.
    """
    if encoding.startswith(("utf-16", "utf-32")):
        return
    encoding = encoding.removesuffix("-sig")
    save = f"save it as {encoding}"
    for mark, found in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            fault = f"{name}:1: expected {encoding}, found {found.upper()}; {save}"
            raise Refused(fault, flags=f"read it with --encoding {found}")
    if head.count(0) > len(head) // 4:
        little = head[1:2] == b"\0"
        found = "utf-16-le" if little else "utf-16-be"
        fault = f"{name}:1: expected {encoding}, found every other byte to be 0; {save}"
        raise Refused(fault, flags=f"try --encoding {found}")


def check_names(name: str, names: Sequence[str], wanted: Iterable[str], *, advice: Advice, line: int = 1) -> None:
    """Refuse columns of which some are missing or stand twice.

    Args:
        name: the file.
        names: its columns.
        wanted: those without which no row can be read.
        advice: where the reader of the format knows it.
        line: where the columns are named; 0 where the format has no such line.

    Raises:
        Refused: says what is missing, what was found, and what is probably wrong.
    """
    where = f"{name}:{line}" if line else name
    needed = list(dict.fromkeys(wanted))
    repeated = [each for each in needed if list(names).count(each) > 1]
    if repeated:
        raise Refused(f"{where}: expected each column once, found {_list(repeated)} twice or more")
    missing = [each for each in needed if each not in names]
    if not missing:
        return
    cause, flags = advice if advice.text else _guess(names, missing)
    lacking = "found none of them" if missing == needed else f"missing: {_list(missing)}"
    raise Refused(
        f"{where}: expected the columns {_list(needed)}; {lacking}; found: {_found(names)}; {cause}",
        flags=flags,
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _found(names: Sequence[str]) -> str:
    """List columns that look like names; a file without a header has values there, which are not shown."""
    if any(each.strip() and not _NAME.fullmatch(each.strip()) for each in names):
        return "one cell that is no name" if len(names) == 1 else f"{len(names)} cells, not all of them names"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return _list([each if _NAME.fullmatch(each.strip()) else "(no name)" for each in names[:_NAMES_SHOWN]]) + more


def _guess(names: Sequence[str], missing: Sequence[str]) -> Advice:
    layout = recognise(names)
    if layout is not None:
        return Advice(f"this is the layout of {layout.name}: {layout.advice}", layout.flags)
    plain = {_plain(each): each for each in names}
    close = [each for each in missing if _plain(each) in plain]
    if close:
        written = _list([repr(plain[_plain(each)]) for each in close])
        return Advice(f"{written} differ from them in case or blanks alone: rename them", "map them with --map")
    if any(each.strip() and not _NAME.fullmatch(each.strip()) for each in names):
        return Advice("the first line seems to hold values: write a header line with the columns' names above it")
    near = {each: difflib.get_close_matches(_plain(each), plain, 1) for each in missing}
    likely = _list([f"{plain[found[0]]!r} to {each}" for each, found in near.items() if found])
    such = f", such as {likely}" if likely else ""
    return Advice(f"rename columns{such}", "say with --map which is which (docs/publish.md)")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def guess_from_lines(lines: Sequence[str], separator: str, wanted: Sequence[str]) -> Advice:
    """Return what is wrong with a CSV file by its first lines, or nothing.

    Args:
        lines: the first lines, the supposed header included.
        separator: what the file was split by.
        wanted: the columns that are needed.
    """
    right = f"separate them by {SEPARATORS.get(separator, repr(separator))}"
    for other, called in SEPARATORS.items():
        if other != separator and _count(lines[0], other, wanted) > _count(lines[0], separator, wanted):
            return Advice(
                f"the columns are separated by {called}: {right}", f"read it with --separator {_GIVEN[other]}"
            )
        if separator not in lines[0] and lines[0].count(other) > 1:
            return Advice(f"the columns seem to be separated by {called}: {right}", f"try --separator {_GIVEN[other]}")
    for number, line in enumerate(lines[1:], 2):
        best = max(SEPARATORS, key=lambda each: _count(line, each, wanted))
        if _count(line, best, wanted) > max(len(wanted) // 2, _count(lines[0], separator, wanted)):
            is_right = best == separator
            text = (
                f"the header seems to be line {number}: delete the lines above it{'' if is_right else ', and ' + right}"
            )
            other = "" if is_right else f" and --separator {_GIVEN[best]}"
            return Advice(text, f"read it with --skip-lines {number - 1}{other}")
    return Advice()


def _count(line: str, separator: str, wanted: Sequence[str]) -> int:
    cells = {_plain(cell) for cell in line.split(separator)}
    return sum(_plain(each) in cells for each in wanted)
