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

from weir.inference.core.condition_steps import Rows
from weir.inference.core.lists import Ids, Lists, Times, read_append_ms
from weir.inference.core.reason_codes import SCORE_UNAVAILABLE
from weir.inference.core.reasons import Groups, Reason, explain
from weir.inference.core.rules import RuleSet, describe_condition
from weir.inference.core.thresholds import Cut, Scores, ThresholdTable
from weir.inference.core.vector import NO_MODEL, Matrix, select_columns
from weir.schemas.rules import ALLOW, Rule

OUTCOMES: tuple[str, str, str] = ("APPROVE", "REVIEW", "DECLINE")
"""By severity; arrays of decisions hold positions in it."""
APPROVE, REVIEW, DECLINE = 0, 1, 2
WATCHED = "WATCH_LIST"
"""The tag of decisions on who is on the watch list."""


class Model(Protocol):
    """What deciding needs of a model bundle."""

    names: tuple[str, ...]
    review_threshold: float
    decline_threshold: float
    reference: npt.NDArray[np.float32]
    groups: Groups
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
        decided_by: ``model``, ``fallback``, the name of a rule or list, or ``rules``: no model, and none of them.
        reasons: per row; empty for what the model approved.
        rules_version: of rules and lists together.
        failed: how many scores the model did not give.
        tags: per row the words of the rules that tag it.
        shadow_rules: per row the names of the rules in shadow mode that it fulfils.
        shadow_hits: of how many rows each of those is fulfilled, by its name.
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
    rules = rule_set.rules
    rows = features.shape[0]
    taken = select_columns(features, names, model.names)
    scores = check_scores(model.score(taken))
    cut = _find_cut(model, thresholds, fields)
    outcomes = compute_outcomes(scores, review=cut.review, decline=cut.decline)
    failed = np.isnan(scores)
    if NO_MODEL in model.lacking:
        outcomes[:], failed[:] = APPROVE, False
    decided_by = ["rules" if NO_MODEL in model.lacking else "model"] * rows
    reasons: list[Sequence[Reason]] = [()] * rows
    found = rule_set.match(Rows(features, names, scores, _some_fields(fields, rows), lists))
    by_rule = _apply_rules(found.decided, rules, outcomes, failed)
    append_ms = read_append_ms(fields)
    allowed, allow_kinds = lists.find("allow", ids, rows, append_ms)
    blocked, block_kinds = lists.find("block", ids, rows, append_ms)
    outcomes[blocked], outcomes[allowed] = DECLINE, APPROVE
    by_model = (outcomes > APPROVE) & ~allowed & ~blocked & (by_rule < 0) & ~failed
    _explain(taken, scores, np.flatnonzero(by_model), model, reasons)
    for row in np.flatnonzero(allowed | blocked | failed | (by_rule >= 0)):
        if kind := allow_kinds[row] or block_kinds[row]:
            side = "allow" if allow_kinds[row] else "block"
            decided_by[row] = f"{side}_list_{kind}"
            reasons[row] = [_explain_listed(lists, side, kind, ids[kind][int(row)])]
        else:
            decided_by[row], reasons[row] = _name_decider(rules[by_rule[row]] if by_rule[row] >= 0 else None)
    return Judgement(
        scores,
        outcomes,
        decided_by,
        reasons,
        build_rules_version(lists, rule_set, thresholds),
        int(np.count_nonzero(failed)),
        _tag_watched(found.tags, lists, ids, append_ms),
        found.shadow,
        found.hits,
    )


def _find_cut(model: Model, thresholds: ThresholdTable | None, fields: pa.RecordBatch | None) -> Cut:
    if thresholds is None:
        return Cut(model.review_threshold, model.decline_threshold)
    if fields is None or thresholds.by not in fields.schema.names:  # a field that is missing names no segment
        return thresholds.others
    return thresholds.of_rows(fields.column(thresholds.by).to_pylist())


def _some_fields(fields: pa.RecordBatch | None, rows: int) -> pa.RecordBatch:
    """Return the fields, or a batch that lacks every one of them: a batch without a column has no rows."""
    return pa.record_batch({"": pa.nulls(rows)}) if fields is None else fields


def check_scores(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the scores with everything that is no probability as NaN.

    >>> check_scores(np.array([0.5, 1.5, -0.1], dtype=np.float32)).tolist()
    [0.5, nan, nan]
    """
    with np.errstate(invalid="ignore"):
        return np.where((scores >= 0.0) & (scores <= 1.0), scores, np.float32(np.nan)).astype(np.float32)


def compute_outcomes(scores: Scores, *, review: float | Scores, decline: float | Scores) -> npt.NDArray[np.uint8]:
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
    outcomes: npt.NDArray[np.uint8],
    failed: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int32]:
    """Change outcomes in place; return per row the rule that decided, -1 for none.

    A rule that asks for review leaves a score that says review (or worse) alone: the score explains itself better.
    """
    decided = np.full(matched.shape[0], -1, dtype=np.int32)
    for row in np.flatnonzero(matched >= 0):
        then = rules[matched[row]].then
        severity = APPROVE if then == ALLOW else OUTCOMES.index(then)
        if severity > outcomes[row] or failed[row] or severity != REVIEW:
            outcomes[row], decided[row] = severity, matched[row]
    return decided


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


def _name_decider(rule: Rule | None) -> tuple[str, list[Reason]]:
    if rule is not None:
        return rule.name, [Reason(rule.code, f"{rule.text or rule.why}: {describe_condition(rule)}")]
    return "fallback", [Reason(SCORE_UNAVAILABLE, "the model gave no score between 0 and 1; sent to review")]


def _explain_listed(lists: Lists, side: str, kind: str, entry: str | None) -> Reason:
    why = lists.note(side, kind, entry or "").reason
    return Reason(f"{side.upper()}_LIST", f"{kind} is on the {side} list{f': {why}' if why else ''}")


def _tag_watched(tags: list[Sequence[str]], lists: Lists, ids: Ids, append_ms: Times | None) -> list[Sequence[str]]:
    """Return the tags with those of rows that the watch list names: it decides nothing."""
    if not lists.watch:
        return tags
    watched, _ = lists.find("watch", ids, len(tags), append_ms)
    return [(*tagged, WATCHED) if is_watched else tagged for tagged, is_watched in zip(tags, watched, strict=True)]
