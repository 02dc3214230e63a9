"""Past decisions over HTTP: the filters of live ones, pages by cursor, and what is wrong with a request."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.examples import DECISION
from tests.unit.inference.test_api import CARD_NUMBER, World
from tests.unit.inference.twins import Client
from weir.inference.api.app import build_api
from weir.inference.api.request import BadRequest
from weir.inference.api.search.query import parse_search
from weir.schemas.errors import Damaged, Refused, Transient, WeirError
from weir.schemas.search import LIMIT, MS_MAX, Place, Search
from weir.schemas.streams.payments import payments
from weir.schemas.wanted import Wanted

PATH, DAYS = "/v1/decisions", "/v1/metrics/daily"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.search.decisions = [
        (Place(1_000 + number, 0, number), DECISION | {"transaction_id": f"t{number}", "card_id": f"c{number % 2}"})
        for number in range(9)
    ]
    return made


def ids_of(answer: Any) -> list[str]:
    return [each["transaction_id"] for each in answer.json()["decisions"]]


@pytest.mark.parametrize("prefix", ["/v1", "/v1/streams/transactions"])
def test_pages_follow_one_another_by_their_cursors(world: World, prefix: str) -> None:
    client, found, after = world.client, list[str](), ""
    while True:
        answer = client.get(f"{prefix}/decisions?card=c0&limit=2{after}")
        assert (answer.status_code, answer.json()["archived_to_ms"]) == (200, 1_008)
        found += ids_of(answer)
        if answer.json()["next"] is None:
            break
        after = f"&after={answer.json()['next']}"
    assert found == ["t8", "t6", "t4", "t2", "t0"]


def test_a_decision_is_found_by_the_id_of_its_request(world: World) -> None:
    world.search.request_ids = {Place(1_003, 0, 3): "order-7"}
    assert ids_of(world.client.get(f"{PATH}?request_id=order-7")) == ["t3"]
    assert ids_of(world.client.get(f"{PATH}?request_id=order-8")) == []


def test_a_query_becomes_a_search() -> None:
    asked = {"decision": "REVIEW", "merchant": "m1", "rule": "rule:a", "score_min": "0.5", "from": "5", "to": "9"}
    wanted = Wanted(frozenset({"REVIEW"}), {"merchant_id": "m1"}, "rule:a", 0.5)
    given = [*asked.items(), ("decision", "DECLINE"), ("limit", "7"), ("after", "a.0.b"), ("request_id", "order-7")]
    both = replace(wanted, outcomes=frozenset({"REVIEW", "DECLINE"}))
    assert parse_search(payments, given) == Search(both, 5, 9, 7, Place(10, 0, 11), "order-7")
    assert parse_search(payments, []) == Search(Wanted(), 0, MS_MAX, LIMIT, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=five", "limit"), ("limit=5&limit=6", "limit"),
        ("from=-1", "from"), ("from=2026-01-01", "from"), ("to=%D9%A1", "to"), ("from=5&to=5", "to"),
        (f"to={10**19}", "to"), ("to=" + "9" * 5_000, "to"), ("after=nonsense", "after"), ("after=", "after"),
        ("after=a.0.b%0A", "after"), ("score_min=2", "score_min"), ("decision=MAYBE", "decision"),
        ("card=", "card"), (f"card={CARD_NUMBER}", "card"), ("device=d1", "query"), ("nothing=1", "query"),
        ("request_id=", "request_id"), (f"request_id={CARD_NUMBER}", "request_id"), ("request_id=a%20b", "request_id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_asked(world: World, query: str, field: str) -> None:
    answer = world.client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["error"]["fields"][0]["field"]) == (422, field)
    assert CARD_NUMBER not in answer.text
    assert world.search.asked == []


def test_an_unknown_filter_is_told_which_there_are() -> None:
    with pytest.raises(
        BadRequest, match="decision, rule, score_min, card, merchant, after, from, limit, request_id, to"
    ):
        parse_search(payments, [("nothing", "1")])


@pytest.mark.parametrize("query", ["days=0", "days=367", "days=x", "days=1&days=2", "card=c1"])
def test_only_so_many_days_are_counted(world: World, query: str) -> None:
    assert world.client.get(f"{DAYS}?{query}").status_code == 422
    assert world.search.asked == []


def test_days_are_counted(world: World) -> None:
    assert world.client.get(DAYS).json() == world.search.days
    assert world.client.get(f"{DAYS}?days=7").status_code == 200
    assert world.search.asked == [("transactions", 30), ("transactions", 7)]


@pytest.mark.parametrize("path", [PATH, DAYS])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Transient("search: 8 requests are waiting already; ask again", cause="busy"), 503, "busy"),
        (Transient("search: no answer within 10 s; ask again"), 503, "unavailable"),
        (Damaged("a file is gone"), 503, "damaged"),
        (Refused("a newer version wrote it"), 503, "refused"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_the_api(
    world: World, path: str, error: WeirError, status: int, code: str
) -> None:
    world.search.error = error
    answer = world.client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (code != "refused")


@pytest.mark.parametrize("path", [PATH, DAYS])
def test_without_an_archive_the_answer_says_how_to_have_one(world: World, path: str) -> None:
    world.search.decisions = None
    answer = world.client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_archive")
    assert "`weir archive`" in answer.json()["error"]["message"]


def test_an_installation_without_the_archive_says_the_same(world: World) -> None:
    without = Client(build_api(replace(world.parts, streams=[replace(world.served, search=None)])))
    assert [without.get(path).json()["error"]["code"] for path in (PATH, DAYS)] == ["no_archive"] * 2
