"""Lists in the console: entries are shown, added and taken out, and a version is taken back."""

from __future__ import annotations

import csv
import io
import json

import pytest
from fastapi import FastAPI

from tests.unit.console.browser import EVIL, Browser
from tests.unit.console.world import RITA, RUTH, ConsoleWorld
from weir.inference.published import trials as trials_module
from weir.inference.published.gate import Trial
from weir.schemas.errors import Transient

PAGE = "/streams/transactions/lists"
CARDS = {"side": "block", "entity": "card", "why": "seen today"}


@pytest.fixture
def ruth(app: FastAPI) -> Browser:
    browser = Browser(app)
    browser.log_in(RUTH)
    return browser


def test_entries_are_added_shown_and_taken_out(world: ConsoleWorld, ruth: Browser) -> None:
    assert "nothing is published" in ruth.get(PAGE).text
    note = {"reason": "chargebacks", "source": "scheme", "until": "2026-01-01T12:00"}
    done = ruth.send(f"{PAGE}/add", PAGE, entries="c1\r\n c2 \r\n\r\nc1\r\n", **CARDS, **note)
    assert (done.status_code, done.headers["location"].partition("?")[0]) == (303, PAGE)
    (act,) = world.lists.acts
    assert (act.who, act.why) == ("ruth", "seen today")
    page = ruth.get(done.headers["location"]).text
    for text in (
        act.version,
        "2 entries changed",
        "chargebacks",
        "scheme",
        "2026-01-01 12:00:00",
        "ended",
        "seen today",
    ):
        assert text in page
    assert '<bdi class="id">c1</bdi>' in page
    assert ruth.send(f"{PAGE}/remove", PAGE, entries="c1", reason="left over", **CARDS).status_code == 303
    page = ruth.get(PAGE).text
    assert '<bdi class="id">c1</bdi>' not in page
    assert '<bdi class="id">c2</bdi>' in page


def test_a_version_is_taken_back(world: ConsoleWorld, ruth: Browser) -> None:
    ruth.send(f"{PAGE}/add", PAGE, entries="c1", **CARDS)
    ruth.send(f"{PAGE}/add", PAGE, entries="c2", **CARDS)
    first = world.lists.acts[0].version
    assert ruth.send(f"{PAGE}/rollback", PAGE, version=first, why="not them").status_code == 303
    page = ruth.get(PAGE).text
    assert '<bdi class="id">c2</bdi>' not in page
    assert "not them" in page
    assert ruth.send(f"{PAGE}/rollback", PAGE, version="none", why="back").status_code == 303
    assert "nothing is published" in ruth.get(PAGE).text
    assert ruth.send(f"{PAGE}/rollback", PAGE, version="abcd", why="back").status_code == 404


def test_filters_choose_entries_and_a_table_is_exported(ruth: Browser) -> None:
    ruth.send(f"{PAGE}/add", PAGE, entries="c1\n=c2", **CARDS)
    ruth.send(f"{PAGE}/add", PAGE, entries="\n".join(f"m{number:03}" for number in range(501)),
              side="watch", entity="merchant", why="a look")  # fmt: skip
    page = ruth.get(f"{PAGE}?side=block&entity=card&begins=c").text
    assert ('<bdi class="id">c1</bdi>' in page, '<bdi class="id">=c2</bdi>' in page) == (True, False)
    assert "These are the first 100" in ruth.get(f"{PAGE}?side=watch").text
    assert "No entry like that" in ruth.get(f"{PAGE}?side=allow").text
    wrong = ruth.get(f"{PAGE}?side=grey")
    assert (wrong.status_code, "expected one of allow, block, watch" in wrong.text) == (422, True)
    export = ruth.get(f"{PAGE}.csv?side=block")
    rows = list(csv.reader(io.StringIO(export.text)))
    assert [row[2] for row in rows] == ["entry", "'=c2", "c1"]
    assert "lists-first-500.csv" in ruth.get(f"{PAGE}.csv").headers["content-disposition"]
    assert ruth.get(f"{PAGE}.csv?side=grey").status_code == 422


def test_what_goes_too_far_needs_a_reason_of_its_own(world: ConsoleWorld, ruth: Browser) -> None:
    world.tries.found = Trial(failed=(("share declined", "the share declined grows by 3.000 points"),))
    refused = ruth.send(f"{PAGE}/add", PAGE, entries="c1", **CARDS)
    assert (refused.status_code, "grows by 3.000 points" in refused.text) == (409, True)
    assert 'name="force"' in refused.text
    assert world.lists.acts == []
    assert ruth.send(f"{PAGE}/add", PAGE, entries="c1", force="agreed", **CARDS).status_code == 303
    assert "forced: agreed" in world.lists.acts[0].why


def test_a_trial_is_shown_once_it_is_done_and_said_while_it_runs(
    world: ConsoleWorld, ruth: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tries.found = Trial(
        figures={"judged": 4_321, "flips": {"APPROVE \u2192 DECLINE": 20, "REVIEW \u2192 DECLINE": 3}}
    )
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 0.01)
    world.tries.go.clear()
    page = ruth.send(f"{PAGE}/add", PAGE, entries="c1", **CARDS).text
    assert ("the trial runs on" in page, "seen today" in page, world.lists.acts) == (True, True, [])
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 60.0)
    world.tries.go.set()
    done = ruth.send(f"{PAGE}/add", PAGE, entries="c1", **CARDS)
    assert "Of 4321 past decisions it was tried on, 23 would be others" in ruth.get(done.headers["location"]).text


def test_an_old_version_is_looked_at_by_the_history(world: ConsoleWorld, ruth: Browser) -> None:
    ruth.send(f"{PAGE}/add", PAGE, entries="c1", **CARDS)
    ruth.send(f"{PAGE}/remove", PAGE, entries="c1", **CARDS)
    look = f"{PAGE}?version={world.lists.acts[0].version}"
    assert f'href="{look}"' in ruth.get(PAGE).text
    page = ruth.get(f"{look}&side=block").text
    assert ('<bdi class="id">c1</bdi>' in page, "Those in force" in page) == (True, True)
    assert ruth.get(f"{PAGE}?version=abcd").status_code == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"why": ""}, "expected a string"),
        ({"entries": ""}, "expected 1 to 1,000 entries"),
        ({"entity": "planet"}, "expected one of"),
        ({"until": "soon"}, "expected a time"),
        ({"entries": "4111111111111111"}, "found a card number"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(
    world: ConsoleWorld, ruth: Browser, fields: dict[str, str], said: str
) -> None:
    typed = {"entries": "c1", "reason": "chargebacks in May", **CARDS}
    answer = ruth.send(f"{PAGE}/add", PAGE, **(typed | fields))
    assert (answer.status_code, said in answer.text, 'value="chargebacks in May"' in answer.text) == (422, True, True)
    assert world.lists.acts == []


def test_who_may_only_read_sees_lists_and_changes_nothing(world: ConsoleWorld, app: FastAPI, ruth: Browser) -> None:
    ruth.send(f"{PAGE}/add", PAGE, entries="c1", **CARDS)
    browser = Browser(app)
    browser.log_in(RITA)
    page = browser.get(PAGE).text
    assert ("c1" in page, "<textarea" in page, "Take back" in page) == (True, False, False)
    for change in ("add", "remove", "rollback"):
        assert browser.send(f"{PAGE}/{change}", PAGE, entries="c2", version="none", **CARDS).status_code == 403
    assert len(world.lists.acts) == 1


def test_a_form_without_the_token_changes_nothing(world: ConsoleWorld, ruth: Browser) -> None:
    for change in ("add", "remove", "rollback"):
        assert ruth.post(f"{PAGE}/{change}", entries="c1", version="none", **CARDS).status_code == 403
    assert world.lists.acts == []
    assert ruth.send(f"{PAGE}/nothing", PAGE).status_code == 404


def test_ids_and_texts_that_would_act_are_text(world: ConsoleWorld, ruth: Browser) -> None:
    world.lists.who = world.lists.why = EVIL
    entry = {"entry": "<script>alert(1)</script>\u202egnp.exe", "reason": "<b>x"}
    world.lists.publish("lists", [json.dumps({"block": {"card": [entry]}})])
    page = ruth.get(PAGE).text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "<b>x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202egnp.exe" in page
    answer = ruth.send(f"{PAGE}/add", PAGE, entries="</textarea><script>alert(1)</script>", **(CARDS | {"why": ""}))
    assert "<script>alert" not in answer.text
    assert "<script>alert" not in ruth.get(f"{PAGE}?begins=<script>alert(1)&done=<script>alert(1)&changed=<b>").text


def test_with_kafka_away_the_page_says_so(world: ConsoleWorld, ruth: Browser) -> None:
    world.lists.away = Transient("kafka: gone")
    answer = ruth.get(PAGE)
    assert (answer.status_code, "kafka: gone" in answer.text) == (503, True)
