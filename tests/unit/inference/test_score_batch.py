"""Many events in one request: each answered as if it were the only one, and nobody else kept waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import World
from tests.unit.inference.test_together import PAYMENTS
from weir.inference.api.batching import BATCH_MAX
from weir.inference.api.many import EVENTS_MAX

PATH = "/v1/score/batch"


def events(count: int) -> list[dict[str, Any]]:
    return [TRANSACTION | {"transaction_id": f"of-many-{number}"} for number in range(count)]


def send(world: World, document: Any, **params: Any) -> httpx.Response:
    return world.client.post(PATH, json=document, params=params)


def test_each_is_answered_as_it_is_alone_and_in_order(world: World) -> None:
    asked = [TRANSACTION | each for each in PAYMENTS]
    found = send(world, {"events": asked}, features=True).json()["scores"]
    for each, answer in zip(PAYMENTS, found, strict=True):
        alone = world.score(**each).json()
        if "error" in alone:
            assert answer == {"error": alone["error"]}
        else:
            assert alone.pop("published") is None
            assert answer == alone


def test_features_are_left_out_unless_they_are_asked_for(world: World) -> None:
    (without,) = send(world, {"events": events(1)}).json()["scores"]
    (with_them,) = send(world, {"events": events(1)}, features=True).json()["scores"]
    assert with_them.pop("features")
    assert without == with_them


def test_one_that_is_no_event_has_its_own_error(world: World) -> None:
    found = send(world, {"events": [[], *events(1), {"amount": 1}, None]}).json()["scores"]
    assert [("error" in each) for each in found] == [True, False, True, True]
    assert found[0]["error"]["message"] == "$: expected an object, found an array"
    assert "1 unknown field(s)" in found[2]["error"]["message"]
    assert {"field": "card_id", "message": "expected a string, found nothing"} in found[2]["error"]["fields"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "events: expected an array of transactions, found nothing"),
        ({"events": {}}, "events: expected an array of transactions, found an object"),
        ({"events": []}, "events: expected 1 to 1,000 transactions, found 0"),
        ({"events": [{}] * (EVENTS_MAX + 1)}, "events: expected 1 to 1,000 transactions, found 1,001"),
        ({"events": [{}], "more": 1}, "$: 1 unknown field(s)"),
        ([], "$: expected an object, found an array"),
    ],
)
def test_what_is_no_list_of_events_is_refused_whole(world: World, document: Any, said: str) -> None:
    answer = send(world, document)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == said


def test_as_many_as_may_be_are_scored_and_a_lone_score_waits_for_one_turn_of_them(world: World) -> None:
    async def ask() -> tuple[httpx.Response, int, httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            many = asyncio.ensure_future(client.post(PATH, json={"events": events(EVENTS_MAX)}))
            while world.partials.asked < 2:  # it is being answered
                await asyncio.sleep(0)
            before = world.partials.asked
            lone = await client.post("/v1/score", json=TRANSACTION)
            return lone, world.partials.asked - before, await many

    world.partials.asked = 0
    lone, turns, many = asyncio.run(ask())
    assert lone.status_code == many.status_code == 200
    assert turns <= 3 < EVENTS_MAX // BATCH_MAX
    scores = many.json()["scores"]
    assert [each["transaction_id"] for each in scores] == [each["transaction_id"] for each in events(EVENTS_MAX)]


def test_a_dependency_that_is_away_refuses_the_request(world: World) -> None:
    world.partials.away = "redis: gone"
    assert send(world, {"events": events(40)}).status_code == 503
