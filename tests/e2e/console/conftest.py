"""A real browser that reaches nothing but this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, sync_playwright

from tests import binaries
from tests.e2e.console.serving import serving_console
from tests.e2e.test_docs_page import BROWSERS
from tests.house.source import ROOT
from tests.unit.console.world import ConsoleWorld
from tests.unit.inference.published.rules_twin import Tries
from weir.cases.case import Verdict

WAIT_MS = 30_000.0
"""For what is awaited, on busy cores."""
VIEWPORT = {"width": 1366, "height": 768}
_FLAGS = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
PICTURES = ROOT / "docs" / "pictures"
_SHOWN: FloatRect = {"x": 0, "y": 0, "width": 1366, "height": 590}
"""Of a page: each picture takes less than 150 kB."""
BASE = "/streams/transactions"
Open = Callable[[str], Page]
"""Opens a page in a browser of its own, with its own cookies."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or binaries.find(*BROWSERS, packages="chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """What opens pages; a page that logs an error or runs one fails the test that opened it."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_new(url: str) -> Page:
        context = browser.new_context(viewport=VIEWPORT, locale="en")  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(url)
        return page

    yield open_new
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConsoleWorld, str]]:
    world = ConsoleWorld(tmp_path_factory.mktemp("console"))
    with serving_console(world) as url:
        yield world, url
    world.close()


@pytest.fixture
def world(served: tuple[ConsoleWorld, str]) -> Iterator[ConsoleWorld]:
    """The world, whose queue is empty and where nothing is away, after each test."""
    found = served[0]
    yield found
    found.database_away = found.api.partials.away = ""
    found.tries.found = Tries().found
    for case_id in found.list_undecided():
        found.desk.release(case_id, "lead", force=True)
        found.desk.claim(case_id, "lead")
        found.desk.decide(case_id, "lead", Verdict.UNSURE, "the test is over")


@pytest.fixture
def url(served: tuple[ConsoleWorld, str]) -> str:
    return served[1]


def log_in(page: Page, key: str) -> Page:
    """Log in as a person does."""
    page.get_by_label("Your key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Queue").wait_for()
    return page


def keep_picture(page: Page, name: str) -> None:
    """Write a picture for the documents, where they were asked for: `make pictures`."""
    if os.environ.get("PICTURES"):
        page.screenshot(path=PICTURES / f"{name}.png", clip=_SHOWN)
