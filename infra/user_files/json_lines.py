"""Rows of a file with one JSON object a line. Numbers keep their digits: ``12.10`` stays 12.10, not a float near it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from weir.infra.user_files.blocks import BLOCK_CHARS, BLOCK_ROWS, Block
from weir.infra.user_files.lines import LINE_CHARS_MAX, Cut, Line
from weir.schemas.errors import PoisonRecord

_DIGITS_MAX = 30
"""More than any field holds; Python takes quadratic time over longer ones and refuses thousands of digits."""
_FRACTION_CHARS_MAX = 400
"""The longest way to write a float exactly takes some 330."""
_NAMES_MAX = 1_000
"""Names that are kept for a message; objects may have others without end."""
Row = dict[str, Any]


@dataclass(frozen=True)
class LongNumber:
    """A number with more digits than any field holds; it is refused by the field that it is in."""

    digits: int

    def __str__(self) -> str:
        return f"a number of {self.digits} digits"


class _Repeated(ValueError):
    """A name that stands twice in one object."""


def read_json_lines(lines: Iterator[Line], wanted: Collection[str], seen: dict[str, None]) -> Iterator[Block]:
    """Yield the objects of a file in blocks; blank lines are counted and left out.

    Args:
        lines: of the file.
        wanted: names of which the values are kept.
        seen: takes the names that objects have, the wanted ones and the first of the others.
    """
    block, chars = Block(), 0
    rows: list[Row] = []
    try:
        for line in lines:
            block.lines += 1
            parsed = _parse(line)
            if parsed is None:
                block.blank += 1
            elif isinstance(parsed, PoisonRecord):
                block.bad.append((line.number, parsed))
            else:
                block.numbers.append(line.number)
                rows.append(parsed)
                seen.update((name, None) for name in parsed if name in wanted or len(seen) < _NAMES_MAX)
            chars += len(line.text or "")
            if len(rows) + len(block.bad) >= BLOCK_ROWS or chars >= BLOCK_CHARS:
                yield _finish(block, rows, wanted)
                block, rows, chars = Block(), [], 0
    except Cut as error:
        block.broken = str(error)
    yield _finish(block, rows, wanted)


def _finish(block: Block, rows: list[Row], wanted: Collection[str]) -> Block:
    columns = {name: [row.get(name) for row in rows] for name in wanted}
    block.columns = {name: column for name, column in columns.items() if any(found is not None for found in column)}
    return block


def _parse(line: Line) -> Row | PoisonRecord | None:
    if line.text is None:
        return _bad(f"at most {LINE_CHARS_MAX:,} characters on a line, found more")
    if not line.text or line.text.isspace():
        return None
    try:
        row = json.loads(
            line.text, parse_float=_parse_float, parse_int=_parse_int, parse_constant=_parse_constant,
            object_pairs_hook=_build_object,
        )  # fmt: skip
    except RecursionError:
        return _bad("a JSON object, found one nested too deeply")
    except _Repeated as error:
        return _bad(f"each name once in a JSON object, found {error} twice")
    except ValueError as error:
        return _bad(f"a JSON object, found text that is none: {str(getattr(error, 'msg', error)).lower()}")
    return row if isinstance(row, dict) else _bad(f"a JSON object, found {_kind_of(row)}")


def _bad(expected: str) -> PoisonRecord:
    return PoisonRecord("malformed_line", f"expected {expected}")


def _kind_of(value: object) -> str:
    if isinstance(value, int | Decimal | LongNumber) and not isinstance(value, bool):
        return "a number"
    return {list: "an array", str: "text", bool: "true or false"}.get(type(value), "null")


def _build_object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        # a name is the file's own text: shown only where it could be a name
        raise _Repeated(repeated if repeated.isidentifier() else "a name")
    return row


def _parse_float(text: str) -> Decimal | LongNumber:
    return Decimal(text) if len(text) <= _FRACTION_CHARS_MAX else LongNumber(sum(map(str.isdigit, text)))


def _parse_int(text: str) -> int | LongNumber:
    return int(text) if len(text) <= _DIGITS_MAX else LongNumber(len(text.lstrip("-")))


def _parse_constant(text: str) -> float:
    return float(text.lower().replace("infinity", "inf"))
