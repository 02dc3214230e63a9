"""Keeps an unreachable dependency from holding up everything else.

The API calls Redis from its event loop: a local round trip costs less than handing the call to a thread. The price is
that a server that hangs blocks the loop for one timeout. So the first failure closes the gate: until a probe, in a
thread of its own, has had an answer, every call is refused at once with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient

PROBE_SECONDS = 0.25
T = TypeVar("T")
log = get_logger(__name__)


class CircuitBreaker:
    """Lets calls through while a dependency answers."""

    def __init__(self, name: str, probe: Callable[[], None], *, probe_seconds: float = PROBE_SECONDS) -> None:
        """Start open.

        Args:
            name: of the dependency, in logs and metrics.
            probe: asks for a sign of life; raises ``Transient`` without one.
            probe_seconds: pause between two probes.
        """
        self._name = name
        self._probe = probe
        self._probe_seconds = probe_seconds
        self._reason = ""
        self._closed = threading.Event()
        self._lock = threading.Lock()
        metrics.DEPENDENCY_UP.labels(dependency=name).set(1)

    @property
    def reason(self) -> str:
        """Why calls are refused; empty while they are let through."""
        return self._reason

    def call(self, ask: Callable[[], T], *, writes: bool = False) -> T:
        """Return the answer.

        Args:
            ask: calls the dependency.
            writes: whether it does. One that answers and cannot write is not away: who only reads still may.

        Raises:
            Transient: the dependency failed now, or has not recovered from the last failure.
        """
        if self._reason:
            raise Transient(self._reason)
        try:
            return ask()
        except Transient as error:
            if not writes or error.cause == "away":
                self._shut(str(error))
            raise

    def close(self) -> None:
        """Stop probing."""
        self._closed.set()

    def _shut(self, reason: str) -> None:
        with self._lock:
            if self._reason:
                return
            self._reason = reason
        metrics.DEPENDENCY_UP.labels(dependency=self._name).set(0)
        log.warning("dependency_away", dependency=self._name, reason=reason)
        threading.Thread(target=self._wait_for_life, name=f"probe-{self._name}", daemon=True).start()

    def _wait_for_life(self) -> None:
        while not self._closed.wait(self._probe_seconds):
            metrics.DEPENDENCY_RETRIES.labels(dependency=self._name).inc()
            try:
                self._probe()
            except Transient as error:
                self._reason = str(error)
                continue
            self._reason = ""
            metrics.DEPENDENCY_UP.labels(dependency=self._name).set(1)
            log.info("dependency_back", dependency=self._name)
            return
