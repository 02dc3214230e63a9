"""One rule for ids: what the topic takes the API scores, what it refuses the API refuses, and each id stays itself.

Ids are the sender's, so any text of 1 to 128 bytes is one, control characters too: what shows an id escapes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.unit.inference.examples import TRANSACTION
from tests.unit.inference.test_api import NOW_MS, World
from tests.unit.schemas.records import frame
from tests.unit.schemas.test_codec import OURS, body, decode
from tests.unit.streaming.streams import Driver, event
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.records.validation import validate_events
from weir.schemas.streams.payments import payments

TAKEN = {
    "NUL inside": "pay\x00ment",
    "NUL at the end": "payment\x00",
    "every control character": "a" + "".join(map(chr, [*range(1, 32), *range(127, 160)])),
    "newline": "pay\nment",
    "escape code": "pay\x1b[2Jment",
    "blank": "pay ment",
    "right to left": "pay\u202etnem",
    "no width": "pay\u200bment",
    "byte order mark": "\ufeffpayment",
    "no character": "pay\uffffment",
    "beyond 16 bits": "pay\U0001f4b3ment",
    "128 bytes": "é" * 64,
}
JSON = {"content-type": "application/json"}
REFUSED = {
    "empty": ("", "empty_id", "an id"),
    "129 bytes": ("é" * 64 + "x", "id_too_long", "128 bytes"),
    "card number": ("4111111111111111", "card_number", "a card number"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(Path(tmp_path_factory.mktemp("api")))
    yield made
    made.guard.close()


def _of_topic(**changes: str) -> list[str]:
    """Return why a record with these ids is a dead letter, having gone through bytes."""
    (row,) = (decoded := decode(frame(body(**changes), OURS))).batch.to_pylist()
    assert {name: row[name] for name in changes} == changes
    key = changes.get("card_id", row["card_id"]).encode()
    times = np.array([row["event_time_ms"]])
    found = validate_events(payments, decoded.batch, keys=[key], append_time_ms=times, placeholders=BUILT_IN)
    return [error.reason for _, error in found]


@pytest.mark.parametrize("name", payments.id_fields)
@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_the_topic_and_the_api_take_the_same_ids(world: World, name: str, text: str) -> None:
    assert _of_topic(**{name: text}) == []
    answer = world.score(**{name: text})
    assert answer.status_code == 200, answer.text
    if name == "transaction_id":
        assert answer.json()["transaction_id"] == text


@pytest.mark.parametrize("name", payments.id_fields)
@pytest.mark.parametrize(("text", "reason", "said"), REFUSED.values(), ids=REFUSED)
def test_the_topic_and_the_api_refuse_the_same_ids(world: World, name: str, text: str, reason: str, said: str) -> None:
    assert _of_topic(**{name: text}) == [reason]
    answer = world.score(**{name: text})
    assert answer.status_code == 422
    (error,) = answer.json()["error"]["fields"]
    assert error["field"] == name
    assert said in error["message"]


def test_what_is_no_text_is_refused_by_both(world: World) -> None:
    half_a_pair = json.dumps(TRANSACTION | {"event_time_ms": NOW_MS, "device_id": "x\ud800"}).encode()
    assert world.client.post("/v1/score", content=half_a_pair, headers=JSON).status_code == 422
    as_bytes = body(device_id="x___").replace(b"x___", b"x\xed\xa0\x80")
    ((_, error),) = decode(frame(as_bytes, OURS)).errors
    assert error.reason == "undecodable"


@pytest.mark.parametrize("text", ["payment\x00", "\x00payment", "payment\x00\x00", "payment "])
def test_ids_that_differ_by_a_character_that_nobody_sees_are_two(text: str) -> None:
    twice = [event(transaction_id=each, card_id="c-1") for each in ("payment", text)]
    assert Driver().run(twice).verdicts.tolist() == [0, 0]
    driver = Driver()
    driver.run([event(transaction_id=f"t-{each}", card_id=each) for each in ("payment", text)])
    assert len([key for key in driver.states if key[2] in {"payment", text} and driver.states[key]]) == 2
