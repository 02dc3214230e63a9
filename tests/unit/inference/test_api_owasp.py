"""The OWASP API Security Top 10 of 2023, one test each; other tests go further into each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.keyed import OURS, THEIRS, Served
from tests.unit.inference.test_api_keys import SCOPES, fill
from tests.unit.inference.test_api_proposals import ADD, LISTS, WHY, Api
from weir.access.key import Scope
from weir.inference.api.access import OPEN
from weir.inference.api.models.scoring import INFERENCE
from weir.schemas.errors import Damaged


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


def code_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield every name of a document with what it holds."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield name, value
            yield from walk(value)
    elif isinstance(document, list):
        for value in document:
            yield from walk(value)


def test_1_an_object_of_another_stream_is_not_there_under_any_path(served: Served) -> None:
    job = served.uploads.folders(THEIRS).create("csv", 1).job
    bound = served.key(Scope.ADMIN, streams=(OURS,))
    for method in ("GET", "DELETE"):
        for stream in (OURS, THEIRS):
            answer = served.client.ask(method, f"/v1/streams/{stream}/uploads/{job.id}", headers=bound)
            assert answer.status_code == 404
    assert served.client.get(f"/v1/streams/{THEIRS}/uploads/{job.id}", headers=served.key(Scope.ADMIN)).is_success


def test_2_who_has_no_valid_key_learns_nothing_and_a_key_in_an_address_is_none(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    text = headers["authorization"].removeprefix("Bearer ")
    other = text[:-1] + ("0" if text[-1] != "0" else "1")
    none = [
        served.client.get("/v1/models"),
        served.client.get(f"/v1/models?api_key={text}&x-api-key={text}"),
        served.client.get("/v1/models", headers={"cookie": f"x-api-key={text}"}),
    ]
    wrong = [served.client.get("/v1/models", headers={"x-api-key": each}) for each in (other, text[:13], "nothing")]
    assert {code_of(answer) for answer in none + wrong} == {(401, "unauthorized")}
    for answers in (none, wrong):
        assert len({answer.json()["error"]["message"] for answer in answers}) == 1


def test_3_a_request_sets_no_more_than_its_fields_and_an_answer_has_no_secret(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    given: dict[str, dict[str, Any]] = {
        "/v1/cases/5f3a90c2d871/verdict": {"verdict": "fraud", "reason": "x", "holder": "me"},
        "/v1/cases/5f3a90c2d871/claim": {"by": "somebody else"},
        "/v1/rules/rollback": {"version": "none", "why": "x", "by": "somebody else"},
        "/v1/score": TRANSACTION | {"decided": True},
    }
    for path, body in given.items():
        assert code_of(served.client.post(path, json=body, headers=headers)) == (422, "invalid_request"), path
    shown = served.client.get("/v1/keys", headers=headers).text
    assert not any(text[14:] in shown or key.hash.hex() in shown for text, key in served.keys.items())


def test_4_what_a_request_takes_is_bounded(served: Served) -> None:
    headers = served.key(Scope.ADMIN)
    many = {"events": [TRANSACTION] * 1_001}
    assert code_of(served.client.post("/v1/score/batch", json=many, headers=headers))[0] in {413, 422}
    big = headers | {"content-type": "application/json"}
    assert code_of(served.client.post("/v1/score", content=b" " * 2_000_000, headers=big)) == (413, "body_too_large")
    limits = re.compile(r"limit|days")
    parameters = [
        each
        for path in served.client.get("/openapi.json", headers=headers).json()["paths"].values()
        for operation in path.values()
        for each in operation.get("parameters", ())
    ]
    bounded = [each for each in parameters if limits.fullmatch(each["name"])]
    assert len(bounded) >= 6
    assert all("maximum" in each["schema"] for each in bounded)


def test_5_a_key_that_reads_changes_nothing(served: Served) -> None:
    headers = served.key(Scope.READ)
    changes = [(method, path) for method, path in served.operations() if method != "GET"]
    assert len(changes) >= 20
    for method, path in changes:
        assert served.client.ask(method, fill(path), headers=headers).status_code == 403, (method, path)


def test_6_nobody_passes_the_second_person_by_asking_often(tmp_path: Path) -> None:
    api = Api(tmp_path)
    with closing(api.world.guard):
        proposal = api.ask(f"{LISTS}/change", api.key("ada"), **ADD)[1]["proposal"]
        for name in ("ada", "ADA", " ada "):
            for _ in range(3):
                found = api.ask(f"{LISTS}/proposals/{proposal}/approve", api.key(name.strip()), **WHY)
                assert found == (409, "own_proposal")
        assert api.lists.acts == []


def test_7_no_request_names_an_address_that_is_asked(served: Served) -> None:
    document = served.client.get("/openapi.json", headers=served.key(Scope.ADMIN)).json()
    named = re.compile(r"(?i)ur[il]|host|callback|webhook|link|redirect|endpoint")
    fields = [name for of, value in walk(document) if of in {"properties", "parameters"} for name in _names(value)]
    assert len(fields) > 50
    assert [name for name in fields if named.search(name)] == []
    assert [value for name, value in walk(document) if name == "format" and "uri" in str(value)] == []


def _names(value: Any) -> list[str]:
    return [*value] if isinstance(value, dict) else [each["name"] for each in value]


def test_8_an_error_of_ours_tells_nothing_and_no_other_site_reads_an_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = served.key(Scope.ADMIN)
    monkeypatch.setattr(served.parts.streams[0].champion, "poll", lambda: 1 / 0)
    answer = served.client.get("/v1/models", headers=headers)
    assert answer.status_code == 500
    assert not any(word in answer.text for word in ("Traceback", "ZeroDivision", "poll", ".py"))
    asked = headers | {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for method, path in (("GET", "/v1/lists"), ("OPTIONS", "/v1/score"), ("TRACE", "/v1/score")):
        found = served.client.ask(method, path, headers=asked)
        assert not any(name.startswith("access-control") for name in found.headers)


def test_9_what_is_served_is_what_is_documented_and_has_one_version(served: Served) -> None:
    documented = {
        (method.upper(), path)
        for path, operations in served.client.get("/openapi.json", headers=served.key(Scope.ADMIN))
        .json()["paths"]
        .items()
        for method in operations
    }
    pages = re.compile(r"/|/metrics|/openapi\.json|/docs.*|/favicon.*")
    found = {(method, path) for method, path in served.operations() if not pages.fullmatch(path)}
    assert found == documented
    assert all(path.startswith(("/v1/", f"{INFERENCE}/")) or path in OPEN for _, path in found)
    assert {label.split()[1].split("/")[1] for label in SCOPES} <= {"v1", "api", "", "docs", "metrics", "openapi.json"}


def test_10_what_another_system_gave_is_checked_before_it_is_passed_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: str) -> bytes | None:
        raise Damaged("redis: expected the decision as it was written, found other bytes")

    monkeypatch.setattr(served.parts.streams[0].decisions, "read", read)
    answer = served.client.get("/v1/decisions/t1", headers=served.key(Scope.READ))
    assert code_of(answer) == (503, "damaged")
