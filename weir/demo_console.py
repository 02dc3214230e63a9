"""The console of a demo: what opens its cases, what shows them, and a key that ends with the day."""

from __future__ import annotations

import time
from contextlib import closing
from importlib.util import find_spec

from weir.demo_story import weir
from weir.infra.children import Children
from weir.infra.embedded.ports import choose_ports, is_free
from weir.infra.settings import Settings

_KEY_MS = 86_400_000


def open_console(settings: Settings, children: Children) -> str:
    """Start the console and what it shows cases of; return what a user has to know, or nothing without its packages."""
    if find_spec("jinja2") is None or find_spec("sqlalchemy") is None:
        return ""
    port = settings.console.port if is_free(settings.console.port) else choose_ports(1)[0]
    text = _make_key(settings)
    children.start("cases", weir("cases", "follow"))
    children.start("console", weir("console", "--port", str(port)))
    return f"the console is at http://127.0.0.1:{port}, for today with the key {text}"


def _make_key(settings: Settings) -> str:
    from weir.access.key import Scope, build_key, hash_text, make_text  # noqa: PLC0415 - with the database's packages
    from weir.access.store import KeyStore  # noqa: PLC0415
    from weir.infra.database.engine import open_database  # noqa: PLC0415

    key_id, text = make_text()
    now_ms = int(time.time() * 1_000)
    scopes = (Scope.READ, Scope.REVIEW)
    key = build_key(key_id, hash_text(text), "demo", scopes, (), now_ms=now_ms, by="demo", expires_ms=now_ms + _KEY_MS)
    with closing(KeyStore(open_database(settings))) as store:
        store.add(key)
    return text
