"""Waits, bounded, for a dependency that may be starting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from monitoring.logs import get_logger
from schemas.errors import Transient

START_SECONDS_MAX = 60.0
_PAUSE_SECONDS = 0.5
T = TypeVar("T")
log = get_logger(__name__)


def wait_for(
    ask: Callable[[], T], should_stop: Callable[[], bool] = lambda: False, *, seconds: float = START_SECONDS_MAX
) -> T:
    """Ask until a dependency answers.

    Args:
        ask: raises ``Transient`` while it is away.
        should_stop: asked after each failure.
        seconds: for how long at most.

    Raises:
        Transient: it stayed away, or we were told to stop meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except Transient as error:
            if time.monotonic() > deadline or should_stop():
                raise
            log.info("waiting", error=str(error))
            time.sleep(_PAUSE_SECONDS)
