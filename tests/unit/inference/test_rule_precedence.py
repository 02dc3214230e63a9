"""What decides where several rules, lists and a score disagree, when a rule is in force, and what only notes."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.inference.test_decisions import _Model, _NoModel
from weir.inference.core.decisions import OUTCOMES, Judgement, judge
from weir.inference.core.lists import APPEND_TIME, Lists
from weir.inference.core.rules import RuleSet, build_rule_set
from weir.inference.metering import _meter_outcomes
from weir.monitoring.metrics import REGISTRY
from weir.schemas.checks.expression_types import NUMBER, TEXT, Column
from weir.schemas.expression import as_expression, col
from weir.schemas.rules import Rule, parse_time_ms

COLUMNS = {
    **dict.fromkeys((*_Model.names, "score"), Column(NUMBER, True)),
    "country": Column(TEXT, True, avro="string"),
    "card_id": Column(TEXT, True, avro="string", entity="card"),
}
ALWAYS = as_expression(True)
LISTS = Lists("v", allow={"card": frozenset({"friend"})}, block={"card": frozenset({"foe"})})
SCORES = {"APPROVE": 0.1, "REVIEW": 0.6, "DECLINE": 0.95, "failed": float("nan")}


def _rule(name: str, then: str, when: Any = ALWAYS, **more: Any) -> Rule:
    return Rule(name, then, when, "because", **more)


def _judge(rules: list[Rule], *scores: float, model: Any = None, **fields: list[Any]) -> Judgement:
    rows = np.array([[0.0 if np.isnan(s) else s, 0.0, -1.0 if np.isnan(s) else 0.0, 0.0] for s in scores], np.float32)
    rows = rows.reshape(len(scores), len(_Model.names))
    columns = pa.record_batch(fields) if fields else None
    ids = {"card": fields.get("card_id", [None] * len(scores))}
    return judge(rows, _Model.names, ids, model or _Model(), LISTS, build_rule_set(rules, COLUMNS), columns)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("card", ["friend", "foe", None])
@pytest.mark.parametrize(
    "thens", [c for n in range(4) for c in itertools.combinations(("DECLINE", "ALLOW", "REVIEW"), n)]
)
def test_lists_go_before_rules_and_rules_before_the_score(score: str, card: str | None, thens: tuple[str, ...]) -> None:
    rules = [_rule(then.lower(), then) for then in reversed(thens)]
    judged = _judge(rules, SCORES[score], card_id=[card])
    of_score = "REVIEW" if score == "failed" else score
    if card:
        expected = ("APPROVE", "allow_list_card") if card == "friend" else ("DECLINE", "block_list_card")
    elif "DECLINE" in thens:
        expected = ("DECLINE", "decline")
    elif "ALLOW" in thens:
        expected = ("APPROVE", "allow")
    elif "REVIEW" in thens and score in {"APPROVE", "failed"}:
        expected = ("REVIEW", "review")
    else:
        expected = (of_score, "fallback" if score == "failed" else "model")
    assert (OUTCOMES[judged.outcomes[0]], judged.decided_by[0]) == expected


def test_of_two_rules_that_do_the_same_the_larger_priority_goes_first_then_the_earlier() -> None:
    rules = [_rule("first", "REVIEW"), _rule("second", "REVIEW"), _rule("urgent", "REVIEW", priority=5)]
    assert _judge(rules, 0.1).decided_by == ["urgent"]
    assert _judge(rules[:2], 0.1).decided_by == ["first"]
    assert _judge([*rules, _rule("weak", "DECLINE", priority=-9)], 0.1).decided_by == ["weak"]


def test_a_rule_that_allows_explains_itself_and_needs_no_model() -> None:
    allow = _rule("known", "ALLOW", col("country") == "DE", text="a regular")
    judged = _judge([allow], 0.95, 0.95, country=["DE", None])
    assert [OUTCOMES[outcome] for outcome in judged.outcomes] == ["APPROVE", "DECLINE"]
    assert [(reason.code, reason.detail) for reason in judged.reasons[0]] == [("KNOWN", "a regular: country == 'DE'")]
    assert _judge([allow], 0.95, model=_NoModel(), country=["DE"]).decided_by == ["known"]


def test_a_tag_is_a_word_in_the_decision_and_changes_nothing_of_it() -> None:
    tags = [
        _rule("late", "TAG", col("score") >= 0.5, code="NIGHT"),
        _rule("odd", "TAG", col("country") == "NO"),
        _rule("odd_too", "TAG", code="ODD", priority=3),
    ]
    scores = list(SCORES.values())
    judged, without = (_judge(rules, *scores, country=["NO", "NO", "DE", None]) for rules in (tags, []))
    assert judged.tags == [("ODD",), ("ODD", "NIGHT"), ("ODD", "NIGHT"), ("ODD",)]
    assert judged.outcomes.tolist() == without.outcomes.tolist()
    assert (judged.decided_by, judged.reasons) == (without.decided_by, without.reasons)
    assert without.tags == [()] * 4


def test_an_alert_is_noted_by_a_word_that_no_tag_can_have_and_changes_nothing_of_the_decision() -> None:
    rules = [
        _rule("odd", "TAG", col("country") == "NO"),
        _rule("mule", "ALERT", col("country") == "NO"),
        _rule("tried", "ALERT", mode="shadow"),
        _rule("costly", "DECLINE", col("score") >= 0.9),
    ]
    scores = list(SCORES.values())
    judged, without = (_judge(each, *scores, country=["NO"] * 4) for each in (rules, [rules[-1]]))
    assert judged.tags == [("alert:MULE", "ODD")] * 4
    assert judged.shadow_rules == [("tried",)] * 4
    assert judged.outcomes.tolist() == without.outcomes.tolist()
    assert (judged.decided_by, judged.reasons) == (without.decided_by, without.reasons)
    assert without.tags == [()] * 4


@pytest.mark.parametrize("then", ["DECLINE", "ALLOW", "REVIEW", "ALERT", "TAG"])
def test_a_rule_in_shadow_mode_is_noted_and_changes_nothing(then: str) -> None:
    rules = [_rule("watcher", then, col("score") >= 0.5, mode="shadow"), _rule("gone", then, mode="off")]
    judged, without = _judge(rules, *SCORES.values()), _judge([], *SCORES.values())
    assert judged.shadow_rules == [(), ("watcher",), ("watcher",), ()]
    assert judged.shadow_hits == {"watcher": 2}
    assert judged.tags == without.tags
    assert judged.outcomes.tolist() == without.outcomes.tolist()
    assert (judged.decided_by, judged.reasons) == (without.decided_by, without.reasons)


def test_shadow_rules_and_tags_are_noted_where_a_list_decided_too() -> None:
    rules = [_rule("a", "DECLINE", mode="shadow"), _rule("b", "ALLOW", mode="shadow"), _rule("c", "TAG")]
    judged = _judge(rules, 0.1, 0.1, card_id=["friend", "foe"])
    assert judged.shadow_rules == [("a", "b")] * 2
    assert judged.tags == [("C",)] * 2


def test_hits_in_shadow_mode_are_counted_by_the_name_of_the_rule() -> None:
    judged = _judge([_rule("counted", "DECLINE", col("score") >= 0.5, mode="shadow")], *SCORES.values())
    before = _read_hits("counted")
    decided = SimpleNamespace(judgement=judged, canary=None)  # of what was decided no more is read
    _meter_outcomes(decided)  # type: ignore[arg-type]
    assert _read_hits("counted") == before + 2


def _read_hits(rule: str) -> float:
    return REGISTRY.get_sample_value("weir_shadow_rule_hits_total", {"rule": rule}) or 0.0


def test_a_rule_is_in_force_by_the_append_time_of_the_record() -> None:
    rules = [
        _rule("burst", "REVIEW", valid_to="2026-02-01"),
        _rule("burst", "DECLINE", valid_from="2026-02-01", valid_to="2026-03-01T00:00:00+01:00"),
        _rule("old", "DECLINE", valid_to="2020-01-01", mode="shadow"),
    ]
    times = ["2026-01-31T23:59:59.999", "2026-02-01", "2026-02-28T22:59:59.999", "2026-02-28T23:00:00"]
    judged = _judge(rules, *[0.1] * 4, **{APPEND_TIME: [parse_time_ms(each) for each in times]})
    assert [OUTCOMES[outcome] for outcome in judged.outcomes] == ["REVIEW", "DECLINE", "DECLINE", "APPROVE"]
    assert judged.decided_by == ["burst", "burst", "burst", "model"]
    assert judged.shadow_hits == {}


def test_a_rule_asks_a_list_and_an_id_that_is_missing_is_on_none() -> None:
    lists = Lists("v", watch={"card": frozenset({"c1"})})
    rules = build_rule_set(
        [
            _rule("seen", "REVIEW", col("card_id").in_list("watch")),
            _rule("new", "TAG", ~col("card_id").in_list("watch")),
            _rule("none", "TAG", col("card_id").in_list("block")),
        ],
        COLUMNS,
    )
    fields = pa.record_batch({"card_id": ["c1", "c2", None]})
    judged = judge(np.zeros((3, 4), np.float32), _Model.names, {}, _Model(), lists, rules, fields)
    assert judged.decided_by == ["seen", "model", "model"]
    assert judged.tags == [(), ("NEW",), ()]


def test_rules_of_no_rows_decide_nothing() -> None:
    judged = _judge([_rule("a", "DECLINE"), _rule("b", "TAG", col("country") == "x")])
    assert (judged.decided_by, judged.tags, judged.shadow_rules) == ([], [], [])
    assert RuleSet() == build_rule_set([], COLUMNS)
