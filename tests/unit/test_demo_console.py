"""A demo opens a console with a key that logs in, for a day."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from weir.access.key import Scope, hash_text
from weir.access.store import KeyStore
from weir.demo_console import open_console
from weir.infra.database.engine import open_database
from weir.infra.embedded.ports import is_free
from weir.infra.settings import load_settings


class Started:
    """Remembers what was started."""

    def __init__(self) -> None:
        self.commands: dict[str, list[str]] = {}

    def start(self, name: str, command: list[str]) -> None:
        self.commands[name] = command


def test_a_demo_opens_a_console_and_what_fills_it(tmp_path: Path) -> None:
    settings, children = load_settings({"WEIR_HOME": str(tmp_path)}), Started()
    given: Any = children
    said = open_console(settings, given)
    text, port = said.rpartition(" ")[2], said.partition("127.0.0.1:")[2].partition(",")[0]
    assert is_free(int(port))
    assert children.commands["console"][-2:] == ["--port", port]
    assert children.commands["cases"][-2:] == ["cases", "follow"]
    with closing(KeyStore(open_database(settings))) as store:
        (key,) = store.list_keys()
    assert (key.hash, key.scopes) == (hash_text(text), frozenset({Scope.READ, Scope.REVIEW}))
    assert key.expires_ms is not None
    assert key.expires_ms - key.created_ms == 86_400_000
