"""Rules next to the model: few, declared as data, versioned. Pure.

A rule is for what must hold whatever a model says, and for patterns that are certain enough to be explained in one
line. Everything subtler belongs to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weir.inference.core.reason_codes import format_value
from weir.inference.core.vector import Matrix

_OPERATORS: dict[str, Callable[[Matrix, float], npt.NDArray[np.bool_]]] = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    ">": np.greater,
    "<": np.less,
    "==": np.equal,
}
"""A missing feature, NaN, fulfils none of them."""


@dataclass(frozen=True)
class Condition:
    """One comparison; a missing feature never satisfies it."""

    feature: str
    operator: str
    value: float

    def __str__(self) -> str:
        return f"{self.feature} {self.operator} {format_value(self.value)}"


@dataclass(frozen=True)
class Rule:
    """All conditions together lead to ``decision`` (REVIEW or DECLINE)."""

    name: str
    decision: str
    code: str
    why: str
    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        unknown = [each.operator for each in self.conditions if each.operator not in _OPERATORS]
        if unknown or not self.conditions or self.decision not in {"REVIEW", "DECLINE"}:
            raise ValueError(f"rule {self.name}: unknown operator {unknown}, or no condition or decision")


@dataclass(frozen=True)
class RuleSet:
    """The rules of one stream.

    Attributes:
        version: raised with every change of them; each decision carries it.
        rules: in order of precedence within their outcome.
    """

    version: str = "none"
    rules: tuple[Rule, ...] = ()

    def check(self, names: Collection[str]) -> RuleSet:
        """Return the rules themselves, all of whose features are declared.

        Raises:
            ValueError: one is not.
        """
        for rule in self.rules:
            unknown = [condition.feature for condition in rule.conditions if condition.feature not in names]
            if unknown:
                raise ValueError(f"rule {rule.name}: unknown feature {unknown}")
        return self


def match_rules(features: Matrix, names: Sequence[str], rules: Sequence[Rule]) -> npt.NDArray[np.int32]:
    """Return per row the position of the first rule that applies, -1 for none; DECLINE goes before REVIEW.

    Args:
        features: float32, shape (rows, len(names)).
        names: what the columns are.
        rules: in order of precedence within their outcome.
    """
    column = {name: index for index, name in enumerate(names)}
    found = np.full(features.shape[0], -1, dtype=np.int32)
    # from the weakest to the strongest, so that the strongest is what stays
    for position in sorted(range(len(rules)), key=lambda p: (rules[p].decision == "DECLINE", -p)):
        found[_applies(rules[position], features, column)] = position
    return found


def _applies(rule: Rule, features: Matrix, column: dict[str, int]) -> npt.NDArray[np.bool_]:
    if any(condition.feature not in column for condition in rule.conditions):
        return np.zeros(features.shape[0], dtype=np.bool_)
    hits = np.ones(features.shape[0], dtype=np.bool_)
    for condition in rule.conditions:
        # NaN compares false
        hits &= _OPERATORS[condition.operator](features[:, column[condition.feature]], condition.value)
    return hits
