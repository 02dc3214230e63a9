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
from functools import partial, reduce
from typing import Any, Final

import numpy as np

from weir.inference.core import condition_steps as steps
from weir.inference.core.condition_steps import Bools, Rows
from weir.schemas.checks.expression_types import BOOLEAN, INTEGER, TEXT, Column, kind_of
from weir.schemas.expression import ARITHMETIC, COMPARISONS, Expression, to_json
from weir.schemas.expression_values import fails, holds
from weir.schemas.rules import SCORE

_FEATURE, _EXACT, _DOUBLE, _LITERAL = "feature", "exact", "double", "literal"
"""How a number is held: in 32 bits, NaN for missing; as integers and which are known; in 64 bits; as it is written."""
_OTHER: Final = {"and": "or", "or": "and"}
"""Where one is false, either of its sides is, or both are."""
_FIRST: Final = 2
"""The place of the first step."""
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
        values[0], values[1] = rows, steps.positions(tuple(rows.names))
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
        if node.op in {"and", "or"}:
            return self._join(
                node.op if wanted else _OTHER[node.op], *(self.truth(p, wanted=wanted) for p in node.parts)
            )
        key = "truth", wanted, to_json(node)
        if key not in self._places:
            self._places[key] = self._plan_truth(node, wanted)
        return self._places[key]

    def _join(self, op: str, left: int, right: int) -> int:
        key = op, left, right
        if key not in self._places:
            self._places[key] = self._add(np.logical_and if op == "and" else np.logical_or, left, right)
        return self._places[key]

    def _plan_truth(self, node: Expression, wanted: bool) -> int:
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
            return self._add(partial(steps.ask_list, node=node, entity=entity, wanted=wanted))
        return self._add(partial(steps.ask_arrow, node=node, asked=holds if wanted else fails))

    def _plan_booleans(self, node: Expression, wanted: bool) -> int:
        """Compare what is true or false itself: equal is both true or both false."""
        if node.op == "is_in":
            either = [Expression("eq", (node.parts[0], Expression("lit", value=value))) for value in node.value]
            return self.truth(reduce(lambda one, other: Expression("or", (one, other)), either), wanted=wanted)
        one, other = node.parts
        same = (node.op == "eq") is wanted
        both = [
            self._join("and", self.truth(one, wanted=side), self.truth(other, wanted=side is same))
            for side in (True, False)
        ]
        return self._join("or", *both)

    def _plan_missing(self, part: Expression, wanted: bool) -> int:
        kind = self._kind(part)
        if kind == BOOLEAN:
            known = self._join("or", self.truth(part, wanted=True), self.truth(part, wanted=False))
            return self._add(steps.negate, known) if wanted else known
        if kind == TEXT:
            asked = holds if wanted else fails
            return self._add(partial(steps.ask_arrow, node=Expression("is_null", (part,)), asked=asked))
        form = self._form(part)
        if form == _LITERAL:
            return self._constant(np.bool_(not wanted))
        if form == _EXACT:
            return self._add(steps.is_missing if wanted else steps.is_known, self._exact(part))
        place = self._feature(part) if form == _FEATURE else self._double(part)
        return self._add(steps.is_nan if wanted else steps.is_number, place)

    def _plan_comparison(self, node: Expression, wanted: bool) -> int:
        forms = {self._form(part) for part in node.parts}
        compare = (steps.TRUE if wanted else steps.FALSE)[node.op]
        whole = all(isinstance(part.value, int) for part in node.parts if part.op == "lit")
        if forms <= {_EXACT, _LITERAL} and whole:
            return self._add(partial(steps.compare_exact, compare=compare), *map(self._exact, node.parts))
        if forms <= {_FEATURE, _LITERAL} and _FEATURE in forms:
            return self._add(compare, *map(self._feature, node.parts))
        return self._add(compare, *map(self._double, node.parts))

    def _plan_in(self, node: Expression, wanted: bool) -> int:
        (part,) = node.parts
        form, values = self._form(part), list(node.value)
        if form == _EXACT and all(isinstance(value, int) for value in values):
            listed = np.array(values, np.int64)
            return self._add(partial(steps.is_exact_in, values=listed, wanted=wanted), self._exact(part))
        place = self._feature(part) if form == _FEATURE else self._double(part)
        listed = np.array(values, np.float32 if form == _FEATURE else np.float64)
        return self._add(partial(steps.is_in, values=listed, wanted=wanted), place)

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
        return self._once("exact", node, lambda: self._add(partial(steps.read_exact, node=node)))

    def _feature(self, node: Expression) -> int:
        """Return the place of a feature, or of a literal that is compared with one."""
        if node.op == "lit":
            return self._constant(np.array(node.value, np.float32))
        return self._once("feature", node, lambda: self._add(self._plan_feature(node.value)))

    def _double(self, node: Expression) -> int:
        """Return the place of a number as a double, NaN for missing."""
        return self._once("double", node, lambda: self._plan_double(node))

    def _plan_double(self, node: Expression) -> int:
        if node.op == "lit":
            return self._constant(np.array(node.value, np.float64))
        self.computes = True
        if node.op in ARITHMETIC and self._kind(node) != INTEGER:
            return self._add(steps.COMPUTE[node.op], *(self._double(part) for part in node.parts))
        if node.op in {"sin_of", "cos_of"}:
            function = np.sin if node.op == "sin_of" else np.cos
            turn = partial(steps.turn, function=function, period=float(node.value))
            return self._add(turn, self._double(node.parts[0]))
        if node.op == "col" and self._is_feature(node.value):
            return self._add(steps.widen, self._feature(node))
        return self._add(partial(steps.read_double, node=node))

    def _is_feature(self, name: str) -> bool:
        return not self._columns[name].avro

    def _plan_feature(self, name: str) -> Callable[[Any, Any], Any]:
        if name == SCORE:
            return lambda rows, _: rows.scores
        # gathered once where several steps read it: next to each other its numbers are compared twice as fast
        return steps.read_feature(name, gather=self._uses[name] > 1)

    def _kind(self, node: Expression) -> str:
        return kind_of(node, self._columns)

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
