"""Proposals in the console: what waits is shown, and who proposed it approves nothing, whatever session they use."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from tests.unit.console.browser import EVIL, Browser
from tests.unit.console.world import LEAD, RITA, RUTH, ConsoleWorld, text_of
from tests.unit.inference.published.rules_twin import GOOD
from weir.access.key import Scope, build_key, hash_text
from weir.inference.published.gate import Trial

RULES, LISTS = "/streams/transactions/rules", "/streams/transactions/lists"
SHOP = {"side": "allow", "entity": "merchant", "entries": "shop-1", "why": "a partner"}
WAITS = "waits for a second person: it is not in force"


@pytest.fixture(autouse=True)
def world(world: ConsoleWorld) -> ConsoleWorld:
    world.four_eyes = '["rules", "allow"]'
    world.tries.found = Trial(figures={"judged": 4_321, "decided": {}, "would_be": {}, "flips": {"a": 20, "b": 3}})
    return world


def log_in(app: FastAPI, key: str) -> Browser:
    browser = Browser(app)
    assert browser.log_in(key).status_code == 303
    return browser


def find_proposal(page: str) -> str:
    return re.search(r'name="proposal" value="([0-9a-f]{32})"', page)[1]  # type: ignore[index]


def test_rules_wait_for_a_second_person_who_sees_what_they_would_change(world: ConsoleWorld, app: FastAPI) -> None:
    ruth, lead = log_in(app, RUTH), log_in(app, LEAD)
    done = ruth.send(f"{RULES}/publish", RULES, text=GOOD, why="a wave")
    page = ruth.get(done.headers["location"]).text
    assert (done.status_code, WAITS in page, "is in force:" in page, world.published.acts) == (303, True, False, [])
    assert ("You proposed it" in page, ">Approve<" in page) == (True, False)
    page = lead.get(RULES).text
    for text in ("by ruth", "a wave", "+  - name: night", "Of 4321 past decisions", "23 would be others", ">Approve<"):
        assert text in page
    assert WAITS not in page
    settled = lead.send(f"{RULES}/approve", RULES, proposal=find_proposal(page), why="agreed")
    page = lead.get(settled.headers["location"]).text
    assert ("is in force:" in page, "(proposed by ruth; approved: agreed)" in page) == (True, True)
    assert (world.published.acts[0].text, world.published.acts[0].who) == (GOOD, "lead")
    assert 'id="proposals"' not in page
    again = lead.send(f"{RULES}/approve", RULES, proposal=world.published.acts[0].id, why="agreed")
    assert (again.status_code, "found" in again.text, len(world.published.acts)) == (409, True, 1)


def test_another_session_or_key_of_the_same_person_approves_nothing(world: ConsoleWorld, app: FastAPI) -> None:
    second = text_of(8)
    world.keys[second] = build_key(
        second[5:13], hash_text(second), "Ruth", [Scope.READ, Scope.RULES], [], now_ms=world.now_ms, by="ops"
    )
    log_in(app, RUTH).send(f"{LISTS}/add", LISTS, **SHOP)
    for key in (RUTH, second):
        browser = log_in(app, key)
        proposal = find_proposal(browser.get(LISTS).text)
        refused = browser.send(f"{LISTS}/approve", LISTS, proposal=proposal, why="me")
        assert (refused.status_code, "another person than" in refused.text) == (409, True)
    assert world.lists.acts == []


def test_an_allowance_waits_and_is_rejected_with_a_reason(world: ConsoleWorld, app: FastAPI) -> None:
    ruth, lead = log_in(app, RUTH), log_in(app, LEAD)
    assert ruth.send(f"{LISTS}/add", LISTS, **(SHOP | {"side": "block"})).status_code == 303  # one person is enough
    done = ruth.send(f"{LISTS}/add", LISTS, **(SHOP | {"entries": "shop-2"}))
    page = ruth.get(done.headers["location"]).text
    assert (WAITS in page, "takes it over within seconds" in page) == (True, False)
    page = lead.get(LISTS).text
    assert "+ allow merchant shop-2" in page
    proposal = find_proposal(page)
    assert lead.send(f"{LISTS}/reject", LISTS, proposal=proposal).status_code == 422  # without a reason
    settled = lead.send(f"{LISTS}/reject", LISTS, proposal=proposal, why="not a partner")
    page = ruth.get(settled.headers["location"]).text
    assert ("is rejected: what is in force stays" in page, "was rejected by lead: not a partner" in page) == (
        True,
        True,
    )
    assert len(world.lists.acts) == 1


def test_what_is_outdated_is_said_and_has_no_button_to_approve_it(app: FastAPI) -> None:
    ruth, lead = log_in(app, RUTH), log_in(app, LEAD)
    ruth.send(f"{LISTS}/add", LISTS, **SHOP)
    lead.send(f"{LISTS}/add", LISTS, **(SHOP | {"side": "block"}))
    page = lead.get(LISTS).text
    assert ("outdated" in page, ">Approve<" in page, ">Reject<" in page) == (True, False, True)
    refused = lead.send(f"{LISTS}/approve", LISTS, proposal=find_proposal(page), why="agreed")
    assert (refused.status_code, "propose it once more" in refused.text) == (409, True)


def test_who_may_only_read_sees_what_waits_and_settles_nothing(world: ConsoleWorld, app: FastAPI) -> None:
    ruth, rita = log_in(app, RUTH), log_in(app, RITA)
    ruth.send(f"{LISTS}/add", LISTS, **SHOP)
    proposal = find_proposal(ruth.get(LISTS).text)
    page = rita.get(LISTS).text
    assert ("+ allow merchant shop-1" in page, ">Reject<" in page) == (True, False)
    for change in ("approve", "reject"):
        assert rita.send(f"{LISTS}/{change}", LISTS, proposal=proposal, why="me").status_code == 403
        assert log_in(app, LEAD).post(f"{LISTS}/{change}", proposal=proposal, why="me").status_code == 403  # no token
    assert world.lists.acts == []


@pytest.mark.parametrize("proposal", ["", "../../keys", "%2e%2e", "0" * 32, "x" * 99])
def test_a_form_that_names_no_proposal_settles_nothing(app: FastAPI, proposal: str) -> None:
    lead = log_in(app, LEAD)
    for page in (RULES, LISTS):
        assert lead.send(f"{page}/approve", page, proposal=proposal, why="agreed").status_code in {404, 422}


def test_texts_of_a_proposal_that_would_act_are_text(world: ConsoleWorld, app: FastAPI) -> None:
    world.tries.found = Trial(note=EVIL)
    ruth = log_in(app, RUTH)
    ruth.send(f"{RULES}/publish", RULES, text=GOOD.replace("nobody buys at night", "'<script>alert(1)</script>'"),
              why="<script>alert(1)</script>")  # fmt: skip
    page = ruth.get(f"{RULES}?proposed=<script>alert(1)&rejected=<script>alert(1)").text
    assert ("&lt;script&gt;alert(1)" in page, "<script>alert" in page, "\u202e" in page) == (True, False, False)
