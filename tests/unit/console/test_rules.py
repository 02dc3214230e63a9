"""Rules in the console: a text is checked and tried before it can be published, and can be taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from tests.unit.console.browser import Browser
from tests.unit.console.world import RITA, RUTH, ConsoleWorld
from tests.unit.inference.published.rules_twin import BAD, GOOD, OTHER
from weir.inference.published import trials as trials_module
from weir.inference.published.gate import Trial

PAGE = "/streams/transactions/rules"
FIGURES = {
    "judged": 4_321,
    "decided": {"APPROVE": 4_000, "REVIEW": 300, "DECLINE": 21},
    "would_be": {"APPROVE": 3_876, "REVIEW": 424, "DECLINE": 21},
}


@pytest.fixture
def world(world: ConsoleWorld) -> Iterator[ConsoleWorld]:
    world.tries.found = Trial(figures=FIGURES)
    yield world
    world.tries.go.set()


@pytest.fixture
def ruth(app: FastAPI) -> Browser:
    browser = Browser(app)
    browser.log_in(RUTH)
    return browser


def test_rules_are_edited_checked_published_and_taken_back(world: ConsoleWorld, ruth: Browser) -> None:
    assert "nothing is published" in ruth.get(PAGE).text
    faulty = ruth.send(f"{PAGE}/check", PAGE, text=BAD)
    assert "line 4, column" in faulty.text
    assert "transaction_amuont" in faulty.text
    assert 'formaction="/streams/transactions/rules/publish"' not in faulty.text
    looked = ruth.send(f"{PAGE}/check", PAGE, text=GOOD.replace("\n", "\r\n"), why="a wave")
    assert "4321 decisions" in looked.text
    assert "3876" in looked.text
    assert 'value="a wave"' in looked.text
    assert world.published.acts == []
    done = ruth.send(f"{PAGE}/publish", PAGE, text=GOOD.replace("\n", "\r\n"), why="a wave")
    assert done.status_code == 303
    (act,) = world.published.acts
    assert (act.who, act.why, act.text) == ("ruth", "a wave", GOOD)
    assert act.version in ruth.get(done.headers["location"]).text
    assert ruth.send(f"{PAGE}/rollback", PAGE, version="none", why="too many").status_code == 303
    page = ruth.get(PAGE).text
    assert "nothing is published" in page
    assert "too many" in page


def test_what_goes_too_far_needs_a_reason_of_its_own(world: ConsoleWorld, ruth: Browser) -> None:
    world.tries.found = Trial(failed=(("share declined", "the share declined grows by 3.000 points"),), figures=FIGURES)
    refused = ruth.send(f"{PAGE}/publish", PAGE, text=GOOD, why="a wave")
    assert "grows by 3.000 points" in refused.text
    assert 'name="force"' in refused.text
    assert world.published.acts == []
    assert ruth.send(f"{PAGE}/publish", PAGE, text=GOOD, why="a wave", force="agreed").status_code == 303
    assert "forced: agreed" in world.published.acts[0].why


def test_without_a_reason_nothing_is_published_and_the_text_stays(world: ConsoleWorld, ruth: Browser) -> None:
    answer = ruth.send(f"{PAGE}/publish", PAGE, text=GOOD)
    assert (answer.status_code, "nobody buys at night" in answer.text) == (422, True)
    assert world.published.acts == []


def test_a_long_trial_is_said_and_found_again(
    world: ConsoleWorld, ruth: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 0.01)
    world.tries.go.clear()
    for change in ("check", "publish"):
        assert "the trial runs on" in ruth.send(f"{PAGE}/{change}", PAGE, text=GOOD, why="a wave").text
    other = ruth.send(f"{PAGE}/check", PAGE, text=OTHER, why="a wave")
    assert (other.status_code, "another text" in other.text, "&gt; 200" in other.text) == (503, True, True)
    assert world.published.acts == []
    monkeypatch.setattr(trials_module, "WAIT_SECONDS", 60.0)
    world.tries.go.set()
    assert ruth.send(f"{PAGE}/publish", PAGE, text=GOOD, why="a wave").status_code == 303


def test_who_may_only_read_sees_rules_and_changes_nothing(world: ConsoleWorld, app: FastAPI) -> None:
    browser = Browser(app)
    browser.log_in(RITA)
    assert "<textarea" not in browser.get(PAGE).text
    for change in ("check", "publish", "rollback"):
        assert browser.send(f"{PAGE}/{change}", PAGE, text=GOOD, why="a", version="none").status_code == 403
    assert world.published.acts == []


def test_a_form_without_the_token_publishes_nothing(world: ConsoleWorld, ruth: Browser) -> None:
    for change in ("check", "publish", "rollback"):
        assert ruth.post(f"{PAGE}/{change}", text=GOOD, why="a", version="none").status_code == 403
    assert world.published.acts == []


def test_markup_in_rules_is_text(ruth: Browser) -> None:
    evil = "</textarea><script>alert(1)</script>"
    text = GOOD.replace("nobody buys at night", f"'{evil}'")
    looked = ruth.send(f"{PAGE}/check", PAGE, text=text, why=evil)
    assert "<script>alert" not in looked.text
    ruth.send(f"{PAGE}/publish", PAGE, text=text, why=evil)
    assert "<script>alert" not in ruth.get(PAGE).text


def test_a_version_that_there_is_not_is_not_found(ruth: Browser) -> None:
    assert ruth.get(f"{PAGE}?version=abcd").status_code == 404
    assert ruth.send(f"{PAGE}/nothing", PAGE).status_code == 404
