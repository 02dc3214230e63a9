"""Decides rows as arrays: the one function behind stream, API and trials over millions of logged decisions. Pure.

Who decided a row is a number, so that no text is made for it; ``decisions.py`` makes the texts and reasons of a record.

========== ===============================================================
0 to 3     ``model``, ``fallback``, ``rules``, ``let_through``
then       the rules, by their position
then       the entity kinds of the allow list, then those of the block list
========== ===============================================================

**Cost:** some 10 ns a row next to the rules' own comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from weir.inference.core.condition_steps import Rows
from weir.inference.core.let_through import LetThrough
from weir.inference.core.lists import Ids, Lists, read_append_ms
from weir.inference.core.rules import Matches, Noted, RuleSet
from weir.inference.core.thresholds import Cut, Scores
from weir.schemas.rules import Rule

OUTCOMES: tuple[str, str, str] = ("APPROVE", "REVIEW", "DECLINE")
"""By severity; arrays of decisions hold positions in it."""
APPROVE, REVIEW, DECLINE = 0, 1, 2
BY_MODEL, BY_FALLBACK, BY_RULES, BY_LET_THROUGH = 0, 1, 2, 3
WATCHED: Final = "WATCH_LIST"
"""The tag of decisions on who is on the watch list."""
_FIXED: Final = ("model", "fallback", "rules", "let_through")
_SIDES: Final = ("allow", "block")
Outcomes = npt.NDArray[np.uint8]


class Decider(NamedTuple):
    """What a number stands for: a rule by its position, or a list and an entity kind."""

    name: str
    rule: int = -1
    side: str = ""
    kind: str = ""


@dataclass(frozen=True)
class DecidedRows:
    """The outcome per row.

    Attributes:
        outcomes: uint8, shape (rows,), positions in ``OUTCOMES``.
        by: int32, shape (rows,): who decided.
        failed: how many scores the model did not give.
        tags: words of rules, and of the watch list.
        matches: what the rules say.
        rules: that ``by`` counts.
        lists: and the lists.
        propensity: per row the share of such events that is let through, NaN for events that never are; None where
            nothing is.
    """

    outcomes: Outcomes
    by: npt.NDArray[np.int32]
    failed: int
    tags: Noted
    matches: Matches
    rules: Sequence[Rule]
    lists: Lists
    propensity: npt.NDArray[np.float64] | None = None

    @property
    def first_rule(self) -> int:
        """Return the number of the first rule."""
        return len(_FIXED)

    def decider(self, number: int) -> Decider:
        """Return what a number of ``by`` stands for."""
        place = number - len(_FIXED)
        if place < 0:
            return Decider(_FIXED[number])
        if place < len(self.rules):
            return Decider(self.rules[place].name, rule=place)
        place -= len(self.rules)
        side, kind = [(side, kind) for side in _SIDES for kind in self.lists.of(side)][place]
        return Decider(f"{side}_list_{kind}", side=side, kind=kind)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the name of every number."""
        listed = sum(len(self.lists.of(side)) for side in _SIDES)
        return tuple(self.decider(number).name for number in range(len(_FIXED) + len(self.rules) + listed))


def decide_rows(
    rows: Rows, ids: Ids, rule_set: RuleSet, cut: Cut, let_through: LetThrough | None = None, *, has_model: bool
) -> DecidedRows:
    """Decide rows whose scores are known.

    Args:
        rows: with the lists, and scores as ``check_scores`` leaves them.
        ids: entity kind to ids, one per row; looked up in the lists.
        rule_set: of the stream.
        cut: thresholds.
        let_through: which of what the model declines is let through; None lets nothing.
        has_model: False where lists and rules decide alone.
    """
    count = len(rows.scores)
    if has_model:
        outcomes = compute_outcomes(rows.scores, review=cut.review, decline=cut.decline)
        failed = np.isnan(rows.scores)
        by = np.where(failed, np.int32(BY_FALLBACK), np.int32(BY_MODEL))
    else:
        outcomes, by = np.full(count, APPROVE, np.uint8), np.full(count, BY_RULES, np.int32)
        failed = np.zeros(count, np.bool_)
    found = rule_set.match(rows)
    _apply_rules(found.decided, rule_set.rules, outcomes, failed, by)
    tags = _apply_lists(rows, ids, len(rule_set.rules), outcomes, by)
    propensity = None if let_through is None else _let_through(rows, let_through, outcomes, by)
    return DecidedRows(
        outcomes, by, int(np.count_nonzero(failed)), (*tags, *found.tags), found, rule_set.rules, rows.lists, propensity
    )


def check_scores(scores: Scores) -> Scores:
    """Return the scores with everything that is no probability as NaN.

    >>> check_scores(np.array([0.5, 1.5, -0.1], dtype=np.float32)).tolist()
    [0.5, nan, nan]
    """
    with np.errstate(invalid="ignore"):
        is_sound = (scores >= 0.0) & (scores <= 1.0)
    if is_sound.all():
        return scores.astype(np.float32, copy=False)
    return np.where(is_sound, scores, np.float32(np.nan)).astype(np.float32)


def compute_outcomes(scores: Scores, *, review: float | Scores, decline: float | Scores) -> Outcomes:
    """Cut scores at the thresholds; at the threshold counts as over it, a failed score is for review.

    >>> compute_outcomes(np.array([0.1, 0.5, 0.9, np.nan], dtype=np.float32), review=0.5, decline=0.9).tolist()
    [0, 1, 2, 1]
    """
    # compared in float32, as the score is: 0.9 as a double is not the 0.9 that a model says
    first, second = np.asarray(review, np.float32), np.asarray(decline, np.float32)
    outcomes = (scores >= first).astype(np.uint8) + (scores >= second).astype(np.uint8)
    outcomes[np.isnan(scores)] = REVIEW
    return outcomes


def _apply_rules(
    matched: npt.NDArray[np.int32],
    rules: Sequence[Rule],
    outcomes: Outcomes,
    failed: npt.NDArray[np.bool_],
    by: npt.NDArray[np.int32],
) -> None:
    """Change outcomes and who decides in place.

    A rule that asks for review leaves a score that says review (or worse) alone: the score explains itself better.
    """
    rows = np.flatnonzero(matched >= 0)
    if not len(rows):
        return
    of_rule = np.array([OUTCOMES.index(rule.then) if rule.then in OUTCOMES else APPROVE for rule in rules], np.uint8)
    severity = of_rule[matched[rows]]
    decides = (severity > outcomes[rows]) | failed[rows] | (severity != REVIEW)
    rows, severity = rows[decides], severity[decides]
    outcomes[rows], by[rows] = severity, matched[rows] + len(_FIXED)


def _apply_lists(rows: Rows, ids: Ids, rules: int, outcomes: Outcomes, by: npt.NDArray[np.int32]) -> Noted:
    """Change outcomes and who decides in place; return the tag of who is watched: it decides nothing."""
    if not rows.lists.kinds:
        return ()
    append_ms, lists, first = read_append_ms(rows.fields), rows.lists, len(_FIXED) + rules
    places = {side: lists.find_kinds(side, ids, len(by), append_ms) for side in (*_SIDES, "watch")}
    # the allow list goes first, so it writes last
    for side, outcome, begin in (("block", DECLINE, first + len(lists.allow)), ("allow", APPROVE, first)):
        found = places[side] >= 0
        if found.any():
            outcomes[found], by[found] = outcome, places[side][found] + begin
    watched = np.flatnonzero(places["watch"] >= 0)
    return ((WATCHED, watched),) if len(watched) else ()


def _let_through(rows: Rows, let: LetThrough, outcomes: Outcomes, by: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Change outcomes and who decides in place; return the propensities."""
    propensity = np.full(len(by), np.nan)
    declined = np.flatnonzero((outcomes == DECLINE) & (by == BY_MODEL))
    eligible = let.find_eligible(declined, rows.features, rows.names, rows.fields)
    propensity[eligible] = let.text.share
    chosen = eligible[let.choose(eligible, rows.fields)]
    outcomes[chosen], by[chosen] = OUTCOMES.index(let.text.outcome), BY_LET_THROUGH
    return propensity
