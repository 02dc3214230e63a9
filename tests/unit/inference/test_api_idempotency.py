"""Idempotency keys: which answer a request that is sent again gets, over a twin that keeps answers in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.keyed import Served
from tests.unit.inference.test_api import NOW_MS, World
from tests.unit.inference.twins import Client
from weir.access.key import Scope
from weir.inference.api.app import build_api
from weir.inference.api.error_document import read_codes
from weir.inference.api.web.errors import PROBLEM
from weir.infra.redis.kept_answers import Found, Request
from weir.monitoring import metrics
from weir.schemas.errors import Transient

PUBLISH = "/v1/score?publish=true"


class MemoryAnswers:
    """Keeps answers; ``away`` is what it raises."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], tuple[Request, bytes | None]] = {}
        self.away: Transient | None = None
        self.full = False

    def begin(self, request: Request) -> Found:
        if self.away is not None:
            raise self.away
        found = self.entries.get((request.owner, request.name))
        if found is None:
            if self.full:
                return Found("full", wait_seconds=70)
            self.entries[request.owner, request.name] = (request, None)
            return Found("begun")
        first, answer = found
        if first.fingerprint != request.fingerprint:
            return Found("other")
        return Found("pending") if answer is None else Found("answered", answer)

    def finish(self, request: Request, answer: bytes | None) -> None:
        if self.away is not None:
            raise self.away
        assert self.entries[request.owner, request.name] == (request, None), "it is this request that began"
        if answer is None:
            del self.entries[request.owner, request.name]
        else:
            self.entries[request.owner, request.name] = (request, answer)


class Kept:
    """An API that keeps answers."""

    def __init__(self, home: Path) -> None:
        self.world = World(home)
        self.answers = MemoryAnswers()
        self.app = build_api(replace(self.world.parts, kept=self.answers))
        self.client = Client(self.app)

    def post(self, path: str = PUBLISH, key: str = "k1", **changes: Any) -> httpx.Response:
        return self.client.post(path, json=TRANSACTION | changes, headers={"idempotency-key": key})


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.world.guard.close()


def code(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["code"]
    return found


def test_the_same_again_gets_the_first_answer_and_is_not_done_again(kept: Kept) -> None:
    first, again = kept.post(), kept.post()
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert [each.headers.get("idempotency-replayed") for each in (first, again)] == [None, "true"]
    assert first.headers["content-type"] == again.headers["content-type"]
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert len(kept.world.publisher.published) == 1
    assert kept.post(key="k2").json()["published"]["offset"] == 1


def test_the_key_may_be_a_string_in_quotes_as_the_draft_has_it(kept: Kept) -> None:
    assert kept.post(key='"k1"').content == kept.post(key="k1").content
    assert len(kept.world.publisher.published) == 1


def test_another_request_with_the_key_is_refused(kept: Kept) -> None:
    kept.post()
    for answer in (kept.post(amount_minor=1), kept.post("/v1/score"), kept.post("/v1/decide")):
        assert (answer.status_code, code(answer)) == (422, "idempotency_key_reused")
    assert len(kept.world.publisher.published) == 1


def test_the_same_while_the_first_is_answered_is_told_to_wait(kept: Kept) -> None:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(kept.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"idempotency-key": "k1"}
            return await asyncio.gather(*[client.post(PUBLISH, json=TRANSACTION, headers=headers) for _ in range(3)])

    answers = asyncio.run(ask())
    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    assert {code(each) for each in answers if each.is_error} == {"request_in_flight"}
    assert {each.headers["retry-after"] for each in answers if each.is_error} == {"1"}
    assert len(kept.world.publisher.published) == 1


def test_a_refusal_of_the_request_is_kept_and_one_of_the_moment_is_not(kept: Kept) -> None:
    assert [kept.post(amount_minor="x").status_code for _ in range(2)] == [422, 422]
    kept.world.publisher.away = "kafka: no answer"
    assert kept.post(key="k2").status_code == 503
    kept.world.publisher.away = ""
    assert kept.post(key="k2").status_code == 200
    assert len(kept.answers.entries) == 2


def test_a_decision_that_is_not_there_yet_is_asked_for_by_the_same_again(kept: Kept) -> None:
    stream = kept.world.stream
    stream.decide = lambda _: None
    path = "/v1/decide?wait_ms=20"
    assert kept.post(path, event_time_ms=NOW_MS).status_code == 202
    assert kept.answers.entries == {}
    stream.decide = stream.decide_now
    decided = kept.post(path, event_time_ms=NOW_MS)
    assert decided.status_code == 200
    assert (kept.post(path, event_time_ms=NOW_MS).content, len(stream.published)) == (decided.content, 2)


def test_with_redis_away_nothing_is_done(kept: Kept) -> None:
    kept.answers.away = Transient("redis: keeping an answer: full", cause="full")
    answer = kept.post()
    assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert kept.world.publisher.published == []
    assert kept.client.post("/v1/score", json=TRANSACTION).status_code == 200, "without a key it is as ever"


def test_an_answer_that_cannot_be_kept_is_given_and_counted(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise Transient("redis: gone", cause="full")

    monkeypatch.setattr(kept.answers, "finish", fail)
    before = metrics.HTTP_ANSWERS_NOT_KEPT._value.get()
    assert kept.post().status_code == 200
    assert metrics.HTTP_ANSWERS_NOT_KEPT._value.get() == before + 1
    assert kept.post().status_code == 409


def test_a_bug_of_ours_leaves_the_key_free(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kept.world.publisher, "publish", lambda _: 1 / 0)
        assert kept.post().status_code == 500
    assert kept.post().status_code == 200


def test_who_has_kept_as_much_as_may_be_is_told_when_there_is_room(kept: Kept) -> None:
    kept.answers.full = True
    answer = kept.post()
    assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (429, "rate_limited", "70")
    assert kept.world.publisher.published == []


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "é", '""', "a\x7fb", '"a'])
def test_a_key_that_is_none_is_refused(kept: Kept, key: str) -> None:
    answer = kept.client.post(PUBLISH, json=TRANSACTION, headers={"idempotency-key": key.encode()})
    if key == '"a':  # as good as without its quote
        assert answer.status_code == 200
        return
    assert (answer.status_code, code(answer)) == (400, "invalid_idempotency_key")
    assert kept.world.publisher.published == []


def test_a_body_beyond_the_bound_is_still_413_and_a_get_is_left_alone(kept: Kept) -> None:
    headers = {"idempotency-key": "k1", "content-type": "application/json"}
    assert kept.client.post(PUBLISH, content=b"x" * 1_000_001, headers=headers).status_code == 413
    assert [kept.client.get("/v1/models", headers=headers).status_code for _ in range(2)] == [200, 200]
    assert kept.answers.entries == {}


def test_keys_of_two_clients_are_apart(tmp_path: Path) -> None:
    served = Served(tmp_path)
    app = build_api(replace(served.parts, kept=MemoryAnswers()))
    sent = [
        Client(app).post(PUBLISH, json=TRANSACTION, headers=served.key(Scope.SCORE) | {"idempotency-key": "k1"})
        for _ in range(2)
    ]
    assert [each.json()["published"]["offset"] for each in sent] == [0, 1]
    served.guard.close()


def test_the_document_has_the_header_and_its_errors(kept: Kept) -> None:
    document = kept.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = [each["name"] for each in operation.get("parameters", ())]
            assert ("idempotency-key" in names) == (method == "post"), path
    responses = document["paths"]["/v1/score"]["post"]["responses"]
    codes = {code for status in ("400", "409", "422", "429") for code in read_codes(responses[status])}
    assert codes >= {"invalid_idempotency_key", "request_in_flight", "idempotency_key_reused", "rate_limited"}
    assert PROBLEM in responses["429"]["content"]
