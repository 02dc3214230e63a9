"""A demo opens a console with a key that logs in while it runs."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.pauses import Pauses
from tests.unit.console.browser import Browser
from weir.access.key import Key, Scope, build_key, hash_text
from weir.access.keyring import Keyring
from weir.access.store import KeyStore
from weir.console.api import Api, build_client
from weir.console.app import build_console
from weir.console.serve import build_parts
from weir.demo.console import open_console
from weir.infra.database.engine import open_database
from weir.infra.embedded.ports import is_free
from weir.infra.settings import Settings, load_settings
from weir.schemas.project import ServedStreams
from weir.schemas.streams.payments import payments


class Started:
    """Remembers what was started."""

    def __init__(self) -> None:
        self.commands: dict[str, list[str]] = {}

    def start(self, name: str, command: list[str]) -> None:
        self.commands[name] = command


def list_keys(settings: Settings) -> list[Key]:
    with closing(KeyStore(open_database(settings))) as store:
        return store.list_keys()


def test_a_demo_opens_a_console_and_what_fills_it(tmp_path: Path) -> None:
    settings, children = load_settings({"WEIR_HOME": str(tmp_path)}), Started()
    given: Any = children
    with open_console(settings, given) as said:
        text, port = said.rpartition(" ")[2], said.partition("127.0.0.1:")[2].partition(",")[0]
        assert is_free(int(port))
        assert children.commands["console"][-2:] == ["--port", port]
        assert children.commands["cases"][-2:] == ["cases", "follow"]
        (key,) = list_keys(settings)
        assert (key.hash, key.scopes) == (hash_text(text), frozenset({Scope.READ, Scope.REVIEW}))
        assert key.find_fault(key.created_ms) is None
        assert key.expires_ms is not None
        assert key.expires_ms - key.created_ms == 86_400_000
    (key,) = list_keys(settings)
    assert key.revoked_by == "demo"


def open_browser(settings: Settings, keyring: Keyring) -> Browser:
    """Return a browser of the console that reads the keys of a home."""
    api = Api(build_client("http://127.0.0.1:9", ""), keyed=True)  # it is not asked by who logs in
    served = ServedStreams((payments,), payments.name)
    return Browser(build_console(build_parts(settings, served, keyring, api, hosts=frozenset())))


def test_the_key_that_a_demo_prints_logs_in_while_it_runs_and_not_after(tmp_path: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    given: Any = Started()
    with ExitStack() as running:
        text = running.enter_context(open_console(settings, given)).rpartition(" ")[2]
        store = KeyStore(open_database(settings))
        with closing(Keyring(store, lambda: int(time.time() * 1_000), look_seconds=0.05)) as keyring:
            browser = open_browser(settings, keyring)
            other = f"{text[:-1]}{'1' if text[-1] == '0' else '0'}"
            assert browser.log_in(other).status_code == 403
            assert browser.log_in(text).status_code == 303
            assert browser.get("/").headers["location"] == "/streams/transactions/queue"
            running.close()  # the demo ends
            deadline, pauses = time.monotonic() + 30, Pauses()
            while keyring.find(text) is not None:
                assert time.monotonic() < deadline, "the key of a demo that ended is still valid"
                pauses.sleep()
            assert browser.get("/").headers["location"].startswith("/login")
            assert browser.log_in(text).status_code == 403


def test_the_key_of_a_demo_that_was_killed_ends_with_the_next_one_and_no_other_key_does(tmp_path: Path) -> None:
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    given: Any = Started()
    killed = open_console(settings, given)
    killed.__enter__()
    own = build_key("0badcafe", hash_text("own"), "demo", [Scope.ADMIN], (), now_ms=1, by="ops")
    with closing(KeyStore(open_database(settings))) as store:
        store.add(own)
    with open_console(settings, given):
        valid = [key for key in list_keys(settings) if key.find_fault(key.created_ms) is None]
        assert sorted(key.created_by for key in valid) == ["demo", "ops"]
    assert [key.id for key in list_keys(settings) if key.revoked_ms is None] == ["0badcafe"]
