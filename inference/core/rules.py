"""Rules next to the model, as they are matched. Pure.

A rule is for what must hold whatever a model says, and for patterns that are certain enough to be explained in one
line. Everything subtler belongs to the model. What a rule is, is said in ``schemas/rules.py``; what its condition
means, in ``conditions.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from weir.inference.core.condition_steps import Bools, Rows
from weir.inference.core.conditions import Conditions
from weir.inference.core.lists import APPEND_TIME, read_append_ms
from weir.schemas.checks.expression_types import Column
from weir.schemas.checks.rules import RULES_MAX
from weir.schemas.expression import Expression, columns_of
from weir.schemas.expression_text import to_text
from weir.schemas.rules import ALERT, OFF, OUTCOMES, SHADOW, TAG, Rule, digest_of

_VERSIONS: Final = {"5320e64e": "1"}
"""Versions from before they were digests: that of the payments' rules, which decisions of the past carry."""
_SHORT: Final = 8
_WHOLE_MAX: Final = 1e15
"""Up to here people count digits; beyond they read an exponent."""
NOTHING: Final[tuple[str, ...]] = ()
_NOTED: Final = frozenset({ALERT, TAG})
"""What a rule does that decides nothing."""


Noted = Sequence[tuple[str, npt.NDArray[np.int64]]]
"""Words, each with the rows that it is noted of; those of weaker rules come first."""


@dataclass(frozen=True)
class Matches:
    """What rules say of a batch.

    Attributes:
        decided: int32, shape (rows,): the position of the rule that goes first, -1 for none.
        tags: words of the rules that alert or tag.
        shadow: names of the rules in shadow mode that are fulfilled.
        hits: of how many rows each shadow rule is fulfilled, by its name.
        fulfilled: bool, shape (rows,), by the position of every rule that is not off.
    """

    decided: npt.NDArray[np.int32]
    tags: Noted = ()
    shadow: Noted = ()
    hits: Mapping[str, int] = field(default_factory=dict)
    fulfilled: Mapping[int, Bools] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleSet:
    """The rules of one stream; a frozen value, whatever they were read from.

    Attributes:
        version: raised with every change of them; each decision carries it.
        rules: as they were given; a position is one in here.
        digest: SHA-256 of all that they decide by, as hex digits.
    """

    version: str = "none"
    rules: tuple[Rule, ...] = field(default=(), compare=False)
    digest: str = ""
    _plan: _Plan | None = field(default=None, compare=False, repr=False)

    @property
    def columns(self) -> frozenset[str]:
        """Return the features and fields that are read to match them."""
        return self._plan.columns if self._plan else frozenset()

    def match(self, rows: Rows) -> Matches:
        """Match them with a batch."""
        count = rows.features.shape[0]
        if self._plan is None:
            return Matches(np.full(count, -1, dtype=np.int32))
        return self._plan.match(rows)


def build_rule_set(rules: Iterable[Rule], columns: Mapping[str, Column]) -> RuleSet:
    """Return rules as they are matched.

    Args:
        rules: without a fault.
        columns: what they can read; see ``rule_columns``.
    """
    given = tuple(rules)
    if not given:
        return RuleSet()
    digest = digest_of(given)
    version = _VERSIONS.get(digest[:_SHORT], digest[:_SHORT])
    return RuleSet(version, given, digest, _Plan(given, columns))


@lru_cache(maxsize=2 * RULES_MAX)
def describe_condition(rule: Rule) -> str:
    """Return a rule's condition for people; a whole number has no fraction.

    >>> from weir.schemas.expression import col
    >>> describe_condition(Rule("night", "REVIEW", (col("hour") < 5) & (col("amount") >= 1e2), ""))
    'hour < 5 and amount >= 100'
    """
    return to_text(_with_whole_numbers(rule.when))


def list_conditions(rule: Rule) -> list[str]:
    """Return what a rule's condition joins by ``and``, for people.

    >>> from weir.schemas.expression import col
    >>> list_conditions(Rule("night", "REVIEW", (col("hour") < 5) & ((col("a") == 1) | (col("b") == 2)), ""))
    ['hour < 5', 'a == 1 or b == 2']
    """
    return [to_text(part) for part in _flatten(_with_whole_numbers(rule.when))]


def _flatten(node: Expression) -> list[Expression]:
    return [each for part in node.parts for each in _flatten(part)] if node.op == "and" else [node]


def _with_whole_numbers(node: Expression) -> Expression:
    if node.op == "lit" and isinstance(node.value, float) and node.value.is_integer() and abs(node.value) < _WHOLE_MAX:
        return Expression("lit", value=int(node.value))
    return replace(node, parts=tuple(map(_with_whole_numbers, node.parts)))


class _Plan:
    """How rules are matched: which are looked at, and in which order."""

    def __init__(self, rules: Sequence[Rule], columns: Mapping[str, Column]) -> None:
        looked_at = [(position, rule) for position, rule in enumerate(rules) if rule.mode != OFF]
        # by what a rule does, then its priority, then its place; the weakest first, so that the strongest stays
        order = sorted(looked_at, key=lambda each: (OUTCOMES.index(each[1].then), -each[1].priority, each[0]))
        self._rules = [
            (position, rule, None if rule.is_always_valid else rule.valid_ms) for position, rule in order[::-1]
        ]
        self._conditions = Conditions([rule.when for _, rule, _ in self._rules], columns)
        self._is_timed = any(valid_ms for _, _, valid_ms in self._rules)
        self.columns = frozenset[str]().union(*(columns_of(rule.when) for _, rule, _ in self._rules))
        self.columns |= {APPEND_TIME} if self._is_timed else frozenset()

    def match(self, rows: Rows) -> Matches:
        decided = np.full(rows.features.shape[0], -1, dtype=np.int32)
        tags: list[tuple[str, npt.NDArray[np.int64]]] = []
        shadow: list[tuple[str, npt.NDArray[np.int64]]] = []
        hits: dict[str, int] = {}
        held: dict[int, Bools] = {}
        times = read_append_ms(rows.fields) if self._is_timed else None
        for (position, rule, valid_ms), found in zip(self._rules, self._conditions.evaluate(rows), strict=True):
            fulfilled = found
            if valid_ms is not None and times is not None:
                fulfilled = found & (times >= valid_ms[0]) & (times < valid_ms[1])
            held[position] = fulfilled
            number = np.count_nonzero(fulfilled)
            if not number:
                continue
            if rule.mode == SHADOW:
                hits[rule.name] = hits.get(rule.name, 0) + int(number)
                shadow.append((rule.name, np.flatnonzero(fulfilled)))
            elif rule.then in _NOTED:
                tags.append((rule.word, np.flatnonzero(fulfilled)))
            else:
                decided[fulfilled] = position
        return Matches(decided, tags, shadow, hits, held)


def list_words(noted: Noted) -> dict[int, tuple[str, ...]]:
    """Return the words of each row that has some, by precedence and each once.

    >>> list_words([("ODD", np.array([4, 7])), ("NIGHT", np.array([7]))])
    {4: ('ODD',), 7: ('NIGHT', 'ODD')}
    """
    found: dict[int, tuple[str, ...]] = {}
    for word, rows in noted:
        for row in rows.tolist():
            found[row] = (word, *(other for other in found.get(row, NOTHING) if other != word))
    return found
