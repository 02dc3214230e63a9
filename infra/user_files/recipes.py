"""Fields that are made of other columns: joined, hashed, constant, numbered, looked up, converted."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.infra.user_files.amounts import MajorUnits
from weir.infra.user_files.blocks import Block
from weir.infra.user_files.columns import Converted, as_objects, convert
from weir.infra.user_files.fields import Field
from weir.infra.user_files.plan import Done
from weir.infra.user_files.values import Value, is_absent, parse_text, parse_whole
from weir.schemas.errors import PoisonRecord

_HASH_HEX = 32
"""128 bits: no two cards meet by chance."""
Combine = Callable[[Block, list[list[object]]], list[object]]
"""Makes one value of a row's cells: given the block, and the sources' values, each as long as the block."""


@dataclass(frozen=True)
class Made:
    """A field made of the cells of a row.

    Attributes:
        combine: makes the raw value.
        parse: reads it, where the field's own way does not.
        own_meaning: whether the one source has the meaning of the field itself, so that its unit is surveyed.
        nulls: texts that stand for no value.
    """

    target: Field
    sources: tuple[str, ...]
    arrow_type: Any
    combine: Combine
    parse: Callable[[object], Value] | None = None
    own_meaning: bool = False
    nulls: frozenset[str] = frozenset()

    @property
    def plain(self) -> bool:
        """Whether its one column is surveyed for the field."""
        return self.own_meaning

    def fill(self, block: Block, done: Done) -> Converted:
        """Return the field's values for a block."""
        del done
        cells = [cells_of(block, name, self.nulls) for name in self.sources]
        return convert(self.target, self.combine(block, cells), self.arrow_type, self.parse)


@dataclass(frozen=True)
class Amount:
    """An amount in major units; needs the currency of each row, which is filled before."""

    target: Field
    name: str
    arrow_type: Any
    units: MajorUnits
    nulls: frozenset[str] = frozenset()
    plain: bool = field(default=False, init=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The amount's column."""
        return (self.name,)

    def fill(self, block: Block, done: Done) -> Converted:
        """Convert the column."""
        currencies = done[self.target.currency].values.to_pylist()
        rows = list(zip(cells_of(block, self.name, self.nulls), currencies, strict=True))
        return convert(self.target, [None if is_absent(found) else (found, code) for found, code in rows],
                       self.arrow_type, self._parse)  # fmt: skip

    def _parse(self, found: object) -> Value:
        assert isinstance(found, tuple)
        amount, currency = found
        return self.units.convert(self.target, amount, currency)


def cells_of(block: Block, name: str, nulls: frozenset[str]) -> list[object]:
    """Return the values of one column, stripped, with None for what stands for no value."""
    column = block.columns.get(name)
    if column is None:
        return [None] * len(block.numbers)
    values = [found.strip() if isinstance(found, str) else found for found in as_objects(column)]
    return [None if is_absent(found) or (isinstance(found, str) and found in nulls) else found for found in values]


def take_first(_: Block, cells: list[list[object]]) -> list[object]:
    """Combine for a field of one column."""
    return cells[0]


def constant(value: object) -> Combine:
    """Combine for a field that is the same in each row."""
    return lambda block, _: [value] * len(block.numbers)


def numbered(prefix: str) -> Combine:
    """Combine for an id that is the row's place in the file."""
    return lambda block, _: [f"{prefix}{number}" for number in block.numbers]


def joined(separator: str) -> Combine:
    """Combine for a field of several columns; a row in which all are empty has no value."""

    def combine(block: Block, cells: list[list[object]]) -> list[object]:
        del block
        rows = zip(*cells, strict=True)
        return [None if all(found is None for found in row) else _join(row, separator) for row in rows]

    return combine


def _join(row: tuple[object, ...], separator: str) -> object:
    parts = ["" if found is None else _part(found) for found in row]
    return list(row) if None in parts else separator.join(part or "" for part in parts)


def _part(found: object) -> str | None:
    """Return a cell as text; a float that holds a whole number is that number, as columns with gaps are floats."""
    text = parse_text(found)
    if text is not None:
        return text
    whole = parse_whole(found)
    return None if whole is None else str(whole)


def hashed(key: bytes, separator: str = "\x1f") -> Combine:
    """Combine for a token: a keyed hash of one or more columns, the same for the same cells."""
    join = joined(separator)

    def combine(block: Block, cells: list[list[object]]) -> list[object]:
        return [_hash(key, found) if isinstance(found, str) else found for found in join(block, cells)]

    return combine


def _hash(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:_HASH_HEX]


def looked_up(target: Field, values: Mapping[str, Value], other: Value) -> Callable[[object], Value]:
    """Return a way to read a value by a table; ``other`` stands for what is not in it, None refuses it."""

    def parse(found: object) -> Value:
        value = values.get(found if isinstance(found, str) else str(found), other)
        if value is None:
            message = f"expected a value that the mapping lists, found another at $.{target.name}"
            raise PoisonRecord("wrong_type", message, target.name)
        return value

    return parse
