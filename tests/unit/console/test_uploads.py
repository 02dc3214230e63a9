"""Uploads in the console: a file passes on to the API, and its result comes back."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.console.browser import Browser, token_in
from tests.unit.console.world import ANNA, ConsoleWorld
from tests.unit.inference.examples import TRANSACTION

PAGE = "/streams/transactions/uploads"
ROW = TRANSACTION | {"event_time_ms": 1_767_268_800_000}
BODY = (",".join(ROW) + "\n" + ",".join(map(str, ROW.values())) + "\n").encode()


def send(browser: Browser, headers: dict[str, str]) -> httpx.Response:
    """Send a file as the page's script does."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    return browser.client.post(PAGE, content=BODY, headers={"cookie": cookie, "content-type": "text/csv"} | headers)


def test_a_file_is_sent_scored_shown_downloaded_and_deleted(world: ConsoleWorld, app: FastAPI, lead: Browser) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in lead.cookies.items())

    async def ask() -> str:
        headers = {"cookie": cookie, "content-type": "text/csv", "x-token": token_in(lead_page)}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            assert (await client.post(PAGE, content=BODY, headers=headers)).status_code == 204
            while not world.uploads.list_all(world.now_ms)[0].has_ended:
                await asyncio.sleep(0.002)
            return (await client.get(PAGE, headers={"cookie": cookie})).text

    lead_page = lead.get(PAGE)
    assert "No file is kept" in lead_page.text
    page = asyncio.run(ask())
    (job,) = world.uploads.list_all(world.now_ms)
    assert "1 of 1" in page
    assert "hx-trigger" not in page
    result = lead.get(f"{PAGE}/{job.id}/result")
    assert result.headers["content-disposition"] == f'attachment; filename="scored-{job.id[:8]}.csv"'
    assert result.text.splitlines()[1].startswith(TRANSACTION["transaction_id"])
    assert lead.send(f"{PAGE}/{job.id}/delete", PAGE).status_code == 303
    assert "No file is kept" in lead.get(PAGE).text
    assert lead.get(f"{PAGE}/{job.id}/result").status_code == 404


def test_a_file_without_the_token_of_the_session_is_refused(world: ConsoleWorld, lead: Browser) -> None:
    for headers in ({}, {"x-token": ""}, {"x-token": "0" * 64}):
        assert send(lead, headers).status_code == 403
    assert world.uploads.list_all(world.now_ms) == []


def test_what_the_api_says_to_a_file_is_said_where_the_page_stands(lead: Browser) -> None:
    answer = send(lead, {"x-token": token_in(lead.get(PAGE)), "content-type": "application/pdf"})
    assert answer.status_code == 415
    assert answer.text == "expected content-type application/vnd.apache.parquet or text/csv"


@pytest.mark.parametrize("path", ["", "/0a/result"])
def test_a_key_without_the_scope_sees_no_uploads(app: FastAPI, path: str) -> None:
    browser = Browser(app)
    browser.log_in(ANNA)
    assert browser.get(f"{PAGE}{path}").status_code == 403
    assert "/uploads" not in browser.get("/streams/transactions/queue").text


def test_a_job_under_way_refreshes_the_page(world: ConsoleWorld, lead: Browser) -> None:
    with world.uploads.create("csv", world.now_ms) as held:
        held.save(held.job.start(world.now_ms).know_total(10).count(4, 1))
        page = lead.get(PAGE).text
    assert "4 of 10" in page
    assert "hx-trigger" in page
    assert "<progress" in page
