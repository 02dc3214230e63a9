"""Proposals through the API: another person approves what one proposed, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference.published.lists_twin import MemoryLists, build_lists
from tests.unit.inference.published.rules_twin import GOOD, MemoryPublished, build_rules
from tests.unit.inference.test_api import World
from tests.unit.inference.twins import Client, MemoryAudit
from weir.access.key import Scope, build_key, hash_text, make_text
from weir.inference.api.app import build_api
from weir.inference.api.lists import document as list_document
from weir.inference.api.proposals import document
from weir.schemas.errors import Transient

RULES, LISTS = "/v1/rules", "/v1/lists"
ADD: dict[str, Any] = {
    "action": "add",
    "side": "allow",
    "entity": "merchant",
    "entries": ["shop-1"],
    "why": "a partner",
}
WHY = {"why": "agreed"}


class Api:
    """An API that publishes rules and lists, with two people for both, and keys by the names of their people."""

    def __init__(self, home: Path) -> None:
        self.rules, self.lists, self.audit = MemoryPublished(), MemoryLists(), MemoryAudit()
        rules, lists = build_rules(self.rules, None, '["rules"]'), build_lists(self.lists, home, None, '["allow"]')
        self.world = World(home)
        self._served = replace(self.world.served, rules=rules, lists=lists)
        self._keys: dict[str, Any] = {}
        self.client = self.open(find_key=self._keys.get, audit=self.audit)

    def open(self, **parts: Any) -> Client:
        return Client(build_api(replace(self.world.parts, streams=[self._served], **parts)))

    def key(self, name: str, *scopes: Scope, streams: tuple[str, ...] = ()) -> dict[str, str]:
        """Return the header of a new key; by default it publishes and looks."""
        key_id, text = make_text()
        named = scopes or (Scope.READ, Scope.RULES)
        self._keys[text] = build_key(key_id, hash_text(text), name, named, streams, now_ms=0, by="test")
        return {"x-api-key": text}

    def ask(self, path: str, key: dict[str, str], **body: Any) -> tuple[int, Any]:
        """Return status and answer; of an error its code."""
        answer = self.client.post(path, json=body, headers=key) if body else self.client.get(path, headers=key)
        found = answer.json()
        return answer.status_code, found["error"]["code"] if answer.status_code >= 400 else found


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path)
    with closing(made.world.guard):
        yield made


def test_what_one_person_publishes_is_in_force_when_another_one_approves_it(api: Api) -> None:
    ada, ben = api.key("ada"), api.key("ben")
    status, done = api.ask(RULES, ada, text=GOOD, why="a wave")
    assert (status, done["action"], api.rules.acts) == (200, "propose", [])
    (shown,) = api.ask(f"{RULES}/proposals", ben)[1]["proposals"]
    assert (shown["id"], shown["state"], shown["who"], shown["why"]) == (done["proposal"], "waiting", "ada", "a wave")
    assert api.ask(f"{RULES}/proposals/{done['proposal']}/approve", ben, **WHY) == (
        200, {"version": done["version"], "action": "publish", "proposal": done["proposal"]},
    )  # fmt: skip
    assert [(act.text, act.who) for act in api.rules.acts] == [(GOOD, "ben")]


def test_what_is_proposed_alone_names_a_proposal(api: Api) -> None:
    key = api.key("ada")
    proposed, done = (api.ask(f"{LISTS}/change", key, **(ADD | {"side": side}))[1] for side in ("allow", "block"))
    assert set(proposed) == {*list_document.DONE["properties"]}
    assert set(done) == {*list_document.DONE["properties"]} - {"proposal"}


def test_a_person_approves_nothing_of_their_own_by_whichever_key(api: Api) -> None:
    path = f"{LISTS}/proposals/{api.ask(f'{LISTS}/change', api.key('ada'), **ADD)[1]['proposal']}"
    for name in ("ada", "Ada"):
        assert api.ask(f"{path}/approve", api.key(name), **WHY) == (409, "own_proposal")
    assert api.ask(f"{path}/approve", api.key("ada"), by="ben", **WHY) == (422, "invalid_request")
    assert api.lists.acts == []
    assert api.ask(f"{path}/reject", api.key("ada"), **WHY)[1]["action"] == "reject"
    assert api.ask(f"{path}/approve", api.key("ben"), **WHY) == (409, "proposal_closed")


def test_an_approval_that_is_sent_again_puts_nothing_in_force_again(api: Api) -> None:
    ada, ben = api.key("ada"), api.key("ben")
    path = f"{RULES}/proposals/{api.ask(RULES, ada, text=GOOD, why='a wave')[1]['proposal']}/approve"
    assert api.ask(path, ben, **WHY)[0] == 200
    assert api.ask(f"{RULES}/rollback", ada, version="none", why="too many")[0] == 200
    assert api.ask(path, ben, **WHY) == (409, "proposal_closed")
    assert api.rules.acts[-1].action == "rollback"


def test_what_was_proposed_for_others_than_are_in_force_is_not_approved(api: Api) -> None:
    ada, ben = api.key("ada"), api.key("ben")
    path = f"{LISTS}/proposals/{api.ask(f'{LISTS}/change', ada, **ADD)[1]['proposal']}/approve"
    assert api.ask(f"{LISTS}/change", ben, **(ADD | {"side": "block"}))[1]["action"] == "publish"
    assert api.ask(path, ben, **WHY) == (409, "proposal_outdated")
    assert [act.action for act in api.lists.acts] == ["publish"]


def test_a_key_of_another_stream_finds_no_proposal(api: Api) -> None:
    proposal = api.ask(f"{LISTS}/change", api.key("ada"), **ADD)[1]["proposal"]
    for base in (LISTS, "/v1/streams/transactions/lists"):
        stranger = api.key("eve", streams=("refunds",))
        assert api.ask(f"{base}/proposals", stranger)[0] == 404
        for change in ("approve", "reject"):
            assert api.ask(f"{base}/proposals/{proposal}/{change}", stranger, **WHY)[0] == 404
    assert api.ask(f"{RULES}/proposals/{proposal}/approve", api.key("ben"), **WHY) == (404, "unknown_proposal")


def test_who_may_not_publish_settles_nothing_and_what_is_not_audited_is_not_done(api: Api) -> None:
    ada, ben = api.key("ada"), api.key("ben")
    path = f"{LISTS}/proposals/{api.ask(f'{LISTS}/change', ada, **ADD)[1]['proposal']}"
    for change in ("approve", "reject"):
        assert api.ask(f"{path}/{change}", api.key("rita", Scope.READ, Scope.REVIEW), **WHY) == (403, "forbidden")
        assert api.ask(f"{path}/{change}", ben, why="") == (422, "invalid_request")
        assert api.ask(f"{path}/{change}", ben, why="x" * 501) == (422, "invalid_request")
    api.audit.away = True
    assert api.ask(f"{path}/approve", ben, **WHY) == (503, "not_audited")
    assert api.lists.acts == []


def test_with_kafka_away_proposals_say_so(api: Api) -> None:
    api.lists.away = Transient("kafka: nobody answers")
    assert api.ask(f"{LISTS}/proposals", api.key("ben")) == (503, "unavailable")
    assert api.ask(f"{LISTS}/proposals/3f2a/approve", api.key("ben"), **WHY) == (503, "unavailable")


def test_answers_have_the_shape_that_the_document_shows(api: Api) -> None:
    done = api.ask(RULES, api.key("ada"), text=GOOD, why="a wave")[1]
    (shown,) = api.ask(f"{RULES}/proposals", api.key("ben"))[1]["proposals"]
    example = document.PROPOSALS_SHOWN["proposals"][0]
    assert set(shown) == set(example) == set(document.PROPOSALS["properties"]["proposals"]["items"]["required"])
    settled = api.ask(f"{RULES}/proposals/{done['proposal']}/reject", api.key("ben"), **WHY)[1]
    assert set(settled) == set(document.SETTLED_SHOWN["reject"]) == set(document.SETTLED["required"])
