"""Looks at what a process relies on, every few seconds, in threads of its own, and says what it found.

Each dependency has its own thread: one that hangs delays no check of another, nor the loop. What was found goes to the
metrics (``weir_dependency_up``, ``weir_check_level``), to the health pages (``monitoring/health.py``) and, when it
changes, to the log: one line as something breaks and one as it is well again.

Cost: a few requests every ``LOOK_SECONDS``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from weir.infra.findings import Finding, Level, worst
from weir.monitoring import metrics
from weir.monitoring.health import HEALTH, Health
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Refused, Transient

LOOK_SECONDS = 4.0
"""A fault is seen within 10 s, with the time that a check may take."""
LEVELS: dict[Level, int] = {"ok": 0, "warn": 1, "fail": 2}
"""As the metric says it."""
log = get_logger(__name__)

Look = Callable[[], Sequence[Finding]]
"""Returns how a dependency stands; ``Transient`` says that it is unreachable, ``Refused`` that it lets nobody in."""


@dataclass
class _Seen:
    """What the last check of one dependency found."""

    up: bool = True
    levels: dict[str, Level] = field(default_factory=dict)


class Watch:
    """Runs looks until it is closed."""

    def __init__(
        self,
        looks: Mapping[str, Look],
        *,
        health: Health = HEALTH,
        every_seconds: float = LOOK_SECONDS,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Bind to what is looked at; ``start`` begins.

        Args:
            looks: by the name of the dependency.
            health: where the health pages read.
            every_seconds: pause between two checks of one dependency.
            on_close: disconnects what the looks use.
        """
        self._looks = looks
        self._health = health
        self._every_seconds = every_seconds
        self._seen = {name: _Seen() for name in looks}
        self._closed = threading.Event()
        self._on_close = on_close

    def start(self) -> Watch:
        """Begin, each dependency in a daemon thread."""
        for name in self._looks:
            threading.Thread(target=self._run, args=(name,), name=f"watch-{name}", daemon=True).start()
        return self

    def close(self) -> None:
        """Look no more; a check under way is left to end, and what it finds is not said."""
        self._closed.set()
        self._on_close()

    def look(self, name: str) -> None:
        """Look at one dependency once and say what was found."""
        away: str | None = None
        findings: Sequence[Finding] = []
        try:
            findings = self._looks[name]()
        except Transient as error:
            away = str(error)
        except Refused as error:
            findings = [Finding(name, "fail", str(error))]
        except Exception as error:
            away = f"could not be looked at: {type(error).__name__}"
            if not self._closed.is_set():
                log.exception("look_failed", dependency=name)
        if self._closed.is_set():
            return
        if away is not None:
            self._note_away(name, away)
        else:
            self._note(name, findings)
        metrics.LAST_LOOK.labels(dependency=name).set(time.time())

    def _run(self, name: str) -> None:
        while not self._closed.is_set():
            self.look(name)
            self._closed.wait(self._every_seconds)

    def _note_away(self, name: str, reason: str) -> None:
        seen = self._seen[name]
        metrics.DEPENDENCY_UP.labels(dependency=name).set(0)
        self._health.note(name, "fail", reason)
        if seen.up:
            log.warning("dependency_away", dependency=name, reason=reason)
        seen.up = False

    def _note(self, name: str, findings: Sequence[Finding]) -> None:
        seen = self._seen[name]
        metrics.DEPENDENCY_UP.labels(dependency=name).set(1)
        if not seen.up:
            log.info("dependency_back", dependency=name)
        seen.up = True
        bad = [finding for finding in findings if not finding.well]
        # a process that serves other streams is ready; the metrics and the log say the fault as it is
        ready = [replace(finding, level="warn") if finding.of_some else finding for finding in findings]
        self._health.note(name, worst(ready), "; ".join(map(str, bad)) or "ok")
        for check in dict.fromkeys(finding.check for finding in findings):
            part = [finding for finding in findings if finding.check == check]
            level = worst(part)
            metrics.CHECK_LEVEL.labels(check=check).set(LEVELS[level])
            if level != seen.levels.get(check, "ok"):
                _tell(name, check, level, [str(finding) for finding in part if not finding.well])
            seen.levels[check] = level


def _tell(name: str, check: str, level: Level, found: list[str]) -> None:
    if level == "ok":
        log.info("check_passes", dependency=name, check=check)
    elif level == "warn":
        log.warning("check_warns", dependency=name, check=check, found=found)
    else:
        log.error("check_fails", dependency=name, check=check, found=found)
