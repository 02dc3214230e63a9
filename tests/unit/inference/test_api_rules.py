"""Rules through the API: shown, checked, tried, published and taken back, by who may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.published.rules_twin import BAD, GOOD, MemoryPublished, Tries, build_rules
from tests.unit.inference.test_api import World
from tests.unit.inference.twins import Client, MemoryAudit
from weir.access.key import Scope, build_key, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.rules import document
from weir.inference.published import trials as trials_module
from weir.inference.published.gate import Trial
from weir.schemas.errors import Transient

PATH = "/v1/rules"
SAID = {"by": "anna", "why": "a wave"}


class Rules:
    """An API that publishes rules."""

    def __init__(self, home: Path) -> None:
        self.published, self.tries = MemoryPublished(), Tries()
        self.desk = build_rules(self.published, self.tries)
        self.world = World(home)
        self.client = self.open()

    def open(self, **parts: Any) -> Client:
        served = replace(self.world.served, rules=self.desk)
        return Client(build_api(replace(self.world.parts, streams=[served], **parts)))

    def post(self, path: str = "", **body: Any) -> Any:
        return self.client.post(f"{PATH}{path}", json=body)


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    made = Rules(tmp_path)
    with closing(made.world.guard):
        yield made
    made.tries.go.set()


def test_rules_are_shown_checked_published_and_taken_back(rules: Rules) -> None:
    before = rules.client.get(PATH).json()
    assert before["published"] is False
    assert rules.post("/check", by="anna", text=BAD).json()["faults"][0]["line"] == 4
    checked = rules.post("/check", by="anna", text=GOOD, **{"try": True}).json()
    assert (checked["faults"], checked["trial"]["state"]) == ([], "done")
    done = rules.post(**SAID, text=GOOD)
    assert (done.status_code, done.json()["version"]) == (200, checked["version"])
    assert rules.client.get(PATH).json()["history"][0]["who"] == "anna"
    assert rules.client.get(f"{PATH}?version={checked['version']}").json()["text"] == GOOD
    assert rules.post("/rollback", **SAID, version="none").status_code == 200
    assert rules.client.get(PATH).json()["text"] == before["text"]


def test_what_goes_too_far_is_refused_with_its_figure_until_it_is_forced(rules: Rules) -> None:
    rules.tries.found = Trial(failed=(("share declined", "the share declined grows by 3.000 points"),))
    refused = rules.post(**SAID, text=GOOD)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "rules_not_passed")
    assert "3.000 points" in refused.json()["error"]["message"]
    assert rules.post(**SAID, text=GOOD, force="agreed with the lead").status_code == 200
    assert "forced: agreed with the lead" in rules.client.get(PATH).json()["history"][0]["why"]


def test_a_trial_that_takes_long_is_asked_for_again(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 0.01)
    rules.tries.go.clear()
    first = rules.post(**SAID, text=GOOD)
    assert (first.status_code, first.headers["retry-after"], first.json()["version"]) == (202, "1", None)
    assert rules.published.acts == []
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 60.0)
    rules.tries.go.set()
    assert rules.post(**SAID, text=GOOD).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {**SAID, "text": BAD}),
        ("", {**SAID}),
        ("", {**SAID, "text": 7}),
        ("", {**SAID, "text": "x" * 600_001}),
        ("", {"by": "anna", "text": GOOD}),
        ("", {"by": "anna", "text": GOOD, "why": "a\nb"}),
        ("", {"why": "a wave", "text": GOOD}),
        ("", {**SAID, "text": GOOD, "who": "ben"}),
        ("/check", {"by": "anna", "text": GOOD, "try": "yes"}),
        ("/rollback", {**SAID}),
        ("/rollback", {**SAID, "version": "x" * 65}),
    ],
)
def test_what_is_wrong_in_a_request_publishes_nothing(rules: Rules, path: str, body: dict[str, Any]) -> None:
    answer = rules.post(path, **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert rules.published.acts == []


def test_a_version_that_there_is_not_is_told(rules: Rules) -> None:
    for answer in (rules.client.get(f"{PATH}?version=abcd"), rules.post("/rollback", **SAID, version="abcd")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_version")
        assert "abcd" not in answer.text, "no message repeats a value"


def test_a_form_of_another_page_publishes_nothing(rules: Rules) -> None:
    headers = {"content-type": "text/plain"}
    assert rules.client.post(PATH, content=b"{}", headers=headers).status_code == 415


def test_with_keys_the_scope_rules_publishes_and_it_is_noted_before(rules: Rules) -> None:
    keys, texts, audit = {}, {}, MemoryAudit()
    for scope in (Scope.READ, Scope.REVIEW, Scope.RULES):
        key_id, texts[scope] = make_text()
        keys[texts[scope]] = build_key(key_id, hash_text(texts[scope]), str(scope), [scope], (), now_ms=0, by="test")
    client = rules.open(find_key=keys.get, audit=audit)

    def send(scope: Scope) -> int:
        body = {"text": GOOD, "why": "a wave"}
        return int(client.post(PATH, json=body, headers={"x-api-key": texts[scope]}).status_code)

    audit.away = True
    assert send(Scope.RULES) == 503
    audit.away = False
    assert [send(Scope.READ), send(Scope.REVIEW), send(Scope.RULES)] == [403, 403, 200]
    assert [act.who for act in rules.published.acts] == ["rules"]
    assert [each.phase for each in audit.records][-2:] == ["intent", "result"]


def test_with_kafka_away_rules_say_so_and_others_are_answered(rules: Rules) -> None:
    rules.published.away = Transient("kafka: nobody answers")
    for answer in (rules.client.get(PATH), rules.post(**SAID, text=GOOD)):
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "kafka: nobody answers")
    assert rules.client.get("/v1/models").status_code == 200


def test_examples_and_answers_have_the_shape_that_the_document_shows(rules: Rules) -> None:
    shown = rules.client.get(PATH).json()
    assert set(shown) == set(document.RULES_SHOWN) == set(document.RULES["required"])
    assert set(shown["rules"][0]) == set(document.RULES_SHOWN["rules"][0])
    checked = rules.post("/check", by="anna", text=GOOD).json()
    assert set(checked) == set(document.CHECKED_SHOWN) == set(document.CHECKED["required"])
    assert set(rules.post(**SAID, text=GOOD).json()) == set(document.DONE_SHOWN) == set(document.DONE["required"])
    assert set(rules.client.get(PATH).json()["history"][0]) == set(document.RULES_SHOWN["history"][0])
