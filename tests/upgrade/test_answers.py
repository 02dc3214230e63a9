"""The comparison of answers can fail: each change that a client would meet is found, and more members are none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.upgrade.answers import JSON, Told, list_changes

SCORE: dict[str, Any] = {"decision": "REVIEW", "score": 0.5, "reasons": [], "decision_time_ms": 1}
ERROR: dict[str, Any] = {"error": {"code": "invalid_request", "message": "a", "fields": [{"field": "currency"}]}}


def test_more_members_and_another_text_are_no_changes() -> None:
    assert list_changes(Told(200, JSON, SCORE), Told(200, JSON, SCORE | {"tags": [], "decision_time_ms": 2})) == []
    after = {"type": "urn:x", "error": ERROR["error"] | {"message": "b", "reason": "c"}}
    assert list_changes(Told(422, JSON, ERROR), Told(422, JSON, after)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Told(200, JSON, SCORE), Told(202, JSON, SCORE)),
        (Told(200, JSON, SCORE), Told(200, "application/problem+json", SCORE)),
        (Told(200, JSON, SCORE), Told(200, JSON, SCORE | {"decision": "APPROVE"})),
        (Told(200, JSON, SCORE), Told(200, JSON, SCORE | {"score": None})),
        (Told(200, JSON, SCORE), Told(200, JSON, SCORE | {"reasons": ""})),
        (Told(200, JSON, SCORE), Told(200, JSON, {"decision": "REVIEW"})),
        (Told(422, JSON, ERROR), Told(422, JSON, {"error": ERROR["error"] | {"code": "other"}})),
        (Told(422, JSON, ERROR), Told(422, JSON, {"error": ERROR["error"] | {"fields": []}})),
        (Told(422, JSON, ERROR), Told(422, JSON, {"error": {"code": "invalid_request", "message": "a"}})),
    ],
)
def test_what_a_client_would_meet_is_a_change(before: Told, after: Told) -> None:
    assert list_changes(before, after) != []
