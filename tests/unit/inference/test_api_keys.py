"""An API that asks for keys: each path of its document, walked with every scope, and with a key of another stream."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.keyed import OURS, THEIRS, Served
from weir.access.key import Scope, make_text
from weir.inference.api.access import OPEN
from weir.inference.api.keys.route import EXAMPLE
from weir.inference.api.web.listening import check_host
from weir.inference.api.web.server import Tls
from weir.infra.settings import ApiSettings, load_settings
from weir.schemas.errors import Refused

SCOPES = {
    "GET /openapi.json": None,
    "GET /": None,
    "GET /docs": None,
    "GET /metrics": "read",
    "GET /v1/features/{entity}/{entity_id}": "read",
    "GET /v1/decisions/{transaction_id}": "read",
    "GET /v1/decisions/live": "read",
    "GET /v1/decisions": "read",
    "GET /v1/metrics/daily": "read",
    "GET /v1/links/{transaction_id}": "read",
    "GET /v1/normal/{transaction_id}": "read",
    "GET /v1/evidence/{transaction_id}": "read",
    "GET /v1/quality": "read",
    "GET /v1/models": "read",
    "GET /v1/models/history": "read",
    "POST /v1/models/rollback": "rules",
    "GET /v1/models/{version}": "read",
    "GET /v1/models/{version}/thresholds": "read",
    "POST /v1/models/{version}/score": "score",
    "GET /v1/cases": "read",
    "GET /v1/cases/{case_id}": "read",
    "POST /v1/cases": "review",
    "POST /v1/cases/{case_id}/links": "review",
    "POST /v1/cases/{case_id}/unlink": "review",
    "POST /v1/cases/{case_id}/claim": "review",
    "POST /v1/cases/{case_id}/release": "review",
    "POST /v1/cases/{case_id}/notes": "review",
    "POST /v1/cases/{case_id}/verdict": "review",
    "GET /v1/dead-letters": "read",
    "GET /v1/dead-letters/{partition}/{offset}": "read",
    "POST /v1/dead-letters/{partition}/{offset}/check": "admin",
    "POST /v1/dead-letters/{partition}/{offset}/replay": "admin",
    "POST /v1/dead-letters/{partition}/{offset}/discard": "admin",
    "GET /v1/keys": "admin",
    "GET /v1/audit": "admin",
    "POST /v1/keys/{key_id}/revoke": "admin",
    "GET /v1/rules": "read",
    "POST /v1/rules": "rules",
    "POST /v1/rules/check": "rules",
    "POST /v1/rules/rollback": "rules",
    "GET /v1/rules/proposals": "read",
    "POST /v1/rules/proposals/{proposal_id}/approve": "rules",
    "POST /v1/rules/proposals/{proposal_id}/reject": "rules",
    "GET /v1/lists": "read",
    "POST /v1/lists/change": "rules",
    "POST /v1/lists/rollback": "rules",
    "GET /v1/lists/proposals": "read",
    "POST /v1/lists/proposals/{proposal_id}/approve": "rules",
    "POST /v1/lists/proposals/{proposal_id}/reject": "rules",
    "POST /v1/labels": "review",
    "POST /v1/score": "score",
    "POST /v1/score/batch": "score",
    "POST /v1/decide": "score",
    "POST /v1/uploads": "score",
    "GET /v1/uploads": "score",
    "GET /v1/uploads/{upload_id}": "score",
    "DELETE /v1/uploads/{upload_id}": "score",
    "GET /v1/uploads/{upload_id}/result": "score",
    "POST /api/v1/inference/{model}": "score",
    "POST /api/v1/inference/batch-process": "score",
}
"""What a key needs; a path that is not here fails the walk, and one of a stream needs what the default's needs."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


def fill(path: str) -> str:
    return (
        path.replace("{entity}", "card")
        .replace("{entity_id}", "c1")
        .replace("{transaction_id}", "t1")
        .replace("{case_id}", "5f3a90c2d871")
        .replace("{partition}/{offset}", "3/17")
        .replace("{key_id}", "0badcafe")
        .replace("{upload_id}", "0" * 32)
    )


def needed(method: str, path: str) -> str | None:
    name = label(method, path)
    assert name in SCOPES, f"expected {name} in SCOPES of this file, with the scope that its route needs"
    return SCOPES[name]


def label(method: str, path: str) -> str:
    """Return what an operation is called in SCOPES, under whichever path of a stream."""
    default = path.replace(f"/v1/streams/{OURS}/", "/v1/").replace(f"/v1/streams/{THEIRS}/", "/v1/")
    return "GET /docs" if path.startswith(("/docs", "/favicon")) else f"{method} {default}"


def test_the_walk_has_every_part_that_a_stream_may_have_and_every_path_of_the_document(served: Served) -> None:
    for each in served.parts.streams:
        lacks = [field.name for field in fields(each) if getattr(each, field.name) is None]
        assert lacks == [], "expected all of them in filled.py: what a stream lacks has no paths to be walked"
    document = served.client.get("/openapi.json", headers=served.key(Scope.ADMIN)).json()["paths"]
    documented = {label(method.upper(), path) for path, methods in document.items() for method in methods}
    walked = {label(method, path) for method, path in served.operations() if path not in OPEN}
    assert documented - walked == {f"GET {path}" for path in OPEN}
    assert walked == set(SCOPES), "expected each in SCOPES of this file, with the scope that its route needs"


def test_every_path_but_the_health_checks_asks_for_a_key(served: Served) -> None:
    asked = [(method, path) for method, path in served.operations() if path not in OPEN]
    assert len(asked) >= 16
    for method, path in [*asked, ("GET", "/v1/nothing"), ("GET", "/nothing"), ("DELETE", "/v1/score")]:
        for headers in ({}, {"authorization": "Bearer nothing"}, {"x-api-key": ""}, {"authorization": "Basic eDp5"}):
            answer = served.client.ask(method, fill(path), headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized"), (method, path)
            assert answer.headers["www-authenticate"] == 'Bearer realm="weir"'


def test_health_checks_answer_without_a_key(served: Served) -> None:
    assert [served.client.get(path).status_code for path in sorted(OPEN)] == [200, 200]


@pytest.mark.parametrize("scope", Scope)
def test_every_path_opens_for_its_own_scope_alone(served: Served, scope: Scope) -> None:
    headers = served.key(scope)
    for method, path in served.operations():
        if path in OPEN:
            continue
        answer = served.client.ask(method, fill(path), headers=headers)
        want = needed(method, path)
        opens = want is None or scope in (want, "admin")
        assert (answer.status_code != 403) == opens, (method, path, scope)
        assert answer.status_code != 401
        if not opens:
            assert answer.json()["error"] == {
                "code": "forbidden",
                "message": f"expected a key with the scope {want}, found one without it",
            }


def test_a_stream_of_others_answers_as_one_that_is_not_there(served: Served) -> None:
    bound = served.key(Scope.ADMIN, streams=(THEIRS,))
    paths = [(method, fill(path)) for method, path in served.operations() if f"/{OURS}/" in path]
    assert len(paths) >= 5
    for method, path in [*paths, ("DELETE", f"/v1/streams/{OURS}/score"), ("GET", f"/v1/streams/{OURS}/nothing")]:
        answers = [
            served.client.ask(method, asked, headers=bound | {"x-request-id": "one"})
            for asked in (path, path.replace(f"/{OURS}/", f"/{secrets.token_hex(6)}/"))
        ]
        assert [answer.status_code for answer in answers] == [404, 404], (method, path)
        assert answers[0].json() == answers[1].json()
        assert OURS not in answers[0].text


def test_the_default_stream_is_hidden_too_where_its_name_is_left_out(served: Served) -> None:
    bound = served.key(Scope.ADMIN, streams=(THEIRS,))
    for method, path in served.operations():
        if path.startswith("/v1/") and not path.startswith("/v1/streams/"):
            answer = served.client.ask(method, fill(path), headers=bound)
            assert answer.status_code == 404
            assert OURS not in answer.text
    assert served.client.get(f"/v1/streams/{THEIRS}/features/card/c1", headers=bound).status_code == 200


@pytest.mark.parametrize("written", ["%74ransactions", "transactions%2F", "./transactions", "refunds/../transactions"])
def test_another_way_to_write_a_path_opens_nothing(served: Served, written: str) -> None:
    bound = served.key(Scope.ADMIN, streams=(THEIRS,))
    assert served.client.get(f"/v1/streams/{written}/models", headers=bound).status_code == 404


def test_without_a_key_nobody_learns_a_name_from_the_health_checks(served: Served) -> None:
    answer = served.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": {}})


def test_metrics_are_of_every_stream_and_for_keys_of_every_stream(served: Served) -> None:
    keys = [served.key(Scope.READ), served.key(Scope.READ, streams=(THEIRS,))]
    assert [served.client.get("/metrics", headers=key).status_code for key in keys] == [200, 403]


def test_keys_are_listed_without_what_opens_and_revoked_but_for_the_last_administrators(served: Served) -> None:
    admin, till = served.key(Scope.ADMIN), served.key(Scope.SCORE)
    shown = served.client.get("/v1/keys", headers=admin)
    ours, theirs = shown.json()["keys"]
    assert (ours["scopes"], theirs["scopes"], theirs["valid"]) == (["admin"], ["score"], True)
    assert set(ours) == set(EXAMPLE)
    text = till["authorization"].removeprefix("Bearer ")
    assert text[14:] not in shown.text
    assert served.keys[text].hash.hex() not in shown.text

    def revoke(key_id: str, **headers: str) -> Any:
        return served.client.post(f"/v1/keys/{key_id}/revoke", json={}, headers=admin | headers)

    assert revoke("nothing").json()["error"]["code"] == "unknown_key"
    last = revoke(ours["id"])
    assert (last.status_code, last.json()["error"]["code"]) == (409, "last_admin_key")
    gone = revoke(theirs["id"]).json()
    assert (gone["valid"], gone["revoked_by"]) == (False, "test")
    assert served.client.post(f"/v1/keys/{ours['id']}/revoke", headers=admin).status_code == 415


def test_keys_and_calls_are_of_all_streams_and_for_keys_of_all_streams(served: Served) -> None:
    bound = served.key(Scope.ADMIN, streams=(OURS,))
    assert served.client.get("/v1/keys", headers=bound).status_code == 403
    assert served.client.get("/v1/audit", headers=bound).status_code == 403
    assert served.client.post("/v1/keys/0badcafe/revoke", json={}, headers=bound).status_code == 403
    assert all(key.revoked_ms is None for key in served.keys.values())


def test_no_answer_sends_a_key_elsewhere(served: Served) -> None:
    headers = served.key(Scope.READ) | {"host": "evil.example"}
    answer = served.client.get(f"/v1/streams/{THEIRS}/models/", headers=headers)
    assert (answer.status_code, "location" in answer.headers) == (404, False)


def test_a_key_in_either_header_counts_and_two_do_not(served: Served) -> None:
    text = served.key(Scope.READ)["authorization"].removeprefix("Bearer ")
    given: list[Any] = [
        {"x-api-key": text},
        {"authorization": f"bearer {text}"},
        {"authorization": f"Bearer {text}", "x-api-key": text},
        [("x-api-key", text), ("x-api-key", text)],
    ]
    found = [served.client.get("/v1/models", headers=headers).status_code for headers in given]
    assert found == [200, 200, 401, 401]


def test_the_document_names_the_streams_of_a_key_and_what_each_path_needs(served: Served) -> None:
    whole = served.client.get("/openapi.json", headers=served.key(Scope.ADMIN)).json()
    own = served.client.get("/openapi.json", headers=served.key(Scope.SCORE, streams=(THEIRS,))).json()
    assert set(own["paths"]) == {path for path in whole["paths"] if f"/{THEIRS}/" in path or path in OPEN}
    assert OURS not in str(own["paths"])
    score = own["paths"][f"/v1/streams/{THEIRS}/score"]["post"]
    assert score["security"] == [{"bearer": []}, {"header": []}]
    assert {"401", "403"} < set(score["responses"])
    assert whole["components"]["securitySchemes"].keys() == {"bearer", "header"}


def test_the_first_page_names_no_stream(served: Served) -> None:
    page = served.client.get("/", headers=served.key(Scope.SCORE, streams=(THEIRS,)))
    assert page.status_code == 200
    assert OURS not in page.text


def test_a_host_name_of_any_kind_is_answered_with_a_key(served: Served) -> None:
    headers = served.key(Scope.READ) | {"host": "scores.example"}
    assert served.client.get("/v1/models", headers=headers).status_code == 200


def test_no_answer_repeats_a_key(served: Served) -> None:
    key_id, text = make_text()
    answer = served.client.get("/v1/models", headers={"authorization": f"Bearer {text}"})
    assert answer.status_code == 401
    assert key_id not in answer.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "WEIR_API__KEYS"),
        ({"tls_certificate": __file__, "tls_key": __file__}, "WEIR_API__KEYS"),
        ({"behind_proxy": True}, "WEIR_API__KEYS"),
        ({"keys": "required"}, "WEIR_API__TLS_KEY"),
    ],
)
def test_other_addresses_need_keys_and_a_cipher(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        check_host("0.0.0.0", ApiSettings(**given))


@pytest.mark.parametrize("given", [{"tls_certificate": __file__, "tls_key": __file__}, {"behind_proxy": True}])
def test_with_both_they_are_served(given: dict[str, Any]) -> None:
    check_host("0.0.0.0", ApiSettings(keys="required", **given))
    check_host("127.0.0.1", ApiSettings())


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("x")
    given = {"WEIR_HOME": str(tmp_path), "WEIR_API__TLS_CERTIFICATE": str(tmp_path / "c.pem")}
    with pytest.raises(Refused, match="together"):
        load_settings(given)


def test_files_that_are_no_certificate_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("x")
    file = str(tmp_path / "c.pem")
    with pytest.raises(Refused, match="PEM"):
        Tls(file, file).check()
