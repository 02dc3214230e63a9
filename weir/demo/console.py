"""The console of a demo: what opens its cases, what shows them, and a key that ends with the demo."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from weir.demo.story import weir
from weir.infra.children import Children
from weir.infra.embedded.ports import choose_ports, is_free
from weir.infra.settings import Settings

if TYPE_CHECKING:
    from weir.access.store import KeyStore

_KEY_MS = 86_400_000
"""After so long a key ends in any case: a demo that was killed revokes none."""
_BY = "demo"


@contextmanager
def open_console(settings: Settings, children: Children) -> Iterator[str]:
    """Start the console and what it shows cases of, and revoke its key at the end.

    Yields:
        What a user has to know, or nothing without its packages.
    """
    if find_spec("jinja2") is None or find_spec("sqlalchemy") is None:
        yield ""
        return
    port = settings.console.port if is_free(settings.console.port) else choose_ports(1)[0]
    with _key(settings) as text:
        children.start("cases", weir("cases", "follow"))
        children.start("console", weir("console", "--port", str(port)))
        yield f"the console is at http://127.0.0.1:{port}, while this runs with the key {text}"


@contextmanager
def _key(settings: Settings) -> Iterator[str]:
    """Make a key, and revoke it at the end; one that a demo of before left is revoked first."""
    from weir.access.key import Scope, build_key, hash_text, make_text  # noqa: PLC0415 - with the database's packages
    from weir.access.store import KeyStore  # noqa: PLC0415
    from weir.infra.database.engine import open_database  # noqa: PLC0415

    key_id, text = make_text()
    now_ms = int(time.time() * 1_000)
    scopes = (Scope.READ, Scope.REVIEW)
    key = build_key(key_id, hash_text(text), _BY, scopes, (), now_ms=now_ms, by=_BY, expires_ms=now_ms + _KEY_MS)
    with closing(KeyStore(open_database(settings))) as store:
        _revoke(store)
        store.add(key)
    try:
        yield text
    finally:
        with closing(KeyStore(open_database(settings))) as store:
            _revoke(store)


def _revoke(store: KeyStore) -> None:
    now_ms = int(time.time() * 1_000)
    for key in store.list_keys():
        if key.created_by == key.name == _BY and key.find_fault(now_ms) is None:
            store.revoke(key.id, now_ms=now_ms, by=_BY)
