"""Two API processes behind one address: what a key may ask, and what was answered, is known to both."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.http_child import BURST, KEY
from tests.integration.test_http_connections import Child
from tests.unit.inference.examples import TRANSACTION
from weir.infra.settings import Settings


@pytest.fixture
def space() -> str:
    return secrets.token_hex(6)


@pytest.fixture
def apis(stack: Settings, space: str, tmp_path: Path) -> Iterator[list[httpx.Client]]:
    with ExitStack() as open_now:
        clients = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            child = Child(tmp_path / name, stack.redis.url, space)
            open_now.callback(child.stop)
            client = httpx.Client(base_url=f"http://127.0.0.1:{child.port}", headers={"x-api-key": KEY})
            clients.append(open_now.enter_context(client))
        yield clients


def test_two_processes_share_the_rate_of_a_key_and_the_answers_to_its_idempotency_keys(
    apis: list[httpx.Client],
) -> None:
    sent = {"idempotency-key": "order-7"}
    answers = [api.post("/v1/score?publish=true", json=TRANSACTION, headers=sent) for api in apis]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert [each.headers.get("idempotency-replayed") for each in answers] == [None, "true"]
    more = [apis[turn % 2].get("/v1/models") for turn in range(BURST)]
    assert [each.status_code for each in more] == [200] * (BURST - 2) + [429] * 2
    assert [each.headers["ratelimit"].partition(";t=")[0] for each in more[:3]] == [
        f'"key";r={left}' for left in (2, 1, 0)
    ]
    assert {each.headers["content-type"] for each in more[3:]} == {"application/problem+json"}
