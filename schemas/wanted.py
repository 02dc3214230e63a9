"""Which decisions somebody wants to see: by outcome, rule, score and the ids of the event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wanted:
    """What a decision has to be; all of it, and everything where nothing is named.

    Attributes:
        outcomes: one of these, as decisions name them: ``REVIEW``; any where empty.
        ids: field of the stream's events to the id that it has.
        rule: the rule or list that decided, or a rule that holds in shadow mode.
        score_min: the score is at least so much; a decision without a score has none.
    """

    outcomes: frozenset[str] = frozenset()
    ids: Mapping[str, str] = field(default_factory=dict)
    rule: str | None = None
    score_min: float | None = None

    def takes(self, decision: Mapping[str, Any]) -> bool:
        """Whether a decision is wanted.

        >>> Wanted(frozenset({"REVIEW"}), {"card_id": "c1"}).takes({"decision": "REVIEW", "card_id": "c1"})
        True
        >>> Wanted(score_min=0.5).takes({"decision": "APPROVE", "score": None})
        False
        """
        if self.outcomes and decision["decision"] not in self.outcomes:
            return False
        if self.score_min is not None and (decision["score"] is None or decision["score"] < self.score_min):
            return False
        if self.rule is not None and decision["decided_by"] != self.rule and self.rule not in decision["shadow_rules"]:
            return False
        return all(decision[name] == wanted for name, wanted in self.ids.items())
