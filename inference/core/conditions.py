"""Conditions of rules over a batch, by NumPy: planned once, then no Python runs per row for a feature or a number.

**What is missing.** A feature or score that is NaN, a field that is null and a number that is none (infinity less
infinity, a division by zero) are missing. A comparison with something missing is unknown. ``and``, ``or`` and ``not``
follow SQL: false and unknown is false, true or unknown is true, not unknown is unknown. A condition that is unknown is
not fulfilled; ``is None`` alone is never unknown.

**How.** Each node is asked where it is true, or where it is false; ``not`` asks the other question. So no third value
is ever stored: NaN compares false both in ``a < b`` and in ``a >= b``, which is what the false side of ``a < b`` is.

**Numbers.** Features and scores are 32 bits wide, and a literal next to one alone is rounded to its 32 bits: 0.1 is
the 0.1 that a feature can hold. Any sum, product or quotient of them is 64 bits wide. Fields and what is made of
integers alone are computed by Arrow, exactly as in a declaration.

**Cost:** some 1 ns a row for a comparison, once however many rules have it; 1 us a batch and comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.inference.core.lists import Lists, read_append_ms
from weir.inference.core.vector import Matrix
from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, TEXT, Column, type_of
from weir.schemas.expression import ARITHMETIC, COMPARISONS, Expression, to_json
from weir.schemas.expression_values import evaluate, fails, holds
from weir.schemas.rules import SCORE

Bools = npt.NDArray[np.bool_]
_FEATURE, _EXACT, _DOUBLE, _LITERAL = "feature", "exact", "double", "literal"
"""How a number is held: in 32 bits, NaN for missing; as integers and which are known; in 64 bits; as it is written."""
_FIRST: Final = 2
"""The place of the first step."""
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


class _Exact(NamedTuple):
    """Integers, and which of them are known; None is all."""

    values: npt.NDArray[np.int64]
    known: Bools | None


def _differs(left: Any, right: Any) -> Any:
    return (left < right) | (left > right)  # NaN differs from everything by !=


_TRUE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": np.equal, "ne": _differs, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
_FALSE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": _differs, "ne": np.equal, "lt": np.greater_equal, "le": np.greater, "gt": np.less_equal, "ge": np.less,
}  # fmt: skip
_COMPUTE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": partial(np.add, dtype=np.float64),
    "sub": partial(np.subtract, dtype=np.float64),
    "mul": partial(np.multiply, dtype=np.float64),
    "div": lambda left, right: np.divide(left, np.where(np.equal(right, 0), np.nan, right), dtype=np.float64),
}


_Step = tuple[Callable[[Any, Any], Any], int, int]
"""A function and the places of its two operands.

Places are positions in one list: the batch, where its features are, then the value of each step, then the constants,
counted from the end.
"""


class Conditions:
    """The conditions of several rules, as steps over a batch that share what they have in common."""

    def __init__(self, nodes: Sequence[Expression], columns: Mapping[str, Column]) -> None:
        """Plan them.

        Args:
            nodes: conditions without a fault.
            columns: what they can read.
        """
        planner = _Planner(columns, Counter(name for node in nodes for name in _list_columns(node)))
        self._roots = [planner.truth(node, wanted=True) for node in nodes]
        self._steps = tuple(planner.steps)
        self._values = [None] * (len(self._steps) + _FIRST) + planner.constants[::-1]
        self._may_warn = planner.computes

    def evaluate(self, rows: Rows) -> list[Bools]:
        """Return per condition, bool, shape (rows,), where it is fulfilled."""
        count = rows.features.shape[0]
        values: list[Any] = self._values.copy()
        values[0], values[1] = rows, _positions(tuple(rows.names))
        if self._may_warn:
            with np.errstate(all="ignore"):  # infinity less infinity is missing, and no warning
                self._run(values)
        else:  # a comparison never warns
            self._run(values)
        return [found if (found := values[root]).ndim else np.full(count, found) for root in self._roots]

    def _run(self, values: list[Any]) -> None:
        place = _FIRST
        for function, left, right in self._steps:
            values[place] = function(values[left], values[right])
            place += 1


def _list_columns(node: Expression) -> list[str]:
    return [str(node.value)] if node.op == "col" else [name for part in node.parts for name in _list_columns(part)]


class _Planner:
    """Turns conditions into steps; what two of them have in common becomes one.

    Attributes:
        steps: in order.
        constants: literals, as they are compared.
        computes: whether any step is more than a comparison.
    """

    def __init__(self, columns: Mapping[str, Column], uses: Mapping[str, int]) -> None:
        self._columns = columns
        self._uses = uses
        self._places: dict[Any, int] = {}
        self.steps: list[_Step] = []
        self.constants: list[Any] = []
        self.computes = False

    def truth(self, node: Expression, *, wanted: bool) -> int:
        """Return the place of the rows where a condition is true, or where it is false."""
        if node.op == "not":
            return self.truth(node.parts[0], wanted=not wanted)
        key = "truth", wanted, to_json(node)
        if key not in self._places:
            self._places[key] = self._plan_truth(node, wanted)
        return self._places[key]

    def _plan_truth(self, node: Expression, wanted: bool) -> int:
        if node.op in {"and", "or"}:
            left, right = (self.truth(part, wanted=wanted) for part in node.parts)
            return self._add(np.logical_and if (node.op == "and") is wanted else np.logical_or, left, right)
        if node.op == "is_null":
            return self._plan_missing(node.parts[0], wanted)
        kinds = {self._kind(part) for part in node.parts} if node.op in {*COMPARISONS, "is_in"} else {TEXT}
        if BOOLEAN in kinds:
            return self._plan_booleans(node, wanted)
        if TEXT not in kinds:
            return (self._plan_in if node.op == "is_in" else self._plan_comparison)(node, wanted)
        return self._plan_leaf(node, wanted)

    def _plan_leaf(self, node: Expression, wanted: bool) -> int:
        """Plan what is over fields alone."""
        if node.op == "lit":
            return self._constant(np.bool_(node.value is wanted))
        if node.op == "in_list":
            entity = self._columns[node.parts[0].value].entity
            return self._add(partial(_ask_list, node=node, entity=entity, wanted=wanted))
        return self._add(partial(_ask_arrow, node=node, asked=holds if wanted else fails))

    def _plan_booleans(self, node: Expression, wanted: bool) -> int:
        """Compare what is true or false itself: equal is both true or both false."""
        if node.op == "is_in":
            either = [Expression("eq", (node.parts[0], Expression("lit", value=value))) for value in node.value]
            return self.truth(reduce(lambda one, other: Expression("or", (one, other)), either), wanted=wanted)
        one, other = node.parts
        same = (node.op == "eq") is wanted
        both = [
            self._add(np.logical_and, self.truth(one, wanted=side), self.truth(other, wanted=side is same))
            for side in (True, False)
        ]
        return self._add(np.logical_or, *both)

    def _plan_missing(self, part: Expression, wanted: bool) -> int:
        kind = self._kind(part)
        if kind == BOOLEAN:
            known = self._add(np.logical_or, self.truth(part, wanted=True), self.truth(part, wanted=False))
            return self._add(_negate, known) if wanted else known
        if kind == TEXT:
            asked = holds if wanted else fails
            return self._add(partial(_ask_arrow, node=Expression("is_null", (part,)), asked=asked))
        form = self._form(part)
        if form == _LITERAL:
            return self._constant(np.bool_(not wanted))
        if form == _EXACT:
            return self._add(_is_missing if wanted else _is_known, self._exact(part))
        place = self._feature(part) if form == _FEATURE else self._double(part)
        return self._add(_is_nan if wanted else _is_number, place)

    def _plan_comparison(self, node: Expression, wanted: bool) -> int:
        forms = {self._form(part) for part in node.parts}
        compare = (_TRUE if wanted else _FALSE)[node.op]
        whole = all(isinstance(part.value, int) for part in node.parts if part.op == "lit")
        if forms <= {_EXACT, _LITERAL} and whole:
            return self._add(partial(_compare_exact, compare=compare), *map(self._exact, node.parts))
        if forms <= {_FEATURE, _LITERAL} and _FEATURE in forms:
            return self._add(compare, *map(self._feature, node.parts))
        return self._add(compare, *map(self._double, node.parts))

    def _plan_in(self, node: Expression, wanted: bool) -> int:
        (part,) = node.parts
        form, values = self._form(part), list(node.value)
        if form == _EXACT and all(isinstance(value, int) for value in values):
            listed = np.array(values, np.int64)
            return self._add(partial(_is_exact_in, values=listed, wanted=wanted), self._exact(part))
        place = self._feature(part) if form == _FEATURE else self._double(part)
        listed = np.array(values, np.float32 if form == _FEATURE else np.float64)
        return self._add(partial(_is_in, values=listed, wanted=wanted), place)

    def _form(self, node: Expression) -> str:
        """Return how a number is held."""
        if node.op == "lit":
            return _LITERAL
        if self._kind(node) == INTEGER:
            return _EXACT
        return _FEATURE if node.op == "col" and self._is_feature(node.value) else _DOUBLE

    def _exact(self, node: Expression) -> int:
        """Return the place of an integer as it is."""
        if node.op == "lit":
            return self._constant(node.value)
        return self._once("exact", node, lambda: self._add(partial(_read_exact, node=node)))

    def _feature(self, node: Expression) -> int:
        """Return the place of a feature, or of a literal that is compared with one."""
        if node.op == "lit":
            return self._constant(np.array(node.value, np.float32))
        return self._once("feature", node, lambda: self._add(self._read_feature(node.value)))

    def _double(self, node: Expression) -> int:
        """Return the place of a number as a double, NaN for missing."""
        return self._once("double", node, lambda: self._plan_double(node))

    def _plan_double(self, node: Expression) -> int:
        if node.op == "lit":
            return self._constant(np.array(node.value, np.float64))
        self.computes = True
        if node.op in ARITHMETIC and self._kind(node) != INTEGER:
            return self._add(_COMPUTE[node.op], *(self._double(part) for part in node.parts))
        if node.op in {"sin_of", "cos_of"}:
            function = np.sin if node.op == "sin_of" else np.cos
            return self._add(partial(_turn, function=function, period=float(node.value)), self._double(node.parts[0]))
        if node.op == "col" and self._is_feature(node.value):
            return self._add(_widen, self._feature(node))
        return self._add(partial(_read_double, node=node))

    def _is_feature(self, name: str) -> bool:
        return not self._columns[name].avro

    def _read_feature(self, name: str) -> Callable[[Any, Any], Any]:
        if name == SCORE:
            return lambda rows, _: rows.scores
        # gathered once where several steps read it: next to each other its numbers are compared twice as fast
        return _read_feature(name, gather=self._uses[name] > 1)

    def _kind(self, node: Expression) -> str:
        return type_of(node, self._columns).kind

    def _constant(self, value: Any) -> int:
        key = "constant", str(getattr(value, "dtype", "")), repr(value)
        if key not in self._places:
            self.constants.append(value)
            self._places[key] = -len(self.constants)
        return self._places[key]

    def _once(self, form: str, node: Expression, plan: Callable[[], int]) -> int:
        key = form, to_json(node)
        if key not in self._places:
            self._places[key] = plan()
        return self._places[key]

    def _add(self, function: Callable[[Any, Any], Any], left: int = 0, right: int = 1) -> int:
        self.steps.append((function, left, right))
        return len(self.steps) + _FIRST - 1


@lru_cache(maxsize=16)
def _positions(names: tuple[str, ...]) -> dict[str, int]:
    return {name: position for position, name in enumerate(names)}


def _read_feature(name: str, *, gather: bool) -> Callable[[Rows, Mapping[str, int]], Any]:
    def read(rows: Rows, positions: Mapping[str, int]) -> Any:
        if name not in positions:
            return np.full(rows.features.shape[0], np.nan, np.float32)
        column = rows.features[:, positions[name]]
        return np.ascontiguousarray(column) if gather else column

    return read


def _read_exact(rows: Rows, _: Any, *, node: Expression) -> _Exact:
    found = evaluate(node, rows.fields)
    if pa.types.is_null(found.type):
        found = found.cast(pa.int64())
    if not found.null_count:
        return _Exact(found.to_numpy(zero_copy_only=False), None)
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    return _Exact(pc.fill_null(found, 0).to_numpy(zero_copy_only=False), known)


def _read_double(rows: Rows, _: Any, *, node: Expression) -> Any:
    return evaluate(node, rows.fields).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _ask_arrow(rows: Rows, _: Any, *, node: Expression, asked: Callable[..., Bools]) -> Bools:
    return asked(node, rows.fields)


def _ask_list(rows: Rows, _: Any, *, node: Expression, entity: str, wanted: bool) -> Bools:
    ids = evaluate(node.parts[0], rows.fields).to_pylist()
    found, _ = rows.lists.find(node.value, {entity: ids}, len(ids), read_append_ms(rows.fields))
    if wanted:
        return found
    return ~found & np.fromiter((each is not None for each in ids), np.bool_, len(ids))


def _compare_exact(left: Any, right: Any, *, compare: Callable[[Any, Any], Any]) -> Any:
    sides = [side for side in (left, right) if isinstance(side, _Exact)]
    found = compare(*(side.values if isinstance(side, _Exact) else side for side in (left, right)))
    return reduce(np.logical_and, (side.known for side in sides if side.known is not None), found)


def _is_exact_in(exact: _Exact, _: Any, *, values: Any, wanted: bool) -> Any:
    found = _any_equal(exact.values, values)
    found = found if wanted else ~found
    return found if exact.known is None else found & exact.known


def _is_in(numbers: Any, _: Any, *, values: Any, wanted: bool) -> Any:
    found = _any_equal(numbers, values)
    return found if wanted else ~found & ~np.isnan(numbers)


def _any_equal(numbers: Any, values: Any) -> Any:
    if len(values) > _EQUALS_MAX:
        return np.isin(numbers, values)
    return reduce(np.logical_or, (np.equal(numbers, value) for value in values))


def _turn(numbers: Any, _: Any, *, function: Callable[[Any], Any], period: float) -> Any:
    return function(numbers / period * (2.0 * np.pi))


def _widen(numbers: Any, _: Any) -> Any:
    return numbers.astype(np.float64)


def _negate(found: Any, _: Any) -> Any:
    return np.logical_not(found)


def _is_missing(exact: _Exact, _: Any) -> Any:
    return np.zeros(len(exact.values), np.bool_) if exact.known is None else ~exact.known


def _is_known(exact: _Exact, _: Any) -> Any:
    return np.ones(len(exact.values), np.bool_) if exact.known is None else exact.known


def _is_nan(numbers: Any, _: Any) -> Any:
    return np.isnan(numbers)


def _is_number(numbers: Any, _: Any) -> Any:
    return ~np.isnan(numbers)
