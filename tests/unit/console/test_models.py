"""Models in the console: those in force, one with its gates and card, and what its thresholds do."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.unit.console.browser import EVIL, Browser
from tests.unit.console.world import RITA, RUTH, ConsoleWorld
from tests.unit.inference.twins import build_measured
from weir.console.view import link
from weir.inference.model_card import CARD_FILE
from weir.inference.published.gate import Gate
from weir.schemas.errors import Transient
from weir.training.gates.card import write_gates

PAGE = "/streams/transactions/models"
GATES = (
    Gate("PR-AUC", True, "+0.01", "at least 0"),
    Gate("equal opportunity, country", False, "0.031", "at most 0.02"),
)


@pytest.fixture
def rita(app: FastAPI) -> Browser:
    browser = Browser(app)
    browser.log_in(RITA)
    return browser


def folder_of(world: ConsoleWorld) -> Path:
    return world.api.champion.bundle.directory


def slider_of(page: str) -> dict[str, str]:
    (found,) = re.findall(r'<input type="range"[^>]*>', page)
    return dict(re.findall(r'([a-z-]+)="([^"]*)"', found))


def test_models_in_force_are_shown_with_who_chose_them(world: ConsoleWorld, rita: Browser) -> None:
    world.choices.choose("champion", "1", why=EVIL)
    world.choices.choose("canary", "9")
    world.choices.choose("canary", "none", who="weir models watch", why="declines 3 points more")
    page = rita.get(PAGE).text
    for text in ("champion", f'{PAGE}/model?version=1"', "100%", "0.5", "chose", "declines 3 points more", "not run"):
        assert text in page
    assert "<script>alert" not in page


def test_with_kafka_away_models_are_shown_without_their_history(world: ConsoleWorld, rita: Browser) -> None:
    world.choices.away = Transient("kafka: nobody answers")
    page = rita.get(PAGE)
    assert page.status_code == 200
    assert "kafka: nobody answers" in page.text
    assert "champion" in page.text


def test_a_canary_is_ended_by_who_may_and_once(world: ConsoleWorld, app: FastAPI, rita: Browser) -> None:
    world.choices.choose("champion", "1")
    world.choices.choose("canary", "3")
    assert "End the canary" not in rita.get(PAGE).text
    asked = {"role": "canary", "version": "3", "why": "declines too much"}
    assert rita.send(f"{PAGE}/rollback", PAGE, **asked).status_code == 403
    ruth = Browser(app)
    ruth.log_in(RUTH)
    assert "End the canary" in ruth.get(PAGE).text
    assert ruth.post(f"{PAGE}/rollback", **asked).status_code == 403, "without the token of its session"
    done = ruth.send(f"{PAGE}/rollback", PAGE, **asked)
    assert (done.status_code, done.headers["location"]) == (303, f"{PAGE}?done=1")
    page = ruth.get(done.headers["location"]).text
    assert "It is taken back" in page
    assert ("End the canary" in page, "Have the model before decide" in page) == (False, True)
    again = ruth.send(f"{PAGE}/rollback", PAGE, **asked)
    assert (again.status_code, "expected a canary" in again.text) == (404, True)
    assert ruth.send(f"{PAGE}/rollback", PAGE, **asked | {"why": " "}).status_code == 422
    assert [(act.who, act.why) for act in world.choices.acts[2:]] == [("ruth", "declines too much")]


def test_a_model_is_shown_with_its_gates_its_fairness_and_its_card(world: ConsoleWorld, rita: Browser) -> None:
    assert "has none" in rita.get(f"{PAGE}/model?version=1").text
    (folder_of(world) / CARD_FILE).write_text(f"# tiny 1\n\n{EVIL}\n")
    write_gates(folder_of(world), GATES, "0", at_seconds=0)
    (folder_of(world) / "drift.json").write_text('{"drifted": ["card_amount_sum_1h"], "until_ms": 0}')
    page = rita.get(f"{PAGE}/model?version=1").text
    for text in ("against the champion 0.", "0.031", "not passed", "# tiny 1", "card_amount_sum_1h", "pr_auc"):
        assert text in page
    assert page.count("equal opportunity, country") == 2, "in the gates, and under fairness"
    assert "<script>alert" not in page


@pytest.mark.parametrize("version", ["other", "", "..", "x" * 201, "a/b", EVIL])
def test_a_model_that_there_is_not_is_told(rita: Browser, version: str) -> None:
    for path in ("model", "thresholds", "thresholds.csv"):
        answer = rita.get(link(f"{PAGE}/{path}", version=version))
        assert answer.status_code == 404
        assert "<script>alert" not in answer.text


def test_thresholds_are_shown_at_the_slider_and_next_to_those_in_force(world: ConsoleWorld, rita: Browser) -> None:
    world.curves.measured = build_measured()
    page = rita.get(f"{PAGE}/thresholds?version=1&days=30&at=1").text
    assert world.curves.asked[0][-1] == 30
    assert slider_of(page) | {"min": "0", "max": "2", "value": "1", "aria-valuetext": "0.750"} == slider_of(page)
    for text in ("25.00%", "40.00%", "1,010.10 USD", "6,543.21 USD", "777.00 USD", "394", "7 more are too young"):
        assert text in page
    at_review = slider_of(rita.get(f"{PAGE}/thresholds?version=1").text)
    assert at_review["value"] == "0"
    for wrong in ("-1", "3", "x", "99999"):
        assert slider_of(rita.get(f"{PAGE}/thresholds?version=1&at={wrong}").text)["value"] == "0"


def test_a_stream_without_money_shows_none(world: ConsoleWorld, rita: Browser) -> None:
    world.curves.measured = build_measured(has_money=False)
    assert "USD" not in rita.get(f"{PAGE}/thresholds?version=1").text


def test_thresholds_are_exported(world: ConsoleWorld, rita: Browser) -> None:
    world.curves.measured = build_measured()
    export = rita.get(f"{PAGE}/thresholds.csv?version=1&days=7")
    rows = list(csv.DictReader(io.StringIO(export.text)))
    assert [row["threshold"] for row in rows] == ["0.5", "0.75", "0.9"]
    assert (rows[0]["fraud_caught"], rows[0]["money_caught"], rows[2]["precision"]) == ("8", "123456.0", "")
    assert 'filename="thresholds.csv"' in export.headers["content-disposition"]


def test_without_anything_to_measure_a_sentence_says_why(world: ConsoleWorld, rita: Browser) -> None:
    page = rita.get(f"{PAGE}/thresholds?version=1")
    assert (page.status_code, "weir archive" in page.text) == (404, True)
    world.curves.measured = build_measured(known=0, points=[])
    page = rita.get(f"{PAGE}/thresholds?version=1")
    assert page.status_code == 200
    assert "what it turned out to be" in page.text
    assert 'type="range"' not in page.text
