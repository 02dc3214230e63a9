"""What each process says it runs: one field of one hash, written by the process itself, read by people.

``weir:<cluster>:processes`` holds name -> JSON; ``<cluster>`` is ``settings.key_space``. A process that died leaves its
field behind, so that it is shown as dead and not as absent; the reader drops what nobody has written for
``KEPT_SECONDS``.

Delivery: best effort. Nothing depends on it: a Redis that is unreachable loses a report, and the next one comes.
"""

from __future__ import annotations

import json
from typing import Any

from weir.infra.redis.client import Client, transient_errors

KEPT_SECONDS = 7 * 24 * 60 * 60
"""Long enough to see after a weekend what died before it."""


class ProcessStore:
    """Reads and writes the reports of one deployment."""

    def __init__(self, client: Client, *, cluster: str) -> None:
        """Bind to a deployment's key."""
        self._client = client
        self._key = f"weir:{cluster}:processes"

    def write(self, name: str, report: dict[str, Any]) -> None:
        """Replace a process's report.

        Raises:
            Transient: Redis is unreachable.
        """
        with transient_errors("writing a process's report"):
            self._client.hset(self._key, name, json.dumps(report))
            self._client.expire(self._key, KEPT_SECONDS)

    def remove(self, name: str) -> None:
        """Forget a process: it stopped in order, or has been dead for long.

        Raises:
            Transient: Redis is unreachable.
        """
        with transient_errors("removing a process's report"):
            self._client.hdel(self._key, name)

    def read(self) -> dict[str, dict[str, Any]]:
        """Return every report by name; what is no report is left out.

        Raises:
            Transient: Redis is unreachable.
        """
        with transient_errors("reading the processes' reports"):
            found = self._client.hgetall(self._key)
        reports: dict[str, dict[str, Any]] = {}
        for name, text in found.items():
            try:
                document = json.loads(text)
            except ValueError:
                continue
            if isinstance(document, dict) and isinstance(document.get("seen_ms"), int):
                reports[name.decode("utf-8", "backslashreplace")] = document
        return reports
