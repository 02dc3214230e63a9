"""The API answers for past decisions in its own style, whatever the archive says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.inference.test_api import World
from tests.unit.inference.twins import Client
from weir.inference.api.app import build_api
from weir.schemas.errors import Damaged, Refused, Transient


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
    assert {"200", "404", "422", "503"} <= set(document["paths"][path]["get"]["responses"])
    assert document["paths"][path]["get"]["x-scope"] == "read"
