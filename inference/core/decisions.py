"""Score -> decision, by what goes first.

The order: allow list, block list, rules that decline, rules that allow, then the stricter of the rules that review and
the score. Rules that tag and rules in shadow mode are noted next to whatever decided, and change nothing.

Pure and vectorised: rows that are approved are touched as arrays only; strings are built for the others.

A score that is not a number in [0, 1] is a failed score. It is never replaced by one: where no list or rule
decides, the row goes to REVIEW as ``fallback`` with the reason ``SCORE_UNAVAILABLE``, and the record's score is null.

A stream without a model is decided by lists and rules alone: what none of them names is approved by ``rules``, and the
record's score is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.inference.core.calibration import Calibration
from weir.inference.core.condition_steps import Rows
from weir.inference.core.deciding import (
    APPROVE,
    BY_LET_THROUGH,
    BY_MODEL,
    BY_RULES,
    DECLINE,
    OUTCOMES,
    REVIEW,
    Decider,
    check_scores,
    compute_outcomes,
    decide_rows,
)
from weir.inference.core.lists import Ids, Lists
from weir.inference.core.reason_codes import SCORE_UNAVAILABLE
from weir.inference.core.reasons import Groups, Reason, explain
from weir.inference.core.rules import NOTHING, Noted, RuleSet, describe_condition, list_words
from weir.inference.core.thresholds import Cut, ThresholdTable, find_cut
from weir.inference.core.vector import NO_MODEL, Matrix, select_columns
from weir.schemas.rules import Rule

__all__ = ["APPROVE", "DECLINE", "OUTCOMES", "REVIEW", "Judgement", "Model", "NamedVersions", "build_rules_version",
           "check_scores", "compute_outcomes", "judge", "split_rules_version"]  # fmt: skip


class Model(Protocol):
    """What deciding needs of a model bundle."""

    names: tuple[str, ...]
    review_threshold: float
    decline_threshold: float
    reference: npt.NDArray[np.float32]
    groups: Groups
    calibration: Calibration | None
    """What its scores are worth; None where nobody measured it."""
    lacking: tuple[str, ...]
    """Causes for which every decision is degraded; ``no_model`` where there is none, and every score is NaN."""

    def score(self, features: Matrix) -> npt.NDArray[np.float32]:
        """Return P(fraud) per row, float32, shape (rows,); NaN where it failed."""
        ...


@dataclass(frozen=True)
class Judgement:
    """The outcome per row.

    Attributes:
        scores: float32, shape (rows,); NaN for a failed score, and where there is no model.
        outcomes: uint8, shape (rows,), positions in ``OUTCOMES``.
        decided_by: ``model``, ``fallback``, the name of a rule or list, ``rules``: no model, and none of them; or
            ``let_through``: the model declines it, and it is let through.
        reasons: per row; empty for what the model approved.
        rules_version: of rules and lists together.
        failed: how many scores the model did not give.
        tags: per row the words of the rules that tag it.
        shadow_rules: per row the names of the rules in shadow mode that it fulfils.
        shadow_hits: of how many rows each of those is fulfilled, by its name.
        calibration: what the scores are worth; None where nobody measured it.
        propensity: per row the share of such events that is let through, NaN for events that never are; None where
            nothing is.
        let_through_minor: what is at stake in the rows that are let through, base minor units.
    """

    scores: npt.NDArray[np.float32]
    outcomes: npt.NDArray[np.uint8]
    decided_by: list[str]
    reasons: list[Sequence[Reason]]
    rules_version: str
    failed: int = 0
    tags: list[Sequence[str]] = field(default_factory=list)
    shadow_rules: list[Sequence[str]] = field(default_factory=list)
    shadow_hits: Mapping[str, int] = field(default_factory=dict)
    calibration: Calibration | None = None
    propensity: npt.NDArray[np.float64] | None = None
    let_through_minor: float = 0.0


def build_rules_version(lists: Lists, rules: RuleSet, thresholds: ThresholdTable | None = None) -> str:
    """Return what the decisions carry: which rules, lists and published thresholds were in force.

    >>> build_rules_version(Lists("a"), RuleSet("1"))
    '1+lists-a'
    """
    version = rules.version if lists.version == "none" else f"{rules.version}+lists-{lists.version}"
    return version if thresholds is None else f"{version}+thresholds-{thresholds.version}"


class NamedVersions(NamedTuple):
    """What a decision says was in force; ``none`` for no rules and no lists, ``None`` for the model's thresholds."""

    rules: str
    lists: str
    thresholds: str | None


def split_rules_version(text: str) -> list[NamedVersions]:
    """Return what ``build_rules_version`` may have been given; two where lists are called as thresholds are.

    >>> split_rules_version("1+lists-a+thresholds-b")[0]
    NamedVersions(rules='1', lists='a', thresholds='b')
    """
    rules, *more = text.split("+", 1)
    rest, cut = "+" + more[0] if more else "", len("+thresholds-")
    at = rest.rfind("+thresholds-")
    split = [(rest[:at], rest[at + cut :])] if at >= 0 else []
    wholes: list[tuple[str, str | None]] = [*split, (rest, None)]
    return [
        NamedVersions(rules, lists.removeprefix("+lists-") or "none", thresholds)
        for lists, thresholds in wholes
        if not lists or lists.startswith("+lists-")
    ]


def judge(
    features: Matrix,
    names: Sequence[str],
    ids: Ids,
    model: Model,
    lists: Lists,
    rule_set: RuleSet,
    fields: pa.RecordBatch | None = None,
    thresholds: ThresholdTable | None = None,
) -> Judgement:
    """Score rows and decide them.

    Args:
        features: float32, shape (rows, len(names)); a rule may be over one that the model does not take.
        names: of its columns.
        ids: entity kind to ids, one per row; looked up in the lists.
        model: champion, or what stands for none.
        lists: allow, block and watch lists, and what rules ask for.
        rule_set: of the stream.
        fields: of the events, one row each, that rules read; a column that it lacks is missing. Entries of lists end by
            the append time in it.
        thresholds: in force instead of the model's.
    """
    taken = select_columns(features, names, model.names)
    scores = check_scores(model.score(taken))
    asked = Rows(features, names, scores, _some_fields(fields, features.shape[0]), lists)
    cut = Cut(model.review_threshold, model.decline_threshold) if thresholds is None else find_cut(thresholds, fields)
    has_model = NO_MODEL not in model.lacking
    let = None if thresholds is None else thresholds.let_through
    decided = decide_rows(asked, ids, rule_set, cut, let, has_model=has_model)
    by, others = decided.by, BY_MODEL if has_model else BY_RULES
    decided_by = [decided.decider(others).name] * len(by)
    reasons: list[Sequence[Reason]] = [()] * len(by)
    is_let = by == BY_LET_THROUGH
    _explain(taken, scores, np.flatnonzero((decided.outcomes > APPROVE) & (by == BY_MODEL) | is_let), model, reasons)
    for row in np.flatnonzero(is_let).tolist():  # it keeps the reasons for which it would have been declined
        decided_by[row] = decided.decider(BY_LET_THROUGH).name
    for row in np.flatnonzero((by != others) & ~is_let).tolist():
        decider = decided.decider(int(by[row]))
        decided_by[row], reasons[row] = decider.name, [_explain_decider(decider, row, rule_set.rules, lists, ids)]
    return Judgement(
        scores,
        decided.outcomes,
        decided_by,
        reasons,
        build_rules_version(lists, rule_set, thresholds),
        decided.failed,
        _spread(decided.tags, len(by)),
        _spread(decided.matches.shadow, len(by)),
        decided.matches.hits,
        model.calibration,
        decided.propensity,
        0.0 if let is None else let.sum_stakes(np.flatnonzero(is_let), features, names),
    )


def _some_fields(fields: pa.RecordBatch | None, rows: int) -> pa.RecordBatch:
    """Return the fields, or a batch that lacks every one of them: a batch without a column has no rows."""
    return pa.record_batch({"": pa.nulls(rows)}) if fields is None else fields


def _explain(
    features: Matrix,
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    model: Model,
    reasons: list[Sequence[Reason]],
) -> None:
    if not len(rows):
        return
    # the weightiest first: the bound of an explanation then leaves out what is nearest to approval
    ordered = rows[np.argsort(-scores[rows], kind="stable")]
    found = explain(features[ordered], scores[ordered], model.reference, model.groups, model.score)
    for row, explained in zip(ordered, found, strict=True):
        reasons[row] = explained


def _explain_decider(decider: Decider, row: int, rules: Sequence[Rule], lists: Lists, ids: Ids) -> Reason:
    if decider.rule >= 0:
        rule = rules[decider.rule]
        return Reason(rule.code, f"{rule.text or rule.why}: {describe_condition(rule)}")
    if not decider.side:
        return Reason(SCORE_UNAVAILABLE, "the model gave no score between 0 and 1; sent to review")
    entry = ids[decider.kind][row]
    text = entry.as_py() if isinstance(entry, pa.Scalar) else entry
    return _explain_listed(lists, decider.side, decider.kind, text)


def _explain_listed(lists: Lists, side: str, kind: str, entry: str | None) -> Reason:
    why = lists.note(side, kind, entry or "").reason
    return Reason(f"{side.upper()}_LIST", f"{kind} is on the {side} list{f': {why}' if why else ''}")


def _spread(noted: Noted, rows: int) -> list[Sequence[str]]:
    found: list[Sequence[str]] = [NOTHING] * rows
    for row, words in list_words(noted).items():
        found[row] = words
    return found
