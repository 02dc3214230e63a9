"""Trials on the past for a process that serves: what is to be published is tried, and refused if it goes too far.

One trial of a stream runs at a time, and a request waits for it for a bounded time: asked again with the same text, it
finds the trial further on, or done. What was tried counts for ten minutes; otherwise it is tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from weir.inference.published.act import Kind
from weir.inference.published.author import may_publish
from weir.inference.published.gate import Trial, TryText
from weir.inference.published.opened import WAIT_SECONDS
from weir.inference.published.publish import Publisher
from weir.schemas.errors import Transient, WeirError

TRIED_SECONDS_MAX = 600.0


class NotPassed(Exception):
    """What is not published without a force; the message says what the trial found."""


@dataclass
class _Running:
    """A trial of a text of a kind; ``found`` once it is done."""

    tried: tuple[Kind, str, str]
    began: float
    done: threading.Event = field(default_factory=threading.Event)
    found: Trial | None = None


class Trials:
    """The trials of a stream, which its desks share."""

    def __init__(
        self, stream: str, try_text: TryText | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Try nothing yet.

        Args:
            stream: its name.
            try_text: tries a text on the past; None in an installation that has no archive.
            monotonic: seconds on a clock that only rises.
        """
        self._stream = stream
        self._try_text = try_text
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._trial: _Running | None = None

    def wait(self, kind: Kind, text: str, before: str, *, content: str = "") -> Trial | None:
        """Return what a trial came to, or nothing while it runs.

        Args:
            kind: of what is to be published.
            text: see ``gate.TryText``.
            before: likewise.
            content: next to which alone the trial counts.

        Raises:
            Transient: another text is being tried.
        """
        if self._try_text is None:
            return Trial(note="this installation has no archive")
        tried = kind, text, content
        with self._lock:
            running = self._trial
            if running is None or running.tried != tried or self._is_old(running):
                if running is not None and not running.done.is_set():
                    raise Transient("expected no other trial, found one of another text; ask again when it is done")
                running = self._trial = _Running(tried, self._monotonic())
                arguments = running, self._try_text, before
                threading.Thread(target=self._run, args=arguments, name="trial", daemon=True).start()
        running.done.wait(WAIT_SECONDS)
        return running.found

    def forget(self) -> None:
        """Let what was tried count no longer: it is published."""
        with self._lock:
            if self._trial is not None and self._trial.done.is_set():
                self._trial = None

    def _is_old(self, running: _Running) -> bool:
        return running.done.is_set() and self._monotonic() - running.began > TRIED_SECONDS_MAX

    def _run(self, running: _Running, try_text: TryText, before: str) -> None:
        kind, text, _ = running.tried
        try:
            running.found = try_text(self._stream, kind, text, before)
        except WeirError as error:  # what was not tried to its end passes nothing
            running.found = Trial(failed=(("trial", f"not tried on the past: {error}"),))
        finally:
            running.found = running.found or Trial(failed=(("trial", "not tried on the past: it broke off"),))
            running.done.set()


def check_passed(publisher: Publisher, trial: Trial, force: str) -> None:
    """Look whether what was tried may be published; where it is forced, that is recorded in the reason.

    Raises:
        NotPassed: it goes too far, and nothing forces it.
        Refused: the reason becomes too long.
    """
    if not may_publish(publisher, [name for name, _ in trial.failed], force):
        raise NotPassed("; ".join(found for _, found in trial.failed))
