"""Every error is a problem document, and the OpenAPI document names for each route those that it answers with."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.keyed import Served
from tests.unit.inference.test_api import World
from tests.unit.inference.test_api_idempotency import MemoryAnswers
from tests.unit.inference.test_api_keys import fill
from tests.unit.inference.twins import Client
from weir.access.key import Scope
from weir.inference.api.app import build_api
from weir.inference.api.error_document import read_codes
from weir.inference.api.publisher import event_headers
from weir.inference.api.web.error_types import ERROR_TYPES
from weir.inference.api.web.errors import JSON, PROBLEM, raw_answer
from weir.monitoring.request_id import REQUEST_ID

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
API = Path(__file__).parents[3] / "inference" / "api"
OF_CONNECTIONS = {"no_http", "too_slow", "headers_too_large"}
"""What a connection answers, before there is a route."""
OF_KEYS = {"unauthorized", "forbidden", "unknown_stream"}
ASKS_PROBLEM = {"accept": f"{PROBLEM}, {JSON};q=0.5"}
MEMBERS = ["type", "title", "status", "detail", "instance", "error"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.guard.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.guard.close()


def check_problem(answer: Any, code: str) -> None:
    """Check all that is the same for every error."""
    problem = answer.json()
    kind = ERROR_TYPES[code]
    assert list(problem) == MEMBERS
    assert (problem["type"], problem["title"]) == (f"urn:weir:error:{code}", kind.title)
    assert problem["status"] == answer.status_code == kind.status
    assert problem["instance"] == f"urn:weir:request:{answer.headers['x-request-id']}"
    assert (problem["error"]["code"], problem["error"]["message"]) == (code, problem["detail"])


def ask_for_errors(world: World) -> list[tuple[str, Any]]:
    """Return errors of every part that answers with one, with their codes."""
    client, body = world.client, {"content-type": JSON}
    found = [
        ("unknown_host", client.get("/healthz", headers={"host": "evil.example"})),
        ("unknown_entity", client.get("/v1/features/nobody/x")),
        ("no_decision", client.get("/v1/decisions/t1")),
        ("invalid_request", client.post("/v1/score", content=b"{}", headers=body)),
        ("invalid_request", client.get("/v1/decisions/%ff")),
        ("unsupported_media_type", client.post("/v1/score", content=b"{}")),
        ("unsupported_encoding", client.post("/v1/score", content=b"\xff\xfe{}", headers=body)),
        ("body_too_large", client.post("/v1/score", content=b"x" * 1_000_001, headers=body)),
        ("unknown_stream", client.get("/v1/streams/nothing/models")),
    ]
    world.partials.away = "redis: gone"
    return [*found, ("unavailable", client.get("/v1/features/card/c1"))]


def test_every_error_is_a_problem_with_the_members_of_before(world: World) -> None:
    for code, answer in ask_for_errors(world):
        check_problem(answer, code)


def test_without_keys_an_error_is_called_json_unless_a_problem_is_asked_for(world: World) -> None:
    plain = world.client.get("/v1/decisions/t1", headers={"accept": JSON})
    asked = world.client.get("/v1/decisions/t1", headers=ASKS_PROBLEM)
    assert [each.headers["content-type"] for each in (plain, asked)] == [JSON, PROBLEM]
    assert plain.json()["error"] == asked.json()["error"]
    assert world.client.get("/v1/models", headers=ASKS_PROBLEM).headers["content-type"] == JSON


def test_with_keys_every_error_is_called_a_problem(served: Served) -> None:
    answers = [
        ("unauthorized", served.client.get("/v1/models")),
        ("forbidden", served.client.get("/v1/models", headers=served.key(Scope.SCORE))),
        ("no_decision", served.client.get("/v1/decisions/t1", headers=served.key(Scope.READ))),
        (
            "unknown_stream",
            served.client.get("/v1/streams/transactions/models", headers=served.key(Scope.READ, streams=("refunds",))),
        ),
    ]
    for code, answer in answers:
        check_problem(answer, code)
        assert answer.headers["content-type"] == PROBLEM


def test_a_path_or_a_method_that_there_is_not_is_told_by_its_status_alone(world: World) -> None:
    for answer, title in ((world.client.get("/v2/none"), "Not Found"), (world.client.ask("PUT", "/v1/score"), None)):
        problem = answer.json()
        assert (problem["type"], problem["status"], problem["error"]["code"]) == (
            "about:blank",
            answer.status_code,
            "http",
        )
        assert problem["title"] == (title or "Method Not Allowed")


def test_what_a_connection_answers_is_a_problem_too() -> None:
    head, _, body = raw_answer(408, "too_slow", "expected more", content_type=PROBLEM).partition(b"\r\n\r\n")
    found = re.search(rb"x-request-id: (\w+)", head)
    assert found is not None
    assert list(json.loads(body)) == MEMBERS
    assert json.loads(body)["instance"] == f"urn:weir:request:{found[1].decode()}"


class NoEvidence:
    """An archive with nothing in it."""

    def answer(self, stream: str, event_id: str) -> None:
        """Return nothing."""

    def close(self) -> None:
        """Stop nothing."""


def named(document: dict[str, Any], method: str, path: str) -> set[str]:
    """Return the types of error that the document names for a route."""
    responses = document["paths"][path][method.lower()]["responses"]
    errors = [each for status, each in responses.items() if int(status) >= 400 and PROBLEM in each["content"]]
    return {code for each in errors for code in read_codes(each)}


def test_the_document_names_the_errors_of_every_route(world: World, served: Served) -> None:
    with_evidence = replace(world.served, evidence=NoEvidence())
    parts = replace(world.parts, streams=[with_evidence], kept=MemoryAnswers())
    plain = Client(build_api(parts)).get("/openapi.json").json()
    keyed = served.client.get("/openapi.json", headers=served.key(Scope.ADMIN)).json()
    seen: set[str] = set()
    for document, always in ((plain, {"unknown_host"}), (keyed, {"unauthorized", "forbidden", "busy"})):
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                found = named(document, method, path)
                assert found >= {"internal", "body_too_large"}, path
                assert found >= always or path in {"/healthz", "/readyz"}, path
                assert "422" not in operation["responses"] or "invalid_request" in found, "the framework's own is shown"
                seen |= found
    assert seen == set(ERROR_TYPES) - OF_CONNECTIONS


def test_a_document_names_each_error_that_a_route_is_seen_to_answer_with(world: World) -> None:
    document = world.client.get("/openapi.json").json()
    for method, path in [(method, path) for path, found in document["paths"].items() for method in found]:
        for content in (b"", b"{}", json.dumps(TRANSACTION).encode(), b"x" * 1_000_001):
            for headers in ({}, {"content-type": JSON}, {"host": "evil.example"}):
                answer = world.client.ask(method.upper(), fill(path), content=content, headers=headers)
                if answer.status_code >= 400:
                    assert answer.json()["error"]["code"] in named(document, method, path), (method, path)


def test_the_page_has_every_type_and_no_other() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(str(each.status), each.code, each.title, each.fix) for each in ERROR_TYPES.values()]


def test_every_code_that_is_written_in_the_source_has_a_type_of_its_status() -> None:
    said = re.compile(r"""(?:answer_error|refuse|error_body)\((?:\s*send,)?\s*(\d{3}),\s*"(\w+)\"""")
    found = {(int(status), code) for path in API.rglob("*.py") for status, code in said.findall(path.read_text())}
    assert len(found) >= 15
    assert sorted(found - {(kind.status, code) for code, kind in ERROR_TYPES.items()}) == []


def test_an_id_of_the_request_is_that_of_the_answer_and_a_wrong_one_is_replaced(world: World) -> None:
    given = ["order-7", "x" * 64, "x" * 65, "a b", "é", "4111111111111111", "", "a/b"]
    found = [
        world.client.get("/healthz", headers={"x-request-id": each.encode()}).headers["x-request-id"] for each in given
    ]
    assert found[:2] == given[:2]
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in found[2:])


def test_log_lines_of_a_request_have_its_id(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(world.decisions, "read", lambda _: 1 / 0)
    with caplog.at_level(logging.DEBUG):
        assert world.client.get("/v1/decisions/t1", headers={"x-request-id": "order-7"}).status_code == 500
    fields = {each.getMessage(): each.__dict__["weir_fields"] for each in caplog.records if "weir_fields" in vars(each)}
    assert [fields[event]["request_id"] for event in ("request_failed", "request")] == ["order-7", "order-7"]
    assert REQUEST_ID.get() == ""


def test_an_event_carries_the_id_of_the_request_that_publishes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    publish = world.publisher.publish

    def note(event: dict[str, object]) -> Any:
        seen.append(event_headers())
        return publish(event)

    monkeypatch.setattr(world.publisher, "publish", note)
    sent = world.client.post("/v1/score?publish=true", json=TRANSACTION, headers={"x-request-id": "order-7"})
    assert sent.is_success
    assert (seen, event_headers()) == ([[("x-request-id", b"order-7")]], [])
