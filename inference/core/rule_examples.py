"""Examples of rules: each is one row of which all but what it names is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from weir.inference.core.condition_steps import Rows
from weir.inference.core.conditions import Conditions
from weir.inference.core.lists import Lists
from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, NUMBER, TEXT, Column
from weir.schemas.rules import SCORE, Example, Rule

_TYPES: Final = {BOOLEAN: pa.bool_(), INTEGER: pa.int64(), NUMBER: pa.float64(), TEXT: pa.string()}
_SOMEBODY: Final = "somebody"
"""The id of an entity that an example has on a list without saying who it is."""


class ExampleResult(NamedTuple):
    """The outcome of one example.

    Attributes:
        number: of the example among those of its rule, from 1 on.
        found: whether its rule is fulfilled.
    """

    rule: Rule
    number: int
    example: Example
    found: bool

    @property
    def passed(self) -> bool:
        """Whether that was expected."""
        return self.found is self.example.hit


def run_examples(rules: Sequence[Rule], columns: Mapping[str, Column]) -> Iterator[ExampleResult]:
    """Yield the outcome of every example: of its rule's condition alone, whatever its mode and its validity.

    Args:
        rules: without a fault.
        columns: what they can read; see ``rule_columns``.
    """
    for rule in rules:
        condition = Conditions([rule.when], columns) if rule.examples else None
        for number, example in enumerate(rule.examples, 1):
            assert condition is not None
            (found,) = condition.evaluate(_build_row(example, columns))
            yield ExampleResult(rule, number, example, bool(found[0]))


def _build_row(example: Example, columns: Mapping[str, Column]) -> Rows:
    listed = {field for fields in example.lists.values() for field in fields}
    values: dict[str, Any] = dict.fromkeys(listed, _SOMEBODY) | {
        name: value for name, value in example.values.items() if value is not None
    }
    fields = {name: column for name, column in columns.items() if column.avro and column.kind and not column.absent}
    numbers = [name for name in columns if not columns[name].avro and name != SCORE]
    arrays = {name: pa.array([values.get(name)], _TYPES[column.kind]) for name, column in fields.items()}
    return Rows(
        np.array([[values.get(name, np.nan) for name in numbers]], np.float32),
        numbers,
        np.array([values.get(SCORE, np.nan)], np.float32),
        pa.record_batch(arrays),
        _build_lists(example, values, columns),
    )


def _build_lists(example: Example, values: Mapping[str, Any], columns: Mapping[str, Column]) -> Lists:
    sides: dict[str, Any] = {
        name: {columns[field].entity: frozenset({str(values[field])}) for field in fields}
        for name, fields in example.lists.items()
    }
    return Lists("example", **sides)
