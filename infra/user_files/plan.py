"""Which column of a file fills which field, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from weir.infra.user_files.blocks import Block
from weir.infra.user_files.columns import Converted, convert
from weir.infra.user_files.fields import Field, fields_of, schema_of
from weir.infra.user_files.values import Value
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

Done = dict[str, Converted]
"""Fields of a block that are filled already; an amount needs its currency."""


class Recipe(Protocol):
    """How one field is filled."""

    @property
    def target(self) -> Field:
        """The field."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns it is made of."""
        ...

    @property
    def plain(self) -> bool:
        """Whether it is one column with the field's own meaning, so that the column can be surveyed for it."""
        ...

    def fill(self, block: Block, done: Done) -> Converted:
        """Return the field's values for a block."""
        ...


@dataclass(frozen=True)
class Column:
    """One column as it is; ``parse`` stands in for the field's own way to read a value."""

    target: Field
    name: str
    arrow_type: Any
    parse: Callable[[object], Value] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The column's own name."""
        return (self.name,)

    @property
    def plain(self) -> bool:
        """Whether nothing stands between column and field."""
        return self.parse is None

    def fill(self, block: Block, done: Done) -> Converted:
        """Convert the column; one that no row has is null."""
        del done
        found = block.columns.get(self.name)
        values = [None] * len(block.numbers) if found is None else found
        return convert(self.target, values, self.arrow_type, self.parse)


@dataclass(frozen=True)
class LabelPlan:
    """A column of events that says what each turned out to be.

    Attributes:
        recipe: fills the labels' verdict; a row without a value has no label.
        delay_ms: how long after its event each label is known.
        source: who says so.
    """

    recipe: Recipe
    delay_ms: int
    source: str


@dataclass(frozen=True)
class Plan:
    """How the fields of one kind are filled, in the schema's order.

    Attributes:
        kind: ``transactions``, which are the stream's events, or ``labels``.
        recipes: one for each field, by the field's name.
        named: columns that a mapping names, which must be there although a field may be null.
        zone_given: whether times without an offset have a zone stated.
        label: where rows of events have a column that labels them.
        stream: whose records the rows are.
    """

    kind: str
    recipes: dict[str, Recipe]
    named: frozenset[str] = frozenset()
    zone_given: bool = False
    label: LabelPlan | None = None
    stream: Stream = payments

    @property
    def all_recipes(self) -> list[Recipe]:
        """Those of the fields and of the label."""
        return [*self.recipes.values(), *([self.label.recipe] if self.label else [])]

    @property
    def sources(self) -> list[str]:
        """Every column that is read, once."""
        return list(dict.fromkeys(name for recipe in self.all_recipes for name in recipe.sources))

    @property
    def currency_columns(self) -> dict[str, str]:
        """The column of each field that is the currency of an amount, where it is made of one."""
        fields = {recipe.target.currency for recipe in self.recipes.values()} & set(self.recipes)
        return {name: self.recipes[name].sources[0] for name in fields if self.recipes[name].sources}

    @property
    def wanted(self) -> list[str]:
        """The columns without which no row can be read."""
        recipes = self.recipes.values()
        needed = [name for each in recipes for name in each.sources if each.target.required or name in self.named]
        return list(dict.fromkeys([*needed, *sorted(self.named)]))

    def surveyed(self) -> dict[str, Field]:
        """Return the columns that are taken as they are and say something about their unit as a whole."""
        kinds = {"whole", "time", "flag"}
        return {
            each.sources[0]: each.target
            for each in self.all_recipes
            if each.plain and (each.target.kind in kinds or each.target.is_id)
        }

    def fill(self, block: Block) -> Done:
        """Return every field of a block."""
        done: Done = {}
        # an amount in major units is converted by its currency
        for name in sorted(self.recipes, key=lambda each: self.recipes[each].target.currency != ""):
            done[name] = self.recipes[name].fill(block, done)
        return {name: done[name] for name in self.recipes}


def arrow_schema(kind: str, stream: Stream = payments) -> pa.Schema:
    """Return the Arrow schema of a kind's newest version."""
    return BatchCodec(schema=schema_of(kind, stream)).arrow_schema


def plain_plan(kind: str, stream: Stream = payments) -> Plan:
    """Return the plan of a file whose columns are the fields."""
    names = (field.name for field in fields_of(kind, stream))
    return Plan(kind, plain_recipes(kind, names, stream), stream=stream)


def plain_recipes(kind: str, names: Iterable[str], stream: Stream = payments) -> dict[str, Recipe]:
    """Return recipes of fields that are columns of the same name."""
    schema, wanted = arrow_schema(kind, stream), set(names)
    return {
        field.name: Column(field, field.name, schema.field(field.name).type)
        for field in fields_of(kind, stream)
        if field.name in wanted
    }
