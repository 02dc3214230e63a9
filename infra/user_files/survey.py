"""What a column as a whole says about its unit, asked before the first row is taken.

Amounts of 12.50, 12.00 and 7.99 are major units, and 12.00 would pass as 12 minor units if each value were asked alone.
So a column of whole numbers is taken or refused as one: digits are whole, and ``2599.0`` is how programs write a whole
number in a column with gaps; but one fraction, one decimal comma, one currency sign or one ``12.00`` anywhere in the
file says that the column is something else, and nothing of the file is taken. The same holds for flags (one 0.7 says
that they are scores), for times (one fraction says seconds), for local times next to times with an offset, and for ids
that all end in ``.0``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from weir.infra.user_files.blocks import Block, Column
from weir.infra.user_files.columns import as_objects
from weir.infra.user_files.fields import Field
from weir.infra.user_files.header import Advice
from weir.infra.user_files.values import WHOLE_FLOAT, parse_flag
from weir.schemas.currencies import CURRENCIES, exponent
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.masking import quote

_DECIMAL = re.compile(r"[+-]?[0-9]{0,30}[.,][0-9]{0,30}")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:[ .,'\u00a0\u202f][0-9]{3})+(?:[.,][0-9]+)?")
_EXPONENT = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+")
_OFFSET = re.compile(r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$")
_TIME = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}[T ][0-9]")
_DEFAULT_EXPONENT = 2


class FileRefused(Refused):
    """A fault of all rows: a column of another unit than its field, or no row that splits. None is taken."""


@dataclass
class _Seen:
    """What was seen of one column: how many values say that it is something else, and the first of them."""

    other: int = 0
    line: int = 0
    first: str = ""
    currency: str = ""
    local: int = 0
    with_offset: int = 0
    ids: int = 0
    damaged_ids: int = 0


@dataclass
class Survey:
    """Follows the columns of a file that are read with their field's own meaning.

    Attributes:
        fields: those columns' fields by the name that the column has in the file.
        zone_given: whether times without an offset have a zone stated for them.
        currencies: the column of each field that is a currency, by the field.
    """

    fields: Mapping[str, Field]
    zone_given: bool = False
    currencies: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    _split: int = 0
    _first_bad: tuple[int, PoisonRecord] | None = None
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def follow(self, block: Block) -> None:
        """Look at one block."""
        self.rows += len(block.numbers) + len(block.bad) + block.lost
        self._split += len(block.numbers) + block.lost
        self._first_bad = self._first_bad or next(iter(block.bad), None)
        for name, target in self.fields.items():
            column = block.columns.get(name)
            if column is not None and _is_doubtful(column):
                self._follow_column(target, name, column, block)

    def _follow_column(self, target: Field, name: str, column: Column, block: Block) -> None:
        seen = self._seen.setdefault(name, _Seen())
        if target.is_id and seen.ids > seen.damaged_ids:
            return  # one sound id clears the column
        values = [found.strip() if isinstance(found, str) else found for found in as_objects(column)]
        if target.is_id:
            _follow_ids(seen, values)
        elif target.kind in {"whole", "time"}:
            _follow_numbers(seen, values, block, self.currencies.get(target.currency))
        elif target.kind == "flag":
            _follow_flags(seen, values, block)
        if target.kind == "time":
            _follow_zones(seen, values)

    def check(self, name: str) -> None:
        """Judge the columns.

        Raises:
            FileRefused: the first column that is something else than its field, or not one of several rows splits.
        """
        if self._first_bad is not None and not self._split and self.rows > 1:
            line, error = self._first_bad
            raise FileRefused(f"{name}:{line}: {error}; none of the {self.rows} rows is taken, all fail so")
        for column, seen in self._seen.items():
            reason, flags = self._judge(self.fields[column], column, seen)
            if reason:
                where = f"{name}:{seen.line}" if seen.line else name
                raise FileRefused(f"{where}: {reason}; none of the {self.rows} rows is taken", flags=flags)

    def _judge(self, target: Field, column: str, seen: _Seen) -> Advice:
        if seen.other:
            reason, flags = _explain(target, quote(column), seen)
            return Advice(f"{reason} ({seen.other} such values in column {column})", flags)
        if seen.local and seen.with_offset and not self.zone_given:
            return Advice(
                f"expected times of one kind in column {column}, found {seen.local} without an offset and "
                f"{seen.with_offset} with one; give each an offset",
                'state the zone of the others with zone = "..." in a --map file',
            )
        if seen.damaged_ids and seen.damaged_ids == seen.ids:
            return Advice(
                f"expected ids in column {column}, found numbers that end in .0, as floats are written; "
                "export the column as text or whole numbers"
            )
        return Advice()


def _is_doubtful(column: Column) -> bool:
    """Return whether a column could be of another unit: integers and plain digits cannot."""
    if not isinstance(column, list):
        kind = str(column.type)
        return not kind.startswith(("int", "uint", "bool", "timestamp", "null"))
    try:
        joined = "".join(column)
    except TypeError:  # JSON has types
        return True
    return not (joined.isascii() and joined.isdigit())


def _follow_numbers(seen: _Seen, values: Sequence[object], block: Block, currency: str | None) -> None:
    for row, found in enumerate(values):
        if _is_other_unit(found):
            if not seen.other:
                seen.line, seen.first = block.numbers[row], quote(str(found))
                seen.currency = _currency_of(block, row, currency)
            seen.other += 1


def _is_other_unit(found: object) -> bool:
    """Return whether a value says that its column holds no whole numbers of the unit wanted."""
    if isinstance(found, float):
        return math.isfinite(found) and not found.is_integer()
    text = str(found) if isinstance(found, Decimal) else found
    if not isinstance(text, str) or text.isdigit() or WHOLE_FLOAT.fullmatch(text):
        return False
    if _DECIMAL.fullmatch(text) or _GROUPED.fullmatch(text) or _EXPONENT.fullmatch(text):
        return any(character.isdigit() for character in text)
    return any(unicodedata.category(character) == "Sc" for character in text)


def _currency_of(block: Block, row: int, name: str | None) -> str:
    column = block.columns.get(name) if name else None
    return str(as_objects(column)[row]).strip() if column is not None else ""


def _follow_flags(seen: _Seen, values: Sequence[object], block: Block) -> None:
    for row, found in enumerate(values):
        if _is_other_unit(found) and parse_flag(found) is None:
            seen.other += 1
            if seen.other == 1:
                seen.line, seen.first = block.numbers[row], quote(str(found))


def _follow_zones(seen: _Seen, values: Sequence[object]) -> None:
    for found in values:
        if isinstance(found, str) and _TIME.match(found):
            has_offset = _OFFSET.search(found) is not None
            seen.with_offset += has_offset
            seen.local += not has_offset


def _follow_ids(seen: _Seen, values: Sequence[object]) -> None:
    for found in values:
        if found not in (None, ""):
            seen.ids += 1
            seen.damaged_ids += isinstance(found, str) and WHOLE_FLOAT.fullmatch(found) is not None


def _explain(target: Field, column: str, seen: _Seen) -> Advice:
    if _EXPONENT.fullmatch(seen.first):
        return Advice(f"expected all digits of {target.name}, found {seen.first}, which a program may have rounded")
    if target.kind == "flag":
        return Advice(f"expected true or false, found {seen.first}; a score is no label")
    if target.kind == "time":
        flags = 'read seconds with a fraction by unit = "s" in a --map file'
        return Advice(f"expected whole milliseconds, found {seen.first}", flags)
    if target.currency:
        mapping = f'{target.name} = {{ column = "{column}", unit = "major" }}'
        fault = f"{seen.first} looks like major units; expected minor units{_suggest(seen)}"
        return Advice(fault, f"take it by --map with {mapping}")
    return Advice(f"expected whole numbers, found {seen.first}")


def _suggest(seen: _Seen) -> str:
    """Return what a plain amount would be in minor units, where that is exact."""
    text = seen.first.replace(",", ".")
    if not _DECIMAL.fullmatch(text) or len(text.partition(".")[2]) > _DEFAULT_EXPONENT:
        return ""
    digits = exponent(seen.currency) if seen.currency in CURRENCIES else _DEFAULT_EXPONENT
    minor = Decimal(text).scaleb(digits)
    return f", {int(minor)}" if minor == int(minor) else ""
