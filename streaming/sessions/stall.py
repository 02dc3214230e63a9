"""Says when an agent stands still: Faust stops reading now and then after a restart, without an error or a line."""

from __future__ import annotations


class Stall:
    """Notes how much was answered, and for how long nothing was though something waited."""

    def __init__(self, seconds: float) -> None:
        """Take how long that may be."""
        self._seconds = seconds
        self._answered, self._since = -1, 0.0

    def note(self, answered: int, *, waits: bool, now: float) -> bool:
        """Return whether it is stalled.

        Args:
            answered: so far; any number that grows with it.
            waits: whether something is to be answered.
            now: seconds of a clock that only grows.

        >>> stall = Stall(20.0)
        >>> [stall.note(7, waits=True, now=now) for now in (0.0, 19.0, 20.0)]
        [False, False, True]
        """
        if answered != self._answered or not waits:
            self._answered, self._since = answered, now
        return now - self._since >= self._seconds
