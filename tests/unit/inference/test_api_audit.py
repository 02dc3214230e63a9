"""The audit log as the API writes it: each call of a key, both halves of a change, and no id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.keyed import OURS, THEIRS, Served
from tests.unit.inference.test_api_keys import SCOPES, fill
from weir.access.key import Scope
from weir.inference.api import audited
from weir.inference.api.access import OPEN
from weir.inference.api.app import build_api
from weir.inference.api.cases import document
from weir.inference.api.web.server import build_crowd, build_server
from weir.schemas.audit import Phase
from weir.schemas.streams.payments import payments

LABEL = document.label_body(payments)["requestBody"]["content"]["application/json"]["example"]
CASE = "5f3a90c2d871"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


def test_every_path_that_needs_a_key_is_noted_once_and_a_change_twice(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    for method, path in served.operations():
        served.audit.records.clear()
        answer = served.client.ask(method, fill(path), headers=headers | {"x-request-id": "r1"})
        found = served.audit.records
        if path in OPEN:
            assert found == []
            continue
        default = path.replace(f"/v1/streams/{OURS}/", "/v1/").replace(f"/v1/streams/{THEIRS}/", "/v1/")
        is_change = method == "POST" and SCOPES.get(f"{method} {default}") in {"review", "rules", "admin"}
        assert [each.phase for each in found] == (["intent", "result"] if is_change else ["call"]), (method, path)
        assert {(each.key_id, each.method, each.request_id) for each in found} == {
            (next(iter(served.keys.values())).id, method, "given=r1")
        }
        assert [each.status for each in found][-1] == answer.status_code
        assert {each.route for each in found} == {path}


@pytest.mark.parametrize("away", [True, False])
def test_a_change_is_made_only_after_it_is_noted(served: Served, away: bool) -> None:
    headers, served.audit.away = served.key(Scope.REVIEW), away
    before = len(served.publisher.published)
    answer = served.client.post("/v1/labels", json=LABEL, headers=headers)
    if away:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_audited")
        assert answer.headers["retry-after"] == "1"
    assert (len(served.publisher.published) > before) == (answer.status_code == 200)
    assert away != (answer.status_code == 200), answer.text
    assert [(each.phase, each.status) for each in served.audit.records][-1] == (Phase.RESULT, answer.status_code)


def test_reads_pass_while_nothing_can_be_noted(served: Served) -> None:
    served.audit.away = True
    headers = served.key(Scope.READ, Scope.SCORE)
    assert served.client.get("/v1/models", headers=headers).status_code == 200
    assert served.client.post("/v1/score", json=TRANSACTION, headers=headers).status_code == 200


def test_a_call_says_what_it_is_about(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    served.client.get("/v1/features/card/c1", headers=headers)
    served.client.get("/v1/decisions/tx-1", headers=headers)
    served.client.get(f"/v1/cases/{CASE}", headers=headers)
    served.client.post("/v1/score", json=TRANSACTION, headers=headers)
    served.client.post("/v1/decide", json=TRANSACTION | {"event_time_ms": 1}, headers=headers)
    served.client.get("/v1/models", headers=headers)
    event_id = TRANSACTION["transaction_id"]
    assert [each.about for each in served.audit.records] == ["card=c1", "tx-1", CASE, event_id, event_id, ""]
    assert {each.stream for each in served.audit.records} == {OURS}


def test_refusals_are_noted_with_who_was_refused(served: Served) -> None:
    headers = served.key(Scope.READ, streams=(THEIRS,))
    (key,) = served.keys.values()
    served.client.post("/v1/score", json=TRANSACTION)
    served.client.get("/v1/models", headers=headers)
    served.client.post(f"/v1/streams/{THEIRS}/score", json=TRANSACTION, headers=headers)
    assert [(each.key_id, each.status) for each in served.audit.records] == [("", 401), (key.id, 404), (key.id, 403)]


def test_strangers_cannot_fill_the_log(served: Served) -> None:
    for _ in range(3 * audited.STRANGERS_A_SECOND):
        served.client.get("/v1/models")
    assert len(served.audit.records) == audited.STRANGERS_A_SECOND
    assert served.client.get("/v1/models", headers=served.key(Scope.READ)).status_code == 200
    assert len(served.audit.records) == audited.STRANGERS_A_SECOND + 1


def test_an_error_of_ours_is_noted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.parts.streams[0].champion, "poll", lambda: 1 / 0)
    assert served.client.get("/v1/models", headers=served.key(Scope.READ)).status_code == 500
    assert [each.status for each in served.audit.records] == [500]


def test_without_keys_there_is_nobody_to_note(served: Served) -> None:
    app = build_api(replace(served.parts, find_key=None))
    assert not any("Audited" in str(each) for each in app.user_middleware)


def test_no_text_of_a_client_is_noted_as_a_stream_and_its_request_id_is_marked(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    served.client.get("/v1/streams/4111111111111111/models", headers=headers | {"x-request-id": "r1"})
    served.client.get("/v1/models", headers=headers)
    first, second = served.audit.records
    assert (first.stream, first.request_id) == ("", "given=r1")
    assert (second.stream, len(second.request_id)) == (OURS, 32)


def test_the_address_is_not_what_a_client_says(served: Served) -> None:
    assert not build_server(served.app, build_crowd()).config.proxy_headers


def test_the_newest_calls_are_told_with_what_came_of_each_change(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    (key,) = served.keys.values()
    served.client.get("/v1/models", headers=headers)
    served.client.post("/v1/labels", json=LABEL, headers=headers)
    served.audit.records.append(replace(served.audit.records[-1], phase=Phase.INTENT, request_id="lost", status=0))
    served.client.get("/v1/models", headers={"x-api-key": "another"})
    answer = served.client.get(f"/v1/audit?who={key.id}", headers=headers).json()
    assert [(each["phase"], each["route"], each["status"]) for each in answer["calls"]] == [
        ("intent", "/v1/labels", None), ("result", "/v1/labels", 200), ("call", "/v1/models", 200)
    ]  # fmt: skip
    assert (answer["whole"], answer["missed"]) == (True, 0)
    first = served.client.get("/v1/audit?limit=1", headers=headers).json()
    assert [each["route"] for each in first["calls"]] == ["/v1/audit"]
    assert not first["whole"]
    later = max(each.time_ms for each in served.audit.records) + 1
    assert served.client.get(f"/v1/audit?since_ms={later}", headers=headers).json()["calls"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "since_ms=-1", "since_ms=soon", f"who={'x' * 65}"])
def test_a_question_about_calls_that_makes_no_sense_is_refused(served: Served, query: str) -> None:
    answer = served.client.get(f"/v1/audit?{query}", headers=served.key(Scope.ADMIN))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_while_the_log_cannot_be_read_the_answer_says_so(served: Served) -> None:
    served.calls.away = "kafka: nobody answers"
    answer = served.client.get("/v1/audit", headers=served.key(Scope.ADMIN))
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "kafka: nobody answers")
    assert served.client.get("/v1/keys", headers=served.key(Scope.ADMIN)).status_code == 200
