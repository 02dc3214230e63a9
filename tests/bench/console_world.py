"""A deployment of its own with a console in front, and a real browser that is logged in there."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests import binaries
from tests.e2e.test_docs_page import BROWSERS
from tests.integration.payments import Publisher
from tests.integration.test_cases_live import journey
from tests.soak.probe import read_usage
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.children import Child, Children
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.topics import ensure_topics
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import WeirError

START_SECONDS = 180.0
_KEY = re.compile(r"weir_[0-9a-f]{8}_[0-9a-f]{64}")
_STARTED = '"event": "started"'
_FLAGS = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


class ConsoleDeployment:
    """Started by ``start``, ended by ``close``; the model is a tiny one, so that the page and not the model is busy.

    Attributes:
        settings: of the deployment.
        services: the processes, by name.
    """

    def __init__(self, home: Path) -> None:
        """Choose ports; nothing runs yet."""
        self._stack = Stack(home)
        environment = {"WEIR_HOME": str(home), **self._stack.environment(), "WEIR_API__KEYS": "required"}
        self.settings: Settings = load_settings(environment)
        self._home = home
        self._children = Children(home / "logs", environment)
        self.services: dict[str, Child] = {}

    def start(self) -> tuple[str, str]:
        """Start everything; return the console's address and a key for it.

        Raises:
            WeirError: something died or was not ready in time.
        """
        self._stack.start()
        ensure_topics(self.settings)
        self._run("schemas", "register")
        link_champion(self._home, write_bundle(self._home / "models" / "tiny-1"))
        key = _KEY.search(self._run("keys", "create", "lead", "--scopes", "admin"))
        assert key is not None
        self._serve("run", _STARTED)
        api = re.search(r"serving (http\S+?):?\s", self._serve("serve", "serving http", "--port", "0"))
        assert api is not None
        self._children.environment["WEIR_CONSOLE__API_URL"] = api[1]
        found = re.search(r"serving the console at (\S+)", self._serve("console", "serving the console", "--port", "0"))
        assert found is not None
        return found[1], key[0]

    def open_case(self) -> None:
        """Start what looks events up and what opens cases, and have a card's payments sent to review."""
        self._serve("index", _STARTED)
        self._serve("cases", _STARTED, "follow")
        Publisher(self.settings).send_payments(journey(int(time.time() * 1_000)))

    def send(self, rate: int, seconds: float) -> Child:
        """Begin to send made-up payments."""
        return self._children.start(
            "generator", _weir("generate", "--rate", str(rate), "--seconds", str(round(seconds)), "--cards", "20000")
        )

    def check(self) -> None:
        """Look whether all processes live.

        Raises:
            WeirError: one died.
        """
        self._children.check()

    def read_memory_mb(self, name: str) -> float:
        """Return what a process holds in memory."""
        return read_usage(self.services[name].process.pid).memory_mb

    def close(self) -> None:
        """End every process and server."""
        self._children.stop()
        self._stack.stop()

    def _serve(self, verb: str, ready: str, *flags: str) -> str:
        child = self._children.start(verb, _weir(verb, *flags))
        self.services[verb] = child
        deadline = time.monotonic() + START_SECONDS
        while ready not in (said := child.log_file.read_text()):
            self.check()
            if time.monotonic() > deadline:
                raise WeirError(f"expected {verb} to start within {START_SECONDS:.0f} s:\n{said[-2_000:]}")
            time.sleep(0.2)
        return said

    def _run(self, verb: str, *flags: str) -> str:
        child = self._children.start(f"{verb}-{flags[0]}", _weir(verb, *flags))
        code = child.process.wait(START_SECONDS)
        self._children.running.remove(child)
        said = child.log_file.read_text()
        if code != 0:
            raise WeirError(f"`weir {verb}` failed with exit code {code}:\n{said[-2_000:]}")
        return said


@contextmanager
def deploy() -> Iterator[ConsoleDeployment]:
    """Yield a deployment in a new home, which is deleted afterwards; nothing of it runs yet."""
    home = Path(tempfile.mkdtemp(prefix="weir-console-"))
    deployment = ConsoleDeployment(home)
    try:
        yield deployment
    finally:
        deployment.close()
        shutil.rmtree(home)


@contextmanager
def log_in(url: str, key: str) -> Iterator[tuple[Browser, Page]]:
    """Yield a browser and a page of a console, logged in."""
    program = os.environ.get("CHROMIUM") or binaries.find(*BROWSERS, packages="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(url)
        page.get_by_label("Your key").fill(key)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Queue").wait_for()
        yield browser, page
        browser.close()


def _weir(verb: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "weir", verb, *flags]
