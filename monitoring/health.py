"""How a process stands, as its health pages say it: noted by what looks, read by what asks, never waited for.

``/healthz``: the process is alive, and its loop turns. ``/readyz``: what it relies on is as it must be. Both answer
from memory, so an answer costs nothing and a dependency that hangs holds no request up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]

LOOK_SECONDS_MAX = 30.0
"""A check that is older says nothing any more."""
TURN_SECONDS_MAX = 120.0
"""A loop waits at most some 20 s for Redis, and a commit for its transaction's timeout: beyond, it hangs."""


@dataclass(frozen=True)
class _Note:
    level: Level
    text: str
    at: float


class Health:
    """Notes of one process; its methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet."""
        self._clock = clock
        self._lock = threading.Lock()
        self._notes: dict[str, _Note] = {}
        self._turns: dict[str, float] = {}

    def note(self, name: str, level: Level, text: str = "ok") -> None:
        """Say how something stands that the process relies on."""
        with self._lock:
            self._notes[name] = _Note(level, text, self._clock())

    def turn(self, stage: str) -> None:
        """Say that a loop has turned."""
        self._turns[stage] = self._clock()

    def checks(self) -> dict[str, tuple[Level, str]]:
        """Return how everything stands that was ever noted; a check that is too old fails."""
        now = self._clock()
        with self._lock:
            notes = dict(self._notes)
        return {name: _judge(note, now) for name, note in sorted(notes.items())}

    def is_ready(self) -> bool:
        """Return whether nothing fails, and something was looked at."""
        found = self.checks()
        return bool(found) and all(level != "fail" for level, _ in found.values())

    def hanging(self) -> list[str]:
        """Return the loops that have not turned for too long."""
        now = self._clock()
        return sorted(stage for stage, at in list(self._turns.items()) if now - at > TURN_SECONDS_MAX)


def _judge(note: _Note, now: float) -> tuple[Level, str]:
    if now - note.at > LOOK_SECONDS_MAX:
        return "fail", f"expected a check within {LOOK_SECONDS_MAX:.0f} s, found none for {now - note.at:.0f} s"
    return note.level, note.text


HEALTH = Health()
"""This process's own, as ``monitoring.metrics.REGISTRY`` is."""
