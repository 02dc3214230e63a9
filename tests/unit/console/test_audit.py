"""Audit records in the console: who called, for what, and what came of it, for administrators alone."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from fastapi import FastAPI

from tests.unit.console.browser import EVIL, Browser
from tests.unit.console.world import ANNA, RITA, ConsoleWorld, build_review
from weir.schemas.audit import Phase

PAGE = "/streams/transactions/audit"


def export(browser: Browser, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(browser.get(f"{PAGE}.csv{query}").text)))


def test_a_change_is_shown_once_with_who_what_where_from_and_its_result(
    world: ConsoleWorld, app: FastAPI, lead: Browser
) -> None:
    (case_id,) = world.add([build_review("t1", "card-1", now_ms=world.now_ms)])
    anna = Browser(app)
    anna.log_in(ANNA)
    at = f"/streams/transactions/cases/{case_id}"
    assert anna.send(f"{at}/claim", at).status_code == 303
    page = lead.get(f"{PAGE}?who={world.keys[ANNA].id}").text
    rows = [row for row in page.split("<tr>") if "/claim" in row]
    assert len(rows) == 1
    for text in ("anna", world.keys[ANNA].id, "127.0.0.1", "POST", "/cases/{case_id}/claim", ">200<"):
        assert text in rows[0]
    assert "/v1/keys" not in page  # which lead's own pages ask for
    assert {row["name"] for row in export(lead, f"?who={world.keys[ANNA].id}")} == {"anna"}
    assert {row["name"] for row in export(lead)} == {"anna", "lead"}


def test_since_leaves_out_what_is_older_and_a_change_without_a_result_is_unknown(
    world: ConsoleWorld, lead: Browser
) -> None:
    lead.get(PAGE)
    newest = world.audit.records[-1]
    world.audit.records.append(replace(newest, phase=Phase.INTENT, route="/v1/labels", status=0, missed=3))
    found = export(lead, "?since=2020-01-01T00:00")
    assert [row["result"] for row in found if row["path"] == "/v1/labels"] == ["unknown"]
    page = lead.get(f"{PAGE}?since=2020-01-01T00:00").text
    assert ("/v1/labels" in page, "3 calls between these could not be noted" in page) == (True, True)
    assert "No call like that" in lead.get(f"{PAGE}?since=2100-01-01T00:00").text
    assert lead.get(f"{PAGE}?since=noon").status_code == 422


def test_a_page_and_a_file_are_bounded_and_say_so(world: ConsoleWorld, lead: Browser) -> None:
    lead.get(PAGE)
    world.audit.records += [replace(world.audit.records[-1], request_id=str(number)) for number in range(600)]
    page = lead.get(PAGE).text
    assert (page.count("<tr>"), "There may be older ones" in page) == (101, True)
    answer = lead.get(f"{PAGE}.csv")
    assert "audit-newest-500.csv" in answer.headers["content-disposition"]
    assert len(answer.text.splitlines()) == 501


def test_no_text_of_the_log_acts(world: ConsoleWorld, lead: Browser) -> None:
    lead.get(PAGE)
    evil = replace(world.audit.records[-1], address=EVIL, request_id="=1+1")
    world.audit.records.append(evil)
    page = lead.get(PAGE).text
    assert ("<script>alert" in page, "\u202e" in page, "&lt;script&gt;alert(1)" in page) == (False, False, True)
    assert "'=1+1" in lead.get(f"{PAGE}.csv").text


def test_others_see_no_calls(app: FastAPI) -> None:
    browser = Browser(app)
    browser.log_in(RITA)
    assert PAGE not in browser.get("/streams/transactions/queue").text
    assert [browser.get(path).status_code for path in (PAGE, f"{PAGE}.csv")] == [403, 403]


def test_with_kafka_away_the_page_says_so(world: ConsoleWorld, lead: Browser) -> None:
    world.calls.away = "kafka: nobody answers"
    answer = lead.get(PAGE)
    assert (answer.status_code, "kafka: nobody answers" in answer.text) == (503, True)
