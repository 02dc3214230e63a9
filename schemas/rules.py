"""A rule of a stream, as it is declared: what must hold whatever a model says, or where there is no model.

    Rule("many_rides", "REVIEW", col("rider_event_count_1h") >= 12, "nobody rides this often")

A condition compares features with numbers, and conditions are joined by ``&``. A feature that is missing fulfils no
condition. Rules are no part of the declarations' hash: they change nothing that is stored.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from weir.schemas.expression import Expression
from weir.schemas.origin import Origin, find_origin

DECISIONS: Final = ("REVIEW", "DECLINE")
SIGNS: Final = {"ge": ">=", "le": "<=", "gt": ">", "lt": "<", "eq": "=="}
"""Comparisons that a missing feature does not fulfil."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule.

    Attributes:
        name: is in ``decided_by`` of the decisions that it makes.
        then: REVIEW or DECLINE.
        when: comparisons of features with numbers, joined by ``&``.
        why: for the person who reads the decision.
        code: the reason code; the name in upper case by default.
    """

    name: str
    then: str
    when: Expression
    why: str
    code: str = ""
    where: Origin = dataclasses.field(default_factory=find_origin, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.code:
            object.__setattr__(self, "code", str(self.name).upper())


def list_comparisons(node: Expression) -> list[Expression]:
    """Return what is joined by ``&``, in order.

    >>> from weir.schemas.expression import col, to_text
    >>> [to_text(each) for each in list_comparisons((col("a") >= 1) & (col("b") < 2) & (col("c") == 3))]
    ['a >= 1', 'b < 2', 'c == 3']
    """
    if node.op == "and":
        return [each for part in node.parts for each in list_comparisons(part)]
    return [node]


def read_comparison(node: Expression) -> tuple[str, str, float] | None:
    """Return the feature, the sign and the number of a comparison, or None where it is another expression.

    >>> from weir.schemas.expression import col
    >>> read_comparison(col("card_event_count_5m") >= 12), read_comparison(~col("small"))
    (('card_event_count_5m', '>=', 12.0), None)
    """
    if node.op not in SIGNS or len(node.parts) != len(("feature", "number")):
        return None
    feature, number = node.parts
    if feature.op != "col" or number.op != "lit" or not isinstance(number.value, int | float):
        return None
    return str(feature.value), SIGNS[node.op], float(number.value)
