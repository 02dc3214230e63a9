"""What the checks say of a rule that cannot decide anything, or not what its author meant."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from weir.schemas.checks.declaration import find_faults
from weir.schemas.contracts import event_schemas
from weir.schemas.expression import col
from weir.schemas.rules import Example, Rule
from weir.schemas.streams.clicks import clicks

FAST = col("customer_event_count_1m") >= 30


def _find(*rules: Any) -> list[str]:
    stream = replace(clicks, rules=rules)
    return [finding.fault for finding in find_faults(stream, json.dumps(json.loads(event_schemas(clicks)[-1])))]


def test_rules_over_features_have_no_faults() -> None:
    assert _find(Rule("fast", "REVIEW", FAST, ""), Rule("night", "DECLINE", FAST & (col("click_hour") < 5), "")) == []


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (Rule("Fast", "REVIEW", FAST, ""), "expected a name of a-z, 0-9 and _, found 'Fast'"),
        (Rule("fallback", "REVIEW", FAST, ""), "expected a name that is not taken, found 'fallback'"),
        (
            Rule("fast", "DECLIN", FAST, ""),
            "expected one of DECLINE, ALLOW, REVIEW, ALERT, TAG, found 'DECLIN'; did you mean 'DECLINE'?",
        ),
        (
            Rule("fast", "REVIEW", col("customer_event_count_1M") >= 3, ""),
            "expected a feature, a kept field or score, found 'customer_event_count_1M'; did you mean 'customer_",
        ),
        (Rule("fast", "REVIEW", FAST & col("click_hour"), ""), "expected boolean for 'and', found number"),
        (Rule("fast", "REVIEW", col("click_hour"), ""), "expected a condition, found an expression of number"),
        (Rule("fast", "REVIEW", col("click_hour") < math.inf, ""), "expected a boolean, a 64-bit integer, a finite nu"),
        (Rule("fast", "REVIEW", col("click_hour") < 1e39, ""), "expected a number of at most 3.4e+38, found 1e+39"),
        (
            Rule("fast", "REVIEW", col("referrer") == "x", ""),
            "expected a feature, a kept field or score, found 'referrer', which is not kept: add it to keep=",
        ),
        (Rule("fast", "REVIEW", FAST, "", mode="on"), "expected one of live, shadow, off, found 'on'"),
        (
            Rule("fast", "REVIEW", FAST, "", valid_to="soon"),
            "expected a time like 2026-01-31 or ",
        ),
        (
            Rule("fast", "REVIEW", FAST, "", valid_from="2026-01-02", valid_to="2026-01-02T00:00:00Z"),
            "expected an end after the start, found 2026-01-02 to 2026-01-02T00:00:00Z",
        ),
        (
            Rule("fast", "REVIEW", FAST, "", examples=[Example({"click_hours": 3}, hit=True)]),
            "expected a feature, a kept field or score, found 'click_hours'; did you mean 'click_hour'?",
        ),
        (
            Rule("fast", "REVIEW", FAST, "", examples=[Example({"page": 3}, hit=True)]),
            "expected text for 'page', found 3",
        ),
        (
            Rule("fast", "REVIEW", FAST, "", examples=[Example({}, hit=True, lists={"watch": ["page"]})]),
            "expected the id of an entity, found 'page'",
        ),
        (
            Rule("fast", "REVIEW", col("page").in_list("watch"), ""),
            "expected the id of an entity in in_list(), found 'page'; there are customer_id",
        ),
        (Rule("fast", "REVIEW", True, ""), 'expected an expression such as col("feature") >= 12, found True'),  # type: ignore[arg-type]
        (Rule("fast", "REVIEW", FAST, 7), "expected text for why, found 7"),  # type: ignore[arg-type]
        ("fast", "expected a list of Rule(...) for rules, found ('fast',)"),
    ],
)
def test_a_fault_is_said_with_the_nearest_right_thing(rule: Any, fault: str) -> None:
    (found,) = _find(rule)
    assert found.startswith(fault)


def test_two_rules_of_one_name_are_faults() -> None:
    assert _find(Rule("fast", "REVIEW", FAST, ""), Rule("fast", "DECLINE", FAST, ""))[0] == (
        "expected one rule of the name 'fast' at a time, found 2"
    )


def test_a_name_may_come_again_when_it_is_not_in_force_any_more() -> None:
    first = Rule("fast", "REVIEW", FAST, "", valid_to="2026-02-01")
    assert _find(first, Rule("fast", "DECLINE", FAST, "", valid_from="2026-02-01")) == []
    assert _find(first, Rule("fast", "DECLINE", FAST, "", valid_from="2026-01-31T23:59:59Z")) == [
        "expected one rule of the name 'fast' at a time, found 2"
    ]


def test_a_finding_names_the_line_of_the_rule() -> None:
    rule = Rule("Fast", "REVIEW", FAST, "")
    stream = replace(clicks, rules=[rule])
    (finding,) = find_faults(stream, event_schemas(clicks)[-1])
    assert finding.where.file == __file__
