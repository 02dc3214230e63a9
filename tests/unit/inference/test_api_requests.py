"""What a request may hold, and what is said of one that may not."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import CARD_NUMBER, NOW_MS, World
from tests.unit.inference.twins import Client
from weir.inference.api import request
from weir.inference.api.app import build_api
from weir.inference.api.request import BadRequest, FieldSpec, parse_event
from weir.inference.api.web.load import ALWAYS_ANSWERED
from weir.schemas.errors import Damaged
from weir.schemas.streams.payments import payments


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
        ({"amount_minor": 2599.0}, "amount_minor", "found a number with a decimal point or an exponent"),
        ({"mcc": 5411.0}, "mcc", "expected an integer of 32 bits, found a number with a decimal point"),
        ({"amount_minor": 2**63}, "amount_minor", "out of range"),
        ({"amount_minor": 2**64}, "amount_minor", "out of range"),
        ({"amount_minor": -(10**30)}, "amount_minor", "out of range"),
        ({"amount_minor": 10**4_000}, "amount_minor", "out of range"),
        ({"event_time_ms": 10**400}, "event_time_ms", "out of range"),
        ({"lat": 10**400, "lon": 1.0}, "lat", "expected a number, found a number out of range"),
        ({"merchant_id": 1e300}, "merchant_id", "expected a string, found a number"),
        ({"mcc": 2**31}, "mcc", "out of range"),
        ({"card_id": ...}, "card_id", "expected a string, found nothing"),
        ({"card_id": None}, "card_id", "found null"),
        ({"merchant_id": 7}, "merchant_id", "expected a string"),
        ({"channel": "PIGEON"}, "channel", "expected one of POS"),
        ({"channel": ["POS"]}, "channel", "found an array"),
        ({"lat": "x", "lon": 1.0}, "lat", "expected a number"),
        ({"no_such": 1}, "$", "1 unknown field"),
        ({"amount_minor": -(10**9)}, "amount_minor", "below 0 for a refund"),
        ({"amount_minor": 10**12}, "amount_minor", "below 0 for a refund"),
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


def test_a_number_of_32_bits_is_read_as_the_log_would_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    share = FieldSpec("share", "float", nullable=False, required=True, symbols=(), doc="")
    time = FieldSpec(payments.time, "long", nullable=False, required=False, symbols=(), doc="")
    monkeypatch.setattr(request, "event_fields", lambda _: (share, time))
    assert parse_event(payments, b'{"share": 0.1}', now_ms=NOW_MS)["share"] == float(np.float32(0.1))
    with pytest.raises(BadRequest, match="share: expected a number, found a number out of range"):
        parse_event(payments, b'{"share": 1e39}', now_ms=NOW_MS)


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


def send(world: World, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.client.post("/v1/score", content=body, headers={"content-type": "application/json"} | named)


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "GZIP"])
def test_a_coded_body_gets_415_naming_the_coding(world: World, coding: str) -> None:
    answer = send(world, gzip.compress(json.dumps(TRANSACTION).encode()), content_encoding=coding)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_encoding")
    assert coding.lower() in answer.json()["error"]["message"]


def test_a_coding_that_nobody_knows_is_not_repeated(world: World) -> None:
    answer = send(world, b"{}", content_encoding=CARD_NUMBER)
    assert answer.status_code == 415
    assert "411111" not in answer.text


def test_a_body_without_a_coding_may_say_so(world: World) -> None:
    assert send(world, json.dumps(TRANSACTION).encode(), content_encoding="identity").status_code == 200
    assert send(world, json.dumps(TRANSACTION).encode(), content_type="application/json; charset=UTF-8").is_success


ENCODED = {
    "utf-8-sig": "byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
}


@pytest.mark.parametrize(("encoding", "said"), ENCODED.items())
def test_text_in_another_encoding_gets_415_naming_it(world: World, encoding: str, said: str) -> None:
    answer = send(world, json.dumps(TRANSACTION).encode(encoding))
    assert answer.status_code == 415
    assert said in answer.json()["error"]["message"]


def test_gzip_that_no_header_announces_is_named_too(world: World) -> None:
    answer = send(world, gzip.compress(json.dumps(TRANSACTION).encode()))
    assert (answer.status_code, "gzip" in answer.text) == (415, True)


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", '"iso-8859-1"'])
def test_another_charset_gets_415(world: World, charset: str) -> None:
    answer = send(world, b"{}", content_type=f"application/json; charset={charset}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_encoding")


BROKEN = {
    "text that is not UTF-8": (
        json.dumps(TRANSACTION | {"merchant_id": "M"}).encode() + "\xfc".encode("latin-1"),
        "UTF-8",
    ),
    "nothing": (b"", "an empty body"),
    "blanks": (b" \n", "an empty body"),
    "nested": (b'{"a":' * 100_000, "nested too deeply"),
    "half a surrogate pair": (b'{"card_id": "\\ud800"}', "none at position"),
    "a huge number and half a pair": (b'{"mcc": ' + b"9" * 500 + b', "card_id": "\\ud800"}', "none at position"),
    "cut": (b'{"card_id": "', "none at position"),
    "python": (b"{'card_id': None}", "none at position"),
}


@pytest.mark.parametrize(("body", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_with_a_body_is_named(world: World, body: bytes, said: str) -> None:
    answer = send(world, body)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["field"] == "$"
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"9" * 999_000, b"[" * 999_000, b'"' + b"\\u0041" * 150_000, b"[1e" + b"9" * 999_000])
def test_a_body_made_to_cost_time_costs_none(world: World, body: bytes) -> None:
    began = time.process_time()
    assert send(world, body).status_code == 422
    assert time.process_time() - began < 2


def test_every_answer_carries_a_request_id(world: World) -> None:
    answers = [world.client.get(path) for path in ("/", "/healthz", "/v1/nothing", "/v1/features/card/" + "x" * 200)]
    answers.append(world.client.get("/healthz", headers={"host": "elsewhere"}))
    answers.append(send(world, b"x" * 1_000_001))
    assert [len(answer.headers["x-request-id"]) for answer in answers] == [32] * len(answers)


@pytest.mark.parametrize("given", ["order-7", "0f8fad5b-d9cb-469f-a165-70867728950e", "a.b_c~d"])
def test_a_sane_request_id_is_echoed(world: World, given: str) -> None:
    assert world.client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "a b", "a;b", "<script>", CARD_NUMBER, "4111-1111-1111-1111", "\x1b[31m"]
)
def test_another_request_id_is_replaced(world: World, given: str) -> None:
    found = world.client.get("/healthz", headers={"x-request-id": given.encode()}).headers["x-request-id"]
    assert found != given
    assert len(found) == 32


PATHS = ["/v1/decisions/{}", *(f"/v1/features/{kind}/{{}}" for kind in payments.id_field_of)]


@pytest.mark.parametrize(
    "number", ["4111111111111111", "378282246310005", "4111%201111%201111%201111", "4111.1111.1111.1111"]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_card_number_is_refused_in_every_path(world: World, path: str, number: str) -> None:
    answer = world.client.get(path.format(number))
    assert answer.status_code == 422
    assert number[:8] not in answer.text


def test_the_start_page_says_where_to_go(world: World) -> None:
    found = world.client.get("/").json()
    assert found["endpoints"] == sorted(path for path in world.app.openapi()["paths"] if path.startswith("/v1/"))
    for name in ("docs", "openapi", "health", "ready", "metrics"):
        assert world.client.get(found[name]).status_code == 200


def test_the_docs_page_and_what_it_loads_are_served_from_here_alone(world: World) -> None:
    page = world.client.get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 5
    for path in loaded:
        assert path.startswith("/")
        assert world.client.get(path).status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert not re.search(r"https?:|\*|unsafe-eval", policy)
    assert "http" not in page.text


def test_a_page_that_has_not_changed_is_not_sent_again(world: World) -> None:
    tag = world.client.get("/docs/swagger-ui-bundle.js").headers["etag"]
    assert world.client.get("/docs/swagger-ui-bundle.js", headers={"if-none-match": tag}).status_code == 304


def test_while_too_many_ask_health_is_answered_and_nothing_else(world: World) -> None:
    client = Client(build_api(replace(world.parts, is_full=lambda: True)))
    assert [client.get(path).status_code for path in sorted(ALWAYS_ANSWERED)] == [200, 200, 200]
    answers = [client.get("/v1/models"), client.post("/v1/score", json=TRANSACTION), client.get("/")]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in answers} == {(503, "busy")}


@pytest.mark.parametrize("host", ["elsewhere", "127.0.0.1.elsewhere", "localhost.", "", "[::1]", "127.0.0.1:80:80"])
def test_another_host_is_an_error_of_the_one_shape(world: World, host: str) -> None:
    answer = world.client.get("/healthz", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_host")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/docs", "/v1/features/card/c", "/nowhere"])
def test_head_is_answered_as_get_without_a_body(world: World, path: str) -> None:
    got, head = world.client.get(path), world.client.ask("HEAD", path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # whose numbers move
        assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("path", ["/v1/features/card/%ff%fe", "/v1/decisions/%C3", "/v1/features/card/a%ED%A0%80"])
def test_a_path_that_is_no_text_is_not_taken_for_another_id(world: World, path: str) -> None:
    answer = world.client.get(path)
    assert answer.status_code == 422
    assert "expected UTF-8" in answer.json()["error"]["message"]


def test_a_damaged_decision_is_not_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: str) -> bytes | None:
        raise Damaged("redis: expected the decision as it was written, found other bytes")

    monkeypatch.setattr(world.decisions, "read", read)
    answer = world.client.get("/v1/decisions/t1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "damaged")
    assert world.guard.reason == ""  # redis itself is well, so everything else is answered
