"""Evidence for requests: answered in a child, which may be slow or die, and by the API in its own style."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.golden.records import decode, parse_schema
from tests.unit.archive.decided import NEWEST, topics
from tests.unit.inference.test_api import World
from tests.unit.inference.twins import Client
from weir.archive.evidence.worker import WAITING_MAX, EvidenceWorker
from weir.inference.api.app import build_api
from weir.inference.api.schema import build_evidence
from weir.schemas.errors import Damaged, Refused, Transient
from weir.schemas.streams.payments import payments


@pytest.fixture
def worker(built: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WEIR_HOME", str(built))
    made = EvidenceWorker(seconds_max=120.0)
    yield made
    made.close()


def _event_id() -> str:
    decided = decode(topics()["decisions"][0].entry.value or b"", parse_schema(NEWEST["decisions"]))
    return str(decided[payments.id])


def test_a_child_answers_is_replaced_when_it_died_and_says_what_is_not_there(worker: EvidenceWorker) -> None:
    answer = worker.answer(payments.name, _event_id())
    assert answer is not None
    assert json.loads(answer)["decision"]["is_same"] is True
    jsonschema.validate(json.loads(answer), build_evidence())
    assert worker.answer(payments.name, "nobody") is None
    assert worker._child is not None
    first = worker._child[0].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    worker._child[0].join()
    assert worker.answer(payments.name, _event_id()) == answer
    assert worker._child[0].pid != first


def test_no_archive_is_refused_and_a_child_that_does_not_answer_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    slow = EvidenceWorker(seconds_max=0.0)
    with pytest.raises(Transient, match="no answer within 0 s"):
        slow.answer(payments.name, "t-1")
    assert slow._child is None


def test_more_requests_than_may_wait_are_told_to_ask_again() -> None:
    worker = EvidenceWorker()
    for _ in range(WAITING_MAX):
        worker._places.acquire()
    with pytest.raises(Transient, match="are waiting already"):
        worker.answer("transactions", "t")
    assert worker._child is None


class Given:
    """Answers or raises what it was given."""

    def __init__(self, found: bytes | Exception | None) -> None:
        self.found = found
        self.asked: list[tuple[str, str]] = []

    def answer(self, stream: str, event_id: str) -> bytes | None:
        self.asked.append((stream, event_id))
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def close(self) -> None:
        """Nothing is open."""


def _client(world: World, given: Given) -> Client:
    return Client(build_api(replace(world.parts, streams=[replace(world.served, evidence=given)])))


@pytest.mark.parametrize("prefix", ["/v1", "/v1/streams/transactions"])
def test_the_api_answers_for_a_decision(tmp_path: Path, prefix: str) -> None:
    given = Given(b'{"id": "t/1"}')
    answer = _client(World(tmp_path), given).get(f"{prefix}/evidence/t/1")
    assert answer.status_code == 200
    assert answer.json() == {"id": "t/1"}
    assert given.asked == [("transactions", "t/1")]


@pytest.mark.parametrize(
    ("found", "status", "code"),
    [
        (None, 404, "no_evidence"),
        (Transient("evidence: 4 requests are waiting already; ask again"), 503, "unavailable"),
        (Damaged("a file is gone"), 503, "damaged"),
        (Refused("no archive"), 503, "refused"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_the_api(
    tmp_path: Path, found: Exception | None, status: int, code: str
) -> None:
    answer = _client(World(tmp_path), Given(found)).get("/v1/evidence/t-1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_card_number_is_not_looked_for(tmp_path: Path) -> None:
    given = Given(None)
    assert _client(World(tmp_path), given).get("/v1/evidence/4111111111111111").status_code == 422
    assert given.asked == []


def test_the_path_is_in_the_document_and_only_where_there_is_an_archive(tmp_path: Path) -> None:
    world = World(tmp_path)
    path = "/v1/evidence/{transaction_id}"
    assert path not in world.app.openapi()["paths"]
    document = build_api(replace(world.parts, streams=[replace(world.served, evidence=Given(None))])).openapi()
    assert set(document["paths"][path]["get"]["responses"]) == {"200", "404", "422", "503"}
