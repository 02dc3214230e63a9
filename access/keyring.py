"""The keys as a serving process knows them: in memory, looked at again every few seconds, whether or not anybody asks.

No request waits for the database. While it is unreachable the keys last seen count, and a key that was revoked
meanwhile is found when it is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from hmac import compare_digest

from weir.access.key import Key, hash_text, read_id
from weir.access.store import KeyStore
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient

LOOK_SECONDS = 2.0
"""A key that is made or revoked counts at most so much later."""
NOTE_SECONDS = 60.0
"""How often the last uses are written; what a process that is killed used since then is not noted."""
CLOSE_SECONDS = 10.0
_DATABASE = "database"
log = get_logger(__name__)


class Keyring:
    """Finds the key to a text."""

    def __init__(self, store: KeyStore, now_ms: Callable[[], int], *, look_seconds: float = LOOK_SECONDS) -> None:
        """Read the keys, and read them again in a thread until closed.

        Raises:
            Transient: the database is unreachable at the start.
        """
        self._store = store
        self._now_ms = now_ms
        self._look_seconds = look_seconds
        self._keys = {key.id: key for key in store.list_keys()}
        self._used_ms: dict[str, int] = {}
        self._stop = threading.Event()
        self._noted = time.monotonic()
        self._thread = threading.Thread(target=self._follow, name="keyring", daemon=True)
        self._thread.start()

    @property
    def is_empty(self) -> bool:
        """Whether no key is valid just now."""
        now_ms = self._now_ms()
        return all(key.find_fault(now_ms) for key in self._keys.values())

    def find(self, text: str) -> Key | None:
        """Return the valid key with a text, or nothing."""
        key = self._keys.get(read_id(text) or "")
        if key is None or not compare_digest(key.hash, hash_text(text)):
            return None
        now_ms = self._now_ms()
        if key.find_fault(now_ms):
            return None
        self._used_ms[key.id] = now_ms
        return key

    def close(self) -> None:
        """Stop following, note the last uses, disconnect."""
        self._stop.set()
        self._thread.join(CLOSE_SECONDS)
        self._note_used()
        self._store.close()

    def _follow(self) -> None:
        while not self._stop.wait(self._look_seconds):
            self._look()
            if time.monotonic() - self._noted > NOTE_SECONDS:
                self._note_used()

    def _look(self) -> None:
        """Read the keys. Whatever goes wrong is told, and the next look comes: a revocation must not go unseen."""
        up = metrics.DEPENDENCY_UP.labels(dependency=_DATABASE)
        try:
            self._keys = {key.id: key for key in self._store.list_keys()}
            up.set(1)
        except Transient as error:
            up.set(0)
            log.warning("keys_not_read", reason=str(error))
        except Exception:
            up.set(0)
            log.exception("keys_not_read")
        metrics.LAST_LOOK.labels(dependency=_DATABASE).set(time.time())

    def _note_used(self) -> None:
        """Write the last uses. They come second: a database that takes no writes still says what is revoked."""
        used, self._used_ms = self._used_ms, {}
        self._noted = time.monotonic()
        try:
            self._store.note_used(dict(used))
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("key_uses_not_noted", reason=str(error))
