"""Changes by calls, as the audit log has them: paired, and none shown that another store shows too."""

from __future__ import annotations

from typing import Any

from weir.audit_changes import pair_calls
from weir.schemas.audit import AuditRecord, Phase

LABELS, VERDICT = "/v1/labels", "/v1/cases/{case_id}/verdict"


def record(phase: Phase, request_id: str, route: str = LABELS, **changes: Any) -> AuditRecord:
    given: dict[str, Any] = {
        "time_ms": 1, "key_id": "k1", "address": "", "method": "POST", "stream": "transactions", "about": "",
        "status": 200, "micros": 0,
    }  # fmt: skip
    return AuditRecord(phase=phase, request_id=request_id, route=route, **given | changes)


def test_each_change_has_its_outcome() -> None:
    records = [
        record(Phase.INTENT, "done"),
        record(Phase.INTENT, "lost"),
        record(Phase.RESULT, "done"),
        record(Phase.INTENT, "failed", VERDICT),
        record(Phase.RESULT, "failed", VERDICT, status=409),
        record(Phase.CALL, "read"),
        record(Phase.INTENT, "of another", stream="refunds"),
    ]
    found = [(each.of, each.outcome) for each in pair_calls(records, {"transactions"})]
    assert found == [(LABELS, "done"), (VERDICT, "409"), (LABELS, "unknown")]


def test_a_change_of_a_case_that_was_made_is_shown_by_the_database_alone() -> None:
    records = [record(Phase.INTENT, "r", VERDICT), record(Phase.RESULT, "r", VERDICT)]
    assert list(pair_calls(records, {"transactions"})) == []


def test_an_outcome_that_is_unknown_stays_so_where_the_request_id_is_used_again() -> None:
    records = [
        record(Phase.INTENT, "again", time_ms=1),
        record(Phase.INTENT, "again", time_ms=2),
        record(Phase.RESULT, "again", time_ms=2),
    ]
    found = [(each.at_ms, each.outcome) for each in pair_calls(records, {"transactions"})]
    assert found == [(2, "done"), (1, "unknown")]
