"""The page of the API in a real browser that cannot reach any other site."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import binaries
from tests.integration.test_http_connections import Child

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Child]:
    started = Child(tmp_path, seconds=30)
    yield started
    started.stop()


def visit(url: str, folder: Path) -> tuple[str, list[str], str]:
    """Open a page; return what it became, every address that it asked for, and what the browser says of it."""
    browser = binaries.find(*BROWSERS, packages="chromium")
    log = folder / "network.json"
    flags = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--enable-logging=stderr", "--v=0",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=20000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([browser, *flags, url], capture_output=True, text=True, timeout=150, check=True)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, asked_by_the_page(json.loads(log.read_text())["events"], url), console


def asked_by_the_page(events: list[dict[str, Any]], url: str) -> list[str]:
    # the browser's own calls home have no page as their initiator
    origin = "/".join(url.split("/")[:3])
    params = [event.get("params", {}) for event in events]
    return sorted({each["url"] for each in params if each.get("initiator") == origin and "url" in each})


def test_the_docs_page_shows_the_api_without_any_other_site(api: Child, tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{api.port}"
    shown, asked, console = visit(f"{origin}/docs", tmp_path)
    for path in ("/v1/features/", "/v1/decisions/", "/v1/score", "/healthz"):
        assert f'data-path="{path}' in shown
    assert f"{origin}/openapi.json" in asked
    assert f"{origin}/docs/swagger-ui-bundle.js" in asked
    assert [url for url in asked if not url.startswith((f"{origin}/", "data:"))] == []
    assert console == ""
