"""Which process runs what: each reports it every few seconds, and ``weir inspect model`` compares it with the disk.

A champion on disk says what a process should run. What it does run differs after a replacement that was refused, on a
machine where the folder is another, and in a process that hangs.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any

from weir.inference.champion import Champion
from weir.infra.redis.client import connect
from weir.infra.redis.process_store import KEPT_SECONDS, ProcessStore
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import WeirError
from weir.streaming.dlq.letter import app_version

REPORT_SECONDS = 2.5
STALE_SECONDS = 10.0
"""Three reports missed: the process is dead, hangs, or cannot reach Redis. A thread of its own reports, so a long batch
or a rebalance keeps none back."""
log = get_logger(__name__)

Report = dict[str, Any]


def describe_running(champion: Champion, *, started_ms: int, now_ms: int) -> Report:
    """Return what a process runs now, JSON-ready."""
    manifest = champion.bundle.manifest
    return {
        "model": manifest.name,
        "version": manifest.version,
        "model_sha256": manifest.model_sha256,
        "rules_version": champion.rules_version,
        "declarations_hash": manifest.declarations_hash,  # the process's own: another bundle is not loaded
        "code_version": app_version(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_ms": started_ms,
        "seen_ms": now_ms,
    }


class Reporter:
    """Reports from a thread of its own until closed; Redis may be away for as long as it likes."""

    def __init__(self, settings: Settings, name: str, champion: Champion, *, seconds: float = REPORT_SECONDS) -> None:
        """Start.

        Args:
            settings: of the stream.
            name: of the process among all of its stream, such as ``scorer 0``.
            champion: what decides in it.
            seconds: between two reports.
        """
        self._settings = settings
        self._name = name
        self._champion = champion
        self._seconds = seconds
        self._started_ms = int(time.time() * 1_000)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._report, name="report", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the report back: a process that stopped in order is not dead."""
        self._done.set()
        self._thread.join(timeout=5)

    def _report(self) -> None:
        store: ProcessStore | None = None
        while not self._done.is_set():
            try:
                store = store or ProcessStore(connect(self._settings.redis), cluster=self._settings.key_space)
                now_ms = int(time.time() * 1_000)
                store.write(self._name, describe_running(self._champion, started_ms=self._started_ms, now_ms=now_ms))
            except WeirError as error:
                log.debug("not_reported", error=str(error))
            self._done.wait(self._seconds)
        if store is not None:
            self._take_back(store)

    def _take_back(self, store: ProcessStore) -> None:
        try:
            store.remove(self._name)
        except WeirError as error:
            log.debug("not_reported", error=str(error))


def judge_processes(
    reports: dict[str, Report], *, model_sha256: str, rules_version: str, declarations_hash: str, now_ms: int
) -> list[dict[str, Any]]:
    """Say of each process whether it is alive and runs what lies on disk; by name, the long dead left out.

    >>> reports = {"api": {"seen_ms": 0, "model_sha256": "a", "rules_version": "1"}}
    >>> judge_processes(reports, model_sha256="b", rules_version="1", declarations_hash="d", now_ms=1)[0]["state"]
    'runs another model'
    """
    rows = []
    for name, report in sorted(reports.items()):
        silent_seconds = max(0, now_ms - report["seen_ms"]) / 1_000
        if silent_seconds > KEPT_SECONDS:
            continue
        other = [
            what
            for what, key, wanted in (
                ("model", "model_sha256", model_sha256),
                ("rules or lists", "rules_version", rules_version),
                ("declarations", "declarations_hash", declarations_hash),
            )
            if report.get(key, wanted) != wanted
        ]
        state = f"runs another {' and '.join(other)}" if other else "runs what is on disk"
        if silent_seconds > STALE_SECONDS:
            state = f"dead or cut off: silent for {silent_seconds:,.0f} s; then it {state.replace('runs', 'ran', 1)}"
        rows.append({"process": name, "state": state} | report)
    return rows


def read_processes(settings: Settings, *, model_sha256: str, rules_version: str) -> list[dict[str, Any]]:
    """Read the report of every process of a stream and judge it.

    Raises:
        Transient: Redis is unreachable.
    """
    store = ProcessStore(connect(settings.redis), cluster=settings.key_space)
    now_ms = int(time.time() * 1_000)
    return judge_processes(
        store.read(),
        model_sha256=model_sha256,
        rules_version=rules_version,
        declarations_hash=settings.declarations_hash,
        now_ms=now_ms,
    )
