"""Decisions as they come: who gets which, in what words, and who is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.inference.examples import DECISION
from tests.unit.inference.test_api import CARD_NUMBER, World
from weir.access.key import Scope, build_key, hash_text
from weir.inference.api.app import build_api
from weir.inference.api.filters import parse_filters
from weir.inference.api.live import feed as feeding
from weir.inference.api.live import route
from weir.inference.api.live.feed import Feed, Live
from weir.inference.api.request import BadRequest
from weir.schemas.streams.payments import payments

PATH = "/v1/decisions/live"
Event = tuple[str, Any]


class Browser:
    """Reads a stream of events from an application, as a server would ask it to."""

    def __init__(self, app: Any, query: str = "", headers: dict[str, str] | None = None, method: str = "GET") -> None:
        self._app = app
        sent = {"host": "127.0.0.1"} | (headers or {})
        self._scope = {
            "type": "http", "method": method, "path": PATH, "raw_path": PATH.encode(), "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }  # fmt: skip
        self._text = b""
        self._gone = asyncio.Event()
        self._came = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.task = asyncio.create_task(app(self._scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self._text += message["body"]
        self._came.set()
        await self.reads.wait()

    @property
    def events(self) -> list[Event]:
        found = [dict(line.split(": ", 1) for line in each.split("\n")) for each in self._text.decode().split("\n\n")
                 if each.startswith("event")]  # fmt: skip
        return [(each["event"], orjson.loads(each["data"])) for each in found]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._came.clear()
                await self._came.wait()

    async def leave(self) -> None:
        self._gone.set()
        await asyncio.wait_for(self.task, 10)


class Watched(World):
    """An API whose decisions a test hands in."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.feed = Feed(watchers_max=2)
        assert self.served.decide is not None
        decide = replace(self.served.decide, live=Live(self.feed, self.stream))
        self.parts = replace(self.parts, streams=[replace(self.served, decide=decide)])
        self.app = build_api(self.parts)


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = Watched(tmp_path)
    yield made
    made.guard.close()


def made(event_id: str, **changes: Any) -> dict[str, Any]:
    return DECISION | {"transaction_id": event_id, **changes}


def ids(browser: Browser) -> list[str]:
    return [data["transaction_id"] for name, data in browser.events if name == "decision"]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_what_is_decided_while_one_watches_comes_as_the_look_up_has_it(world: Watched) -> None:
    async def test() -> None:
        world.feed.see([made("before")])
        browser = Browser(world.app)
        await browser.until(lambda: world.feed.number)
        await browser.until(lambda: browser.events)
        world.feed.see([made("t1"), made("t2\n\ndata: x")])
        await browser.until(lambda: len(browser.events) == 3)
        assert browser.headers[b"content-type"] == b"text/event-stream"
        assert browser.events == [
            ("state", {"reading": True}), ("decision", made("t1")), ("decision", made("t2\n\ndata: x"))
        ]  # fmt: skip
        await browser.leave()
        assert world.feed.number == 0

    run(test)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["a", "b", "c"]),
        ("decision=DECLINE&decision=REVIEW", ["a", "b"]),
        ("card=card-1", ["a", "c"]),
        ("card=card-1&merchant=m2", ["c"]),
        ("rule=velocity", ["b", "c"]),
        ("score_min=0.5", ["a"]),
        ("decision=APPROVE&rule=velocity&card=card-2", []),
    ],
)
def test_every_filter_has_to_hold(world: Watched, query: str, wanted: list[str]) -> None:
    decisions = [
        made("a", decision="DECLINE", card_id="card-1", merchant_id="m1", score=0.5, decided_by="model"),
        made("b", decision="REVIEW", card_id="card-2", merchant_id="m2", score=0.4, decided_by="velocity"),
        made("c", decision="APPROVE", card_id="card-1", merchant_id="m2", score=None, shadow_rules=["velocity"]),
    ]

    async def test() -> None:
        browser, all_of_them = Browser(world.app, query), Browser(world.app)
        await browser.until(lambda: browser.events)
        await all_of_them.until(lambda: all_of_them.events)
        world.feed.see(decisions)
        await all_of_them.until(lambda: len(ids(all_of_them)) == 3)
        await browser.until(lambda: len(ids(browser)) >= len(wanted))
        assert ids(browser) == wanted
        await browser.leave()
        await all_of_them.leave()

    run(test)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("decision=MAYBE", "APPROVE, REVIEW, DECLINE"),
        ("device=d1", "card, merchant"),  # a decision does not say of which device its event was
        ("score_min=2", "0 to 1"),
        ("score_min=x", "0 to 1"),
        ("card=", "1 to"),
        (f"card={CARD_NUMBER}", "card number"),
        (f"rule={'x' * 201}", "rule"),
        ("card=a&card=b", "several"),
    ],
)
def test_a_filter_that_is_none_is_refused_and_not_repeated(world: Watched, query: str, said: str) -> None:
    answer = world.client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert said in answer.text
    assert CARD_NUMBER not in answer.text


def test_one_that_does_not_read_is_cut_off_and_the_other_gets_everything(
    world: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BUFFER_BYTES_MAX", 4 * len(orjson.dumps(made("t00"))))
    monkeypatch.setattr(route, "GATHER_SECONDS", 0.0)

    async def test() -> None:
        slow, quick = Browser(world.app), Browser(world.app)
        await slow.until(lambda: slow.events)
        await quick.until(lambda: quick.events)
        slow.reads.clear()
        for number in range(10, 30):
            world.feed.see([made(f"t{number}")])
            await quick.until(lambda number=number: f"t{number}" in ids(quick))  # type: ignore[misc]
        slow.reads.set()
        await asyncio.wait_for(slow.task, 10)
        assert slow.events[-1] == ("end", {"why": "slow"})
        assert len(ids(slow)) <= 5
        assert ids(quick) == [f"t{number}" for number in range(10, 30)]
        await quick.leave()

    run(test)


def test_one_more_than_may_watch_is_told_to_come_again(world: Watched) -> None:
    async def test() -> None:
        browsers = [Browser(world.app), Browser(world.app)]
        for each in browsers:
            await each.until(lambda each=each: each.events)  # type: ignore[misc]
        third = Browser(world.app)
        await asyncio.wait_for(third.task, 10)
        assert (third.status, third.headers[b"retry-after"]) == (503, b"1")
        await browsers[0].leave()
        fourth = Browser(world.app)
        await fourth.until(lambda: fourth.events)
        await fourth.leave()
        await browsers[1].leave()

    run(test)


def test_a_stop_of_the_process_ends_every_stream(world: Watched) -> None:
    async def test() -> None:
        browser = Browser(world.app)
        await browser.until(lambda: browser.events)
        world.feed.close()
        late = Browser(world.app)
        for each in (browser, late):
            await asyncio.wait_for(each.task, 10)
            assert each.events[-1] == ("end", {"why": "stopping"})

    run(test)


def test_whether_decisions_are_read_is_said_when_it_changes(world: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "LOOK_SECONDS", 0.01)

    async def test() -> None:
        browser = Browser(world.app)
        for reading in (True, False, True):
            world.stream.listens = reading
            await browser.until(lambda reading=reading: browser.events[-1:] == [("state", {"reading": reading})])  # type: ignore[misc]
        await browser.leave()

    run(test)


def test_a_key_that_is_revoked_watches_no_more(world: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "LOOK_SECONDS", 0.01)
    keys = {"k": build_key("0123abcd", hash_text("k"), "test", [Scope.READ], (), now_ms=0, by="test")}
    app = build_api(replace(world.parts, find_key=keys.get))

    async def test() -> None:
        browser = Browser(app, headers={"x-api-key": "k"})
        await browser.until(lambda: browser.events)
        keys.clear()
        await asyncio.wait_for(browser.task, 10)
        assert browser.events[-1] == ("end", {"why": "key"})

    run(test)


def test_filters_name_what_a_decision_has() -> None:
    assert parse_filters(payments, [("merchant", "m1")]).ids == {"merchant_id": "m1"}
    with pytest.raises(BadRequest):
        parse_filters(payments, [("nothing", "x")])
