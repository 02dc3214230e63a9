"""How long a test waits between two looks at what it waits for."""

from __future__ import annotations

import time

_SECONDS, _SECONDS_MAX, _GROWS = 0.02, 0.2, 1.3


class Pauses:
    """Pauses that grow: a look at servers takes time from what is being tested, most where that takes long."""

    def __init__(self) -> None:
        self._seconds = _SECONDS

    def sleep(self) -> None:
        """Wait a little; a little longer each time, up to a fifth of a second."""
        time.sleep(self._seconds)
        self._seconds = min(self._seconds * _GROWS, _SECONDS_MAX)
