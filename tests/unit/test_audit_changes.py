"""Changes by calls, as the audit log has them: paired, and none shown that another store shows too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.published.acts import build_act, build_proposal, build_rejection
from tests.unit.inference.test_api_keys import SCOPES
from weir.audit_changes import describe_published, is_kept_elsewhere, list_erasures, pair_calls
from weir.gdpr.erasures import Entry, add_entry
from weir.inference.api.audited import is_change
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


@pytest.mark.parametrize("route", [VERDICT, "/v1/keys/{key_id}/revoke", "/v1/streams/transactions/lists/change"])
@pytest.mark.parametrize("status", [200, 202])
def test_a_change_that_was_made_is_shown_where_it_is_kept_alone(route: str, status: int) -> None:
    records = [record(Phase.INTENT, "r", route), record(Phase.RESULT, "r", route, status=status)]
    assert list(pair_calls(records, {"transactions"})) == []


def test_a_check_changes_nothing_however_it_ends() -> None:
    route = "/v1/rules/check"
    records = [record(Phase.INTENT, name, route) for name in ("fine", "wrong", "lost")]
    records += [record(Phase.RESULT, "fine", route), record(Phase.RESULT, "wrong", route, status=422)]
    assert list(pair_calls(records, {"transactions"})) == []


def test_every_path_that_changes_something_is_kept_in_one_place() -> None:
    changes = [label.split()[1] for label, scope in SCOPES.items() if scope and is_change(scope, label.split()[0])]
    by_calls = {each for each in changes if not is_kept_elsewhere(each) and not each.endswith("/check")}
    letter = "/v1/dead-letters/{partition}/{offset}"
    assert by_calls == {LABELS, f"{letter}/replay", f"{letter}/discard"}  # a new one: is it kept elsewhere too?


def test_an_outcome_that_is_unknown_stays_so_where_the_request_id_is_used_again() -> None:
    records = [
        record(Phase.INTENT, "again", time_ms=1),
        record(Phase.INTENT, "again", time_ms=2),
        record(Phase.RESULT, "again", time_ms=2),
    ]
    found = [(each.at_ms, each.outcome) for each in pair_calls(records, {"transactions"})]
    assert found == [(2, "done"), (1, "unknown")]


def test_an_erasure_is_a_change_by_whoever_asked_for_it_of_a_name_that_says_nothing(tmp_path: Path) -> None:
    assert list(list_erasures(tmp_path)) == []
    add_entry(tmp_path, Entry(5, "card", "0123456789abcdef0123456789abcdef", "ana"))
    (found,) = list_erasures(tmp_path)
    assert found[:5] == (5, "ana", "erase", "card 0123456789ab", "begun")


def test_a_list_of_before_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "erasures.jsonl").write_text('{"at_ms": 5, "kind": "card", "name": "0123"}\n')
    assert [each.who for each in list_erasures(tmp_path)] == [""]


def test_what_was_proposed_and_rejected_is_a_change_as_what_was_published_is() -> None:
    proposal = build_proposal()
    rejection = build_rejection(proposal)
    assert describe_published(proposal) == ("propose", proposal.version)
    assert describe_published(rejection) == ("reject", f"proposal {proposal.id[:8]}")
    assert describe_published(build_act("rules", "rules: []")) == ("publish", proposal.version)
