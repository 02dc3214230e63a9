"""Requests of one turn of the event loop are answered together, and none of them suffers for another."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.payments import ENTITIES, FEATURE_NAMES, Entity
from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from weir.inference.api.batching import RequestBatcher
from weir.inference.api.request import event_fields
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.errors import Transient
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.streams.payments import payments
from weir.streaming.core.states import States
from weir.streaming.kernels import shipped_kernel


class Square:
    """Squares numbers; refuses negative ones, breaks on 13, and 404 stands for a dependency that is away."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, asked: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(asked))
        if 404 in asked:
            raise Transient("away")
        if 13 in asked:
            raise RuntimeError("a bug")
        return [number**2 if number >= 0 else ValueError(number) for number in asked]


def ask_at_once(together: RequestBatcher[int, int], *numbers: int) -> list[Any]:
    async def ask() -> list[Any]:
        return await asyncio.gather(*map(together.ask, numbers), return_exceptions=True)

    return asyncio.run(ask())


def test_what_is_asked_in_one_turn_is_answered_by_one_call_in_order() -> None:
    square = Square()
    assert ask_at_once(RequestBatcher(square), 3, 1, 2) == [9, 1, 4]
    assert square.batches == [[3, 1, 2]]


def test_a_batch_has_a_bound_and_the_rest_waits_for_the_next_turn() -> None:
    square = Square()
    assert ask_at_once(RequestBatcher(square, batch_max=2), 1, 2, 3, 4, 5) == [1, 4, 9, 16, 25]
    assert square.batches == [[1, 2], [3, 4], [5]]


def test_an_exception_that_is_an_answer_is_for_one_request_alone() -> None:
    two, error, three = ask_at_once(RequestBatcher(Square()), 2, -1, 3)
    assert (two, three) == (4, 9)
    assert isinstance(error, ValueError)


def test_a_dependency_that_is_away_is_asked_once_and_concerns_all() -> None:
    square = Square()
    assert [type(answer) for answer in ask_at_once(RequestBatcher(square), 1, 404, 2)] == [Transient] * 3
    assert len(square.batches) == 1


def test_a_request_that_meets_a_bug_does_not_take_the_others_with_it() -> None:
    one, error, two = ask_at_once(RequestBatcher(Square()), 1, 13, 2)
    assert (one, two) == (1, 4)
    assert isinstance(error, RuntimeError)


def test_whoever_has_gone_is_not_waited_for() -> None:
    square = Square()
    together = RequestBatcher(square)

    async def leave() -> int:
        gone = asyncio.ensure_future(together.ask(1))
        stays = asyncio.ensure_future(together.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(leave()) == 4
    assert asyncio.run(together.ask(5)) == 25


PAYMENTS: list[dict[str, Any]] = [
    {},
    {"transaction_id": "second-of-one-card", "amount_minor": 100},
    {"transaction_id": "without-device", "device_id": None, "ip": None, "card_id": "another", "currency": "JPY"},
    {"mcc": -1},
    {"transaction_id": f"t{NOW_MS - 1_000}"},
    {"lat": 52.5, "lon": 13.4, "merchant_id": "new", "issuer_country": "FR", "channel": "POS"},
    {"event_time_ms": NOW_MS - 90_000_000, "customer_id": "stranger", "outcome": "DECLINED"},
]


def read(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer without the request's id, which an error has in it."""
    return {name: value for name, value in answer.json().items() if name != "instance"}


def score_at_once(world: World) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*[client.post("/v1/score", json=TRANSACTION | each) for each in PAYMENTS])

    return asyncio.run(ask())


def test_payments_scored_together_are_scored_as_each_alone(world: World) -> None:
    alone = [world.score(**each) for each in PAYMENTS]
    world.partials.asked = 0
    together = score_at_once(world)
    assert world.partials.asked == 1
    assert [answer.status_code for answer in together] == [200, 200, 200, 422, 409, 200, 200]
    assert [read(answer) for answer in together] == [read(answer) for answer in alone]


def test_payments_scored_together_have_the_features_that_the_stream_gives_each(world: World) -> None:
    for changes, answer in zip(PAYMENTS, score_at_once(world), strict=True):
        if answer.status_code == 200:
            expected = stream_features(world, TRANSACTION | changes)
            found = np.array([answer.json()["features"][name] for name in FEATURE_NAMES], dtype=np.float32)
            np.testing.assert_array_equal(found, expected)


def stream_features(world: World, payment: dict[str, Any]) -> Any:
    """What the processor of the only partition computes: every partial is its own."""
    row = {field.name: None for field in event_fields(payments)} | {"event_time_ms": NOW_MS, "outcome": "UNKNOWN"}
    batch = pa.RecordBatch.from_pylist([row | payment], schema=BatchCodec("transactions").arrow_schema)
    append = np.array([NOW_MS], dtype=np.int64)
    events = shipped_kernel().build_events(
        batch, append_time_ms=append, partition=0, body_digest=np.zeros(1, np.uint32), placeholders=BUILT_IN
    )
    own = {str(spec.entity): [partial_of(world, spec.entity, name) for name in events.entities[spec.entity].ids]
           for spec in ENTITIES}  # fmt: skip
    return shipped_kernel().step(events, States(own)).features[0]


def partial_of(world: World, entity: Entity, name: str) -> bytes:
    stored = world.partials.stored.get((str(entity), name))
    return stored.partials[0] if stored else b""


def test_entities_looked_up_together_are_read_at_once_and_answered_as_each_alone(world: World) -> None:
    paths = [f"/v1/features/{spec.entity}/{TRANSACTION[spec.id_field]}" for spec in ENTITIES]
    paths += ["/v1/features/card/stranger", "/v1/features/planet/mars", paths[0]]

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*map(client.get, paths))

    alone = [read(world.client.get(path)) for path in paths]
    world.partials.asked = 0
    assert [read(answer) for answer in asyncio.run(ask())] == alone
    assert world.partials.asked == 1


def test_a_partial_that_cannot_be_read_leaves_nothing_behind_for_the_next_look_up(world: World) -> None:
    partial = partial_of(world, Entity.CARD, TRANSACTION["card_id"])
    before = shipped_kernel().read(Entity.CARD, [partial], [], NOW_MS)
    with pytest.raises(ValueError, match="expected a whole partial"):
        shipped_kernel().read(Entity.CARD, [partial, partial + b"\0"], [], NOW_MS)
    assert shipped_kernel().read(Entity.CARD, [partial], [], NOW_MS) == before
    assert shipped_kernel().read(Entity.CARD, [], [], NOW_MS)["card_event_count_1h"] == 0.0
