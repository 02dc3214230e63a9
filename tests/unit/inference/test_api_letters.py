"""Dead letters through the API: the list, one letter, a repair that is checked and sent, and sent once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.test_api import World
from tests.unit.inference.twins import Client, MemoryAudit
from tests.unit.streaming.dead_letter_samples import letter
from tests.unit.streaming.letter_log import TOPIC, MemoryLog, build_desk
from weir.access.key import Scope, build_key, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.examples import build_event
from weir.inference.api.letters import document
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments
from weir.streaming.dlq.letter import Coordinate

PATH = "/v1/dead-letters"
ONE = f"{PATH}/3/17"
ANNA = {"by": "anna"}


class Letters:
    """An API with three dead letters."""

    def __init__(self, home: Path) -> None:
        self.log = MemoryLog([
            letter(at=Coordinate(TOPIC, 3, offset), reason=reason, appended_ms=1_700_000_000_000 + offset)
            for offset, reason in ((15, "duplicate"), (16, "from_future"), (17, "amount_out_of_range"))
        ])  # fmt: skip
        self.world = World(home)
        self.client = self.open()

    def open(self, **parts: Any) -> Client:
        served = replace(self.world.served, letters=build_desk(self.log))
        return Client(build_api(replace(self.world.parts, streams=[served], **parts)))

    def offsets(self, query: str = "") -> list[int]:
        return [each["offset"] for each in self.client.get(f"{PATH}{query}").json()["letters"]]


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[Letters]:
    made = Letters(tmp_path)
    with closing(made.world.guard):
        yield made


def test_letters_are_paged_newest_first_and_filtered(letters: Letters) -> None:
    first = letters.client.get(f"{PATH}?limit=1").json()
    assert [each["offset"] for each in first["letters"]] == [17]
    assert letters.offsets(f"?limit=1&after={first['next']}") == [16]
    assert letters.offsets() == [17, 16]
    assert letters.offsets("?all=true") == [17, 16, 15]
    assert letters.offsets("?reason=from_future&reason=duplicate") == [16, 15]
    assert letters.offsets("?from_ms=1700000000016&to_ms=1700000000017") == [16]
    assert letters.offsets("?state=replayed") == []


@pytest.mark.parametrize(
    "query", ["?topic=others", "?limit=0", "?after=x", "?state=lost", "?from_ms=-1", "?all=perhaps", "?limit=x"]
)
def test_a_question_that_makes_no_sense_is_refused(letters: Letters, query: str) -> None:
    answer = letters.client.get(f"{PATH}{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("place", ["3/18", "4/17", "3/x", "-1/17", "3/9223372036854775808"])
def test_a_place_without_a_letter_is_told(letters: Letters, place: str) -> None:
    assert letters.client.get(f"{PATH}/{place}").status_code in {404, 422}
    assert letters.client.post(f"{PATH}/{place}/replay", json=ANNA).status_code in {404, 422}
    assert letters.log.sent == []


def test_a_letter_is_sent_once_for_ever(letters: Letters) -> None:
    assert letters.client.post(f"{ONE}/check", json=ANNA).json()["outcome"] == "replayed"
    assert letters.log.sent == []
    answers = [letters.client.post(f"{ONE}/replay", json=ANNA) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[1].json()["error"]["code"] == "letter_settled"
    assert len(letters.log.sent) == 1
    assert letters.client.get(ONE).json()["state"] == "replayed"


def test_a_repair_that_does_not_help_is_not_sent(letters: Letters) -> None:
    answer = letters.client.post(f"{ONE}/replay", json={**ANNA, "set": {"amount_minor": "many"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "letter_not_sent")
    assert (letters.log.sent, letters.log.done.settled) == ([], {})


def test_a_letter_is_discarded(letters: Letters) -> None:
    assert letters.client.post(f"{ONE}/discard", json=ANNA).json()["outcome"] == "discarded"
    assert letters.offsets("?state=discarded") == [17]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**ANNA, "set": []},
        {**ANNA, "set": {"amount_minor": {"a": 1}}},
        {**ANNA, "set": {f"f{number}": 1 for number in range(51)}},
        {**ANNA, "set": {"amount_minor": "9" * 10_001}},
        {**ANNA, "parked": "yes"},
        {**ANNA, "hook": "file.py:run"},
    ],
)
def test_what_is_wrong_in_a_request_is_refused_and_not_repeated(letters: Letters, body: dict[str, Any]) -> None:
    answer = letters.client.post(f"{ONE}/replay", json=body)
    assert (answer.status_code, "9999" in answer.text, letters.log.sent) == (422, False, [])


def test_a_form_of_another_page_sends_nothing(letters: Letters) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert letters.client.post(f"{ONE}/replay", content=b"by=anna", headers=headers).status_code == 415
    assert letters.log.sent == []


def test_with_keys_an_administrator_alone_sends_and_it_is_noted_before(letters: Letters) -> None:
    keys, audit = {}, MemoryAudit()
    texts = {}
    for scope in (Scope.READ, Scope.REVIEW, Scope.ADMIN):
        key_id, texts[scope] = make_text()
        keys[texts[scope]] = build_key(key_id, hash_text(texts[scope]), str(scope), [scope], (), now_ms=0, by="test")
    client = letters.open(find_key=keys.get, audit=audit)

    def send(scope: Scope) -> int:
        return int(client.post(f"{ONE}/replay", json={}, headers={"x-api-key": texts[scope]}).status_code)

    assert client.get(ONE, headers={"x-api-key": texts[Scope.READ]}).status_code == 200
    assert [send(Scope.READ), send(Scope.REVIEW), send(Scope.ADMIN)] == [403, 403, 200]
    audit.away = True
    assert send(Scope.ADMIN) == 503


def test_with_kafka_away_letters_say_so_and_others_are_answered(letters: Letters) -> None:
    letters.log.away = Transient("kafka: nobody answers")
    for answer in (letters.client.get(PATH), letters.client.get(ONE), letters.client.post(f"{ONE}/replay", json=ANNA)):
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "kafka: nobody answers")
    assert letters.client.get("/v1/models").status_code == 200


def test_examples_and_answers_have_the_shape_that_the_document_shows(letters: Letters) -> None:
    found = letters.client.get(PATH).json()
    assert set(found["letters"][0]) == set(document.build_row(TOPIC))
    one = letters.client.get(ONE).json()
    assert set(one) == set(document.build_letter(payments, TOPIC)) == set(document.LETTER["required"])
    assert set(one["replay"]) == set(document.STEP["required"])
    assert payments.id in build_event(payments)
