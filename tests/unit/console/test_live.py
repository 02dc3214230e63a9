"""Live decisions as the console passes them on, from an API whose bytes a test chooses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from tests.unit.console.browser import BASE, Browser
from tests.unit.console.world import ANNA, ConsoleWorld
from tests.unit.inference.examples import DECISION
from weir.console import api
from weir.inference.api.live.route import write_event


class Parts(httpx.AsyncByteStream):
    """A body that comes in parts."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


def open_browser(world: ConsoleWorld, answer: httpx.Response) -> Browser:
    """Return a browser of a console to which the API answers this."""
    transport = httpx.MockTransport(lambda _: answer)
    browser = Browser(world.build(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")))
    assert browser.log_in(ANNA).status_code == 303
    return browser


def show_live(world: ConsoleWorld, *parts: bytes) -> str:
    return open_browser(world, httpx.Response(200, stream=Parts(*parts))).get(f"{BASE}/live/events").text


def read_rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]


def build_event(event_id: str) -> bytes:
    return write_event("decision", orjson.dumps(DECISION | {"transaction_id": event_id}))


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\r", "\n", "\r\n"])
def test_an_id_with_any_line_break_is_one_row(world: ConsoleWorld, sign: str) -> None:
    hostile = f"t{sign}data: {sign}{sign}event: ended"
    rows = read_rows(show_live(world, build_event(hostile) + build_event("t2")))
    assert [httpx.URL(row["href"]).params["id"] for row in rows] == [hostile, "t2"]


def test_an_event_that_comes_byte_by_byte_is_one_row(world: ConsoleWorld) -> None:
    sent = build_event("t\u2028\U0001f600")
    rows = read_rows(show_live(world, *(sent[at : at + 1] for at in range(len(sent)))))
    assert [httpx.URL(row["href"]).params["id"] for row in rows] == ["t\u2028\U0001f600"]


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"reasons":1}'])
def test_an_event_that_cannot_be_read_is_left_out_and_the_next_is_shown(world: ConsoleWorld, data: bytes) -> None:
    rows = read_rows(show_live(world, write_event("decision", data) + build_event("t2")))
    assert [row["id"] for row in rows] == ["t2"]


def test_a_line_without_an_end_is_not_gathered_for_ever(world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "LINE_BYTES_MAX", 100)
    assert "event: away" in show_live(world, b"data: ", b"x" * 101, b"x\n")


def test_a_filter_that_the_api_refuses_is_said_as_it_says_it(world: ConsoleWorld) -> None:
    problem = {"error": {"code": "invalid_request", "message": "card: expected a token, found a card number"}}
    text = open_browser(world, httpx.Response(422, json=problem)).get(f"{BASE}/live/events?card=1").text
    assert text == 'event: refused\ndata: {"why":"card: expected a token, found a card number"}\n\n'


def test_live_pages_are_bounded_and_take_no_connection_of_other_pages(world: ConsoleWorld) -> None:
    async def watch_too_many() -> None:
        def answer(_: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Parts(b": \n"))

        others = httpx.AsyncClient(transport=httpx.MockTransport(refuse), base_url="http://127.0.0.1")
        live = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1")
        asked = api.Api(others, keyed=False, live=live, live_max=2)
        session = world.sessions.begin(ANNA, world.keys[ANNA])
        async with asked.stream(session, "transactions", "x"), asked.stream(session, "transactions", "x"):
            with pytest.raises(api.NotShown, match="2 live pages are open"):
                await asked.stream(session, "transactions", "x").__aenter__()
        async with asked.stream(session, "transactions", "x"):
            pass  # who left made room
        await asked.close()

    def refuse(_: httpx.Request) -> httpx.Response:
        raise AssertionError("expected nothing of the other pages' client")

    asyncio.run(watch_too_many())
