"""Waits until a server that was launched serves, for as long as it makes progress with what an unclean end left behind.

A broker that was killed reads its log again, a Redis its file; both say how far they are. Patience counts from the
last sign of that, so a long recovery is followed to its end and a server that hangs is given up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from weir.infra.embedded.process import ServerProcess
from weir.schemas.errors import WeirError

Tell = Callable[[str], None]
"""Called with a line about what takes long."""

READY_SECONDS_MAX = 90.0
TELL_SECONDS = 5.0
"""Between two lines about one recovery."""
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 0.5
"""Between two checks of how far a recovery is."""


class Starting(Protocol):
    """What is asked of a server that starts."""

    @property
    def name(self) -> str:
        """Its name."""

    def is_ready(self) -> bool:
        """Return whether it serves."""

    def recovery(self, output: str) -> str:
        """Return how far it is in its recovery, in words; empty when it is in none.

        Args:
            output: what it has written since its launch.
        """


def await_ready(
    server: Starting,
    process: ServerProcess,
    *,
    tell: Tell,
    given_up: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until the server serves.

    Args:
        server: which one.
        process: its process.
        tell: told how far its recovery is.
        given_up: set when another server failed, so that nobody waits for this one any more.
        clock: seconds.

    Raises:
        WeirError: it died, or did nothing that leads to its serving for too long.
    """
    started = last_sign = clock()
    seen, looked, told = "", started, started
    while not server.is_ready():
        now = clock()
        if process.find_running() is None:
            raise WeirError(f"{server.name} ended while starting; {process.launch_output()}")
        if given_up.is_set():
            raise WeirError(f"{server.name} was not waited for")
        if now - looked >= _LOOK_SECONDS:
            looked, found = now, server.recovery(process.read_launch_output())
            if found != seen:
                seen, last_sign = found, now
                if found and now - told >= TELL_SECONDS:
                    told = now
                    tell(f"{server.name}: {found}")
        if now - last_sign > READY_SECONDS_MAX:
            after = f" and stands still at: {seen}" if seen else ""
            raise WeirError(
                f"{server.name} is not ready after {now - started:.0f} s{after}; `weir down` ends it and `weir up` "
                f"starts it again; {process.launch_output()}"
            )
        time.sleep(_POLL_SECONDS)
