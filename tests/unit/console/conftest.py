"""A console over an API in this process, and who is logged in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.console.browser import Browser
from tests.unit.console.world import ANNA, LEAD, ConsoleWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ConsoleWorld]:
    made = ConsoleWorld(tmp_path)
    yield made
    made.close()


@pytest.fixture
def app(world: ConsoleWorld) -> FastAPI:
    api = httpx.AsyncClient(transport=httpx.ASGITransport(world.build_api()), base_url="http://127.0.0.1")
    return world.build(api)


@pytest.fixture
def anna(app: FastAPI) -> Browser:
    browser = Browser(app)
    assert browser.log_in(ANNA).status_code == 303
    return browser


@pytest.fixture
def lead(app: FastAPI) -> Browser:
    browser = Browser(app)
    assert browser.log_in(LEAD).status_code == 303
    return browser
