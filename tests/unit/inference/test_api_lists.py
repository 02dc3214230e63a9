"""Lists through the API: shown, changed and taken back, by who may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.published.lists_twin import MemoryLists, build_lists
from tests.unit.inference.published.rules_twin import Tries
from tests.unit.inference.test_api import World
from tests.unit.inference.twins import Client, MemoryAudit
from weir.access.key import Scope, build_key, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.lists import document
from weir.inference.api.rules.document import TAKEN_BACK
from weir.inference.published import trials as trials_module
from weir.inference.published.gate import Trial
from weir.schemas.errors import Transient
from weir.schemas.streams.payments import payments

PATH = "/v1/lists"
SAID = {"by": "anna", "why": "seen today"}
ADD: dict[str, Any] = {"action": "add", "side": "block", "entity": "card", "entries": ["c1", "c2"], **SAID}


class Lists:
    """An API that publishes lists."""

    def __init__(self, home: Path) -> None:
        self.published, self.tries = MemoryLists(), Tries()
        self.desk = build_lists(self.published, home, self.tries)
        self.world = World(home)
        self.client = self.open()

    def open(self, **parts: Any) -> Client:
        served = replace(self.world.served, lists=self.desk)
        return Client(build_api(replace(self.world.parts, streams=[served], **parts)))

    def post(self, path: str = "/change", **body: Any) -> Any:
        return self.client.post(f"{PATH}{path}", json=body)


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    made = Lists(tmp_path)
    with closing(made.world.guard):
        yield made
    made.tries.go.set()


def test_lists_are_shown_changed_and_taken_back(lists: Lists) -> None:
    assert lists.client.get(PATH).json()["published"] is False
    done = lists.post(**ADD, reason="chargebacks", source="scheme", until_ms=1_767_268_800_000)
    assert (done.status_code, done.json()["action"], done.json()["changed"]) == (200, "publish", 2)
    shown = lists.client.get(PATH).json()
    assert shown["counts"] == [{"side": "block", "entity": "card", "count": 2}]
    assert shown["entries"][0] == {
        "side": "block", "entity": "card", "entry": "c1", "reason": "chargebacks", "source": "scheme",
        "until_ms": 1_767_268_800_000,
    }  # fmt: skip
    assert lists.post(**(ADD | {"action": "remove", "entries": ["c1"]})).json()["changed"] == 1
    by_name = lists.client.get("/v1/streams/transactions/lists").json()
    assert [each["entry"] for each in by_name["entries"]] == ["c2"]
    old = lists.client.get(f"{PATH}?version={done.json()['version']}").json()
    assert ([each["entry"] for each in old["entries"]], old["in_force"]) == (["c1", "c2"], False)
    assert [each["who"] for each in by_name["history"]] == ["anna", "anna"]
    assert lists.post("/rollback", **SAID, version=done.json()["version"]).json()["action"] == "rollback"
    assert len(lists.client.get(PATH).json()["entries"]) == 2
    assert lists.post("/rollback", **SAID, version="none").status_code == 200
    assert lists.client.get(PATH).json()["published"] is False


def test_filters_choose_entries(lists: Lists) -> None:
    lists.post(**ADD)
    lists.post(**(ADD | {"side": "watch", "entity": "merchant", "entries": ["c1", "m 1", "m&2"]}))

    def find(query: str) -> list[str]:
        return [each["entry"] for each in lists.client.get(f"{PATH}?{query}").json()["entries"]]

    assert find("side=watch") == ["c1", "m 1", "m&2"]
    assert find("entity=card&begins=c2&side=") == ["c2"]
    assert find("begins=m%26") == ["m&2"]
    assert lists.client.get(f"{PATH}?limit=1").json()["more"] is True


def test_what_goes_too_far_is_refused_with_its_figure_until_it_is_forced(lists: Lists) -> None:
    lists.tries.found = Trial(failed=(("share declined", "the share declined grows by 3.000 points"),))
    refused = lists.post(**ADD)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "lists_not_passed")
    assert "3.000 points" in refused.json()["error"]["message"]
    assert lists.published.acts == []
    assert lists.post(**ADD, force="agreed with the lead").status_code == 200
    assert "forced: agreed with the lead" in lists.client.get(PATH).json()["history"][0]["why"]


def test_a_trial_that_takes_long_is_asked_for_again(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 0.01)
    lists.tries.go.clear()
    first = lists.post(**ADD)
    assert (first.status_code, first.headers["retry-after"]) == (202, "1")
    assert set(first.json()) == set(document.TRYING_SHOWN)
    assert lists.published.acts == []
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 60.0)
    lists.tries.go.set()
    assert lists.post(**ADD).status_code == 200


@pytest.mark.parametrize(
    "query",
    ["side=grey", "entity=planet", "limit=0", "limit=501", "limit=x", f"begins={'x' * 300}", "begins=4111111111111111"],
)
def test_a_filter_that_is_wrong_is_named(lists: Lists, query: str) -> None:
    answer = lists.client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert query.partition("=")[0] in answer.json()["error"]["message"]
    assert "411111" not in answer.text  # fewer digits may be in the id of a request


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "publish"), ("action", None), ("side", "grey"), ("side", ["block"]), ("entity", "planet"),
        ("entries", "c1"), ("entries", []), ("entries", ["x"] * 1_001), ("entries", ["c1", 7]), ("entries", [""]),
        ("entries", ["x" * 300]), ("entries", ["4111111111111111"]), ("reason", "x" * 201), ("reason", 7),
        ("source", "a\nb"), ("until_ms", "soon"), ("until_ms", -1), ("until_ms", True), ("until_ms", 10**18),
        ("until_ms", 1.5), ("why", ""), ("why", None), ("force", 7), ("force", "x" * 1_001), ("by", ""), ("who", "ben"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_request_publishes_nothing(lists: Lists, field: str, value: Any) -> None:
    answer = lists.post(**(ADD | {field: value}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert field in answer.json()["error"]["message"] or field == "who"
    assert "411111" not in answer.text
    assert lists.published.acts == []


def test_a_card_number_that_was_added_on_the_command_line_is_taken_out(lists: Lists) -> None:
    body = {**ADD, "action": "remove", "entries": ["4111111111111111", "x" * 300]}
    assert lists.post(**body).status_code == 200


def test_a_version_that_there_is_not_is_told(lists: Lists) -> None:
    answer = lists.post("/rollback", **SAID, version="abcd")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_version")
    assert lists.post("/rollback", **SAID).status_code == 422
    shown = lists.client.get(f"{PATH}?version=abcd")
    assert shown.json()["error"]["code"] == "unknown_version"
    assert "abcd" not in shown.text, "no message repeats a value"
    assert lists.client.get(f"{PATH}?version={'a' * 65}").status_code == 422


def test_a_form_of_another_page_publishes_nothing(lists: Lists) -> None:
    headers = {"content-type": "text/plain"}
    assert lists.client.post(f"{PATH}/change", content=b"{}", headers=headers).status_code == 415


def test_with_keys_the_scope_rules_changes_and_it_is_noted_before(lists: Lists) -> None:
    keys, texts, audit = {}, {}, MemoryAudit()
    for scope in (Scope.READ, Scope.REVIEW, Scope.RULES):
        key_id, texts[scope] = make_text()
        keys[texts[scope]] = build_key(key_id, hash_text(texts[scope]), str(scope), [scope], (), now_ms=0, by="test")
    client = lists.open(find_key=keys.get, audit=audit)
    body = {name: value for name, value in ADD.items() if name != "by"}

    def send(scope: Scope) -> int:
        return int(client.post(f"{PATH}/change", json=body, headers={"x-api-key": texts[scope]}).status_code)

    audit.away = True
    assert send(Scope.RULES) == 503
    audit.away = False
    assert [send(Scope.READ), send(Scope.REVIEW), send(Scope.RULES)] == [403, 403, 200]
    assert [act.who for act in lists.published.acts] == ["rules"]
    assert [each.phase for each in audit.records][-2:] == ["intent", "result"]
    looks = [client.get(PATH, headers={"x-api-key": text}).status_code for text in texts.values()]
    assert looks == [200, 403, 403]


def test_with_kafka_away_lists_say_so_and_others_are_answered(lists: Lists) -> None:
    lists.published.away = Transient("kafka: nobody answers")
    for answer in (lists.client.get(PATH), lists.post(**ADD)):
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "kafka: nobody answers")
    assert lists.client.get("/v1/models").status_code == 200


def test_examples_and_answers_have_the_shape_that_the_document_shows(lists: Lists) -> None:
    example = document.build_shown(payments)
    body = document.build_change(payments)["requestBody"]["content"]["application/json"]["example"]
    done = lists.post(**body).json()
    assert set(done) == set(document.DONE_SHOWN) == {*document.DONE["required"], "changed"}
    shown = lists.client.get(PATH).json()
    assert set(shown) == set(example) == set(document.LISTS["required"])
    for part in ("counts", "entries", "history"):
        assert (
            set(shown[part][0]) == set(example[part][0]) == set(document.LISTS["properties"][part]["items"]["required"])
        )
    assert set(lists.post("/rollback", **SAID, version="none").json()) == set(TAKEN_BACK["required"])
