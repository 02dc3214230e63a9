"""A real browser that reaches nothing but this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, FloatRect, Page, sync_playwright

from tests import binaries
from tests.e2e.test_docs_page import BROWSERS
from tests.house.source import ROOT

WAIT_MS = 30_000.0
"""For what is awaited, on busy cores."""
VIEWPORT = {"width": 1366, "height": 768}
_FLAGS = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
PICTURES = ROOT / "docs" / "pictures"
_SHOWN: FloatRect = {"x": 0, "y": 0, "width": 1366, "height": 590}
"""Of a page: each picture takes less than 150 kB."""
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
