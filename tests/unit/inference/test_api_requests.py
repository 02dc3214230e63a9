"""What a request may hold, and what is said of one that may not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from inference.api_examples import TRANSACTION
from tests.unit.inference.test_api import CARD_NUMBER, NOW_MS, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.guard.close()


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"amount_minor": "12"}, "amount_minor", "expected an integer of 64 bits, found another string"),
        ({"amount_minor": True}, "amount_minor", "found a boolean"),
        ({"amount_minor": 1.5}, "amount_minor", "expected an integer"),
        ({"amount_minor": 2**63}, "amount_minor", "out of range"),
        ({"mcc": 2**31}, "mcc", "out of range"),
        ({"card_id": ...}, "card_id", "expected a string, found nothing"),
        ({"card_id": None}, "card_id", "found null"),
        ({"merchant_id": 7}, "merchant_id", "expected a string"),
        ({"channel": "PIGEON"}, "channel", "expected one of POS"),
        ({"channel": ["POS"]}, "channel", "found an array"),
        ({"lat": "x", "lon": 1.0}, "lat", "expected a number"),
        ({"no_such": 1}, "$", "1 unknown field"),
        ({"amount_minor": -(10**9)}, "amount_minor", "below 0 for a refund"),
        ({"amount_minor": 10**12}, "amount_minor", "expected 0 to"),
        ({"currency": "ZZZ"}, "currency", "a currency of the table"),
        ({"card_id": ""}, "card_id", "an id"),
        ({"card_id": "x" * 129}, "card_id", "128 bytes"),
        ({"card_id": CARD_NUMBER}, "card_id", "card number"),
        ({"country": "de"}, "country", "two upper-case letters"),
        ({"lat": 91.0, "lon": 0.0}, "lat", "-90 to 90"),
        ({"lat": 9.0}, "lat", "both"),
        ({"event_time_ms": NOW_MS + 300_001}, "event_time_ms", "broker's time"),
        ({"event_time_ms": 0}, "event_time_ms", "expected epoch milliseconds from 2000-01-01 on"),
        ({"event_time_ms": NOW_MS // 1_000}, "event_time_ms", "would be 2026-01-01 as seconds; expected milliseconds"),
        ({"event_time_ms": NOW_MS * 1_000}, "event_time_ms", "would be 2026-01-01 as microseconds"),
        ({"event_time_ms": NOW_MS * 1_000_000}, "event_time_ms", "would be 2026-01-01 as nanoseconds"),
        ({"transaction_id": CARD_NUMBER}, "transaction_id", "expected a token, found a card number"),
        ({"merchant_id": "4111 1111 1111 1111"}, "merchant_id", "card number"),
        ({"customer_id": "4111-1111-1111-1111"}, "customer_id", "card number"),
        ({"device_id": CARD_NUMBER}, "device_id", "card number"),
        ({"ip": "4111.1111.1111.1111"}, "ip", "card number"),
        ({"entry_mode": CARD_NUMBER}, "entry_mode", "card number"),
    ],
)
def test_a_wrong_value_gets_422_naming_its_field(world: World, changes: dict, field: str, said: str) -> None:
    answer = world.score(**changes)
    assert answer.status_code == 422
    found = answer.json()["error"]["fields"]
    assert found[0]["field"] == field
    assert said in found[0]["message"]
    assert CARD_NUMBER not in answer.text
    assert "PIGEON" not in answer.text


def test_every_wrong_field_is_named_at_once(world: World) -> None:
    answer = world.score(mcc="x", country=3)
    assert [error["field"] for error in answer.json()["error"]["fields"]] == ["mcc", "country"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"7", b"null", b"\xff", b'{"card_id": NaN}'])
def test_json_of_a_wrong_shape_gets_422(world: World, body: bytes) -> None:
    answer = world.client.post("/v1/score", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "$"


def test_a_wrong_query_gets_422_naming_it(world: World) -> None:
    answer = world.client.post("/v1/score?publish=perhaps", json=TRANSACTION)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "publish"
    assert "perhaps" not in answer.text


def test_another_content_type_gets_415(world: World) -> None:
    answer = world.client.post("/v1/score", content=json.dumps(TRANSACTION), headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_a_body_over_one_megabyte_gets_413(world: World) -> None:
    answer = world.client.post("/v1/score", content=b"x" * 1_000_001, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_a_body_over_one_megabyte_without_a_length_gets_413(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1_001):
            yield b"x" * 1_000

    answer = world.client.post("/v1/score", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
