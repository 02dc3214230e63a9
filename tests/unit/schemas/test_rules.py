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
from weir.schemas.rules import Rule
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
            "expected one of REVIEW, DECLINE, found 'DECLIN'; did you mean 'DECLINE'?",
        ),
        (
            Rule("fast", "REVIEW", col("customer_event_count_1M") >= 3, ""),
            "expected a feature, found 'customer_event_count_1M'; did you mean 'customer_event_count_1m'?",
        ),
        (
            Rule("fast", "REVIEW", FAST | (col("click_hour") < 5), ""),
            "expected a feature compared with a number, joined by &, found customer_event_count_1m >= 30 or click_hour",
        ),
        (Rule("fast", "REVIEW", col("click_hour") < math.inf, ""), "expected a number that is finite, found "),
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
        "expected one rule of this name, found 2"
    )


def test_a_finding_names_the_line_of_the_rule() -> None:
    rule = Rule("Fast", "REVIEW", FAST, "")
    stream = replace(clicks, rules=[rule])
    (finding,) = find_faults(stream, event_schemas(clicks)[-1])
    assert finding.where.file == __file__
