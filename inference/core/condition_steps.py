"""The steps of conditions: what is read of a batch, and what is compared and computed of it.

A step is a function of two values, of which it may need one; what a condition makes of them is planned in
``conditions.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.inference.core.lists import Lists, read_append_ms
from weir.inference.core.vector import Matrix
from weir.schemas.expression import Expression
from weir.schemas.expression_values import evaluate

Bools = npt.NDArray[np.bool_]
_EQUALS_MAX: Final = 8
"""A list of this many numbers is compared one by one: sorting rows costs more."""


@dataclass(frozen=True)
class Rows:
    """What rules can ask of a batch.

    Attributes:
        features: float32, shape (rows, len(names)).
        names: of the columns.
        scores: float32, shape (rows,); NaN where there is none.
        fields: of the events; a column that it lacks is missing in every row.
        lists: that a condition may ask.
    """

    features: Matrix
    names: Sequence[str]
    scores: npt.NDArray[np.float32]
    fields: pa.RecordBatch
    lists: Lists


class Exact(NamedTuple):
    """Integers, and which of them are known; None is all."""

    values: npt.NDArray[np.int64]
    known: Bools | None


def _differs(left: Any, right: Any) -> Any:
    return (left < right) | (left > right)  # NaN differs from everything by !=


TRUE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": np.equal, "ne": _differs, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
FALSE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": _differs, "ne": np.equal, "lt": np.greater_equal, "le": np.greater, "gt": np.less_equal, "ge": np.less,
}  # fmt: skip
COMPUTE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda left, right: np.divide(left, np.where(np.equal(right, 0), np.nan, right)),
}
"""Over doubles."""


@lru_cache(maxsize=16)
def positions(names: tuple[str, ...]) -> dict[str, int]:
    """Return the position of each feature by its name."""
    return {name: position for position, name in enumerate(names)}


def read_feature(name: str, *, gather: bool) -> Callable[[Rows, Mapping[str, int]], Any]:
    """Return what reads a feature of a batch; NaN where the batch does not have it."""

    def read(rows: Rows, positions: Mapping[str, int]) -> Any:
        if name not in positions:
            return np.full(rows.features.shape[0], np.nan, np.float32)
        column = rows.features[:, positions[name]]
        return np.ascontiguousarray(column) if gather else column

    return read


def read_exact(rows: Rows, _: Any, *, node: Expression) -> Exact:
    """Return the integers of an expression over fields."""
    found = evaluate(node, rows.fields)
    if pa.types.is_null(found.type):
        found = found.cast(pa.int64())
    if not found.null_count:
        return Exact(found.to_numpy(zero_copy_only=False), None)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    return Exact(pc.fill_null(found, 0).to_numpy(zero_copy_only=False), known)


def read_double(rows: Rows, _: Any, *, node: Expression) -> Any:
    """Return the numbers of an expression over fields, NaN where they are missing."""
    return evaluate(node, rows.fields).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def ask_arrow(rows: Rows, _: Any, *, node: Expression, asked: Callable[..., Bools]) -> Bools:
    """Return where an expression over fields is true, or where it is false."""
    return asked(node, rows.fields)


def ask_list(rows: Rows, _: Any, *, node: Expression, entity: str, wanted: bool) -> Bools:
    """Return whose ids are on a list, or whose are known and are not."""
    ids = evaluate(node.parts[0], rows.fields)
    found, _ = rows.lists.find(node.value, {entity: ids}, len(ids), read_append_ms(rows.fields))
    if wanted:
        return found
    known: Bools = ids.is_valid().to_numpy(zero_copy_only=False)
    return ~found & known


def compare_exact(left: Any, right: Any, *, compare: Callable[[Any, Any], Any]) -> Any:
    """Compare integers; one that is missing is not what is asked for."""
    sides = [side for side in (left, right) if isinstance(side, Exact)]
    found = compare(*(side.values if isinstance(side, Exact) else side for side in (left, right)))
    return reduce(np.logical_and, (side.known for side in sides if side.known is not None), found)


def is_exact_in(exact: Exact, _: Any, *, values: Any, wanted: bool) -> Any:
    """Tell which integers are in a list, or which are known and are not."""
    found = _any_equal(exact.values, values)
    found = found if wanted else ~found
    return found if exact.known is None else found & exact.known


def is_in(numbers: Any, _: Any, *, values: Any, wanted: bool) -> Any:
    """Tell which numbers are in a list, or which are there and are not."""
    found = _any_equal(numbers, values)
    return found if wanted else ~found & ~np.isnan(numbers)


def _any_equal(numbers: Any, values: Any) -> Any:
    if len(values) > _EQUALS_MAX:
        return np.isin(numbers, values)
    return reduce(np.logical_or, (np.equal(numbers, value) for value in values))


def turn(numbers: Any, _: Any, *, function: Callable[[Any], Any], period: float) -> Any:
    """Return the sine or cosine of places in a cycle."""
    return function(numbers / period * (2.0 * np.pi))


def widen(numbers: Any, _: Any) -> Any:
    """Return features as doubles."""
    return numbers.astype(np.float64)


def negate(found: Any, _: Any) -> Any:
    """Return where it is not so."""
    return np.logical_not(found)


def is_missing(exact: Exact, _: Any) -> Any:
    """Tell which integers are missing."""
    return np.zeros(len(exact.values), np.bool_) if exact.known is None else ~exact.known


def is_known(exact: Exact, _: Any) -> Any:
    """Tell which integers are there."""
    return np.ones(len(exact.values), np.bool_) if exact.known is None else exact.known


def is_nan(numbers: Any, _: Any) -> Any:
    """Tell which numbers are missing."""
    return np.isnan(numbers)


def is_number(numbers: Any, _: Any) -> Any:
    """Tell which numbers are there."""
    return ~np.isnan(numbers)
