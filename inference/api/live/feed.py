"""Hands each decision that is read to those who watch, without waiting for any of them.

The thread that reads decisions (``inference/api/decide/listener.py``) asks whether anybody watches, and only then
decodes them all. A decision is written as JSON once, for however many want it. Each watcher has a bounded buffer; one
that does not empty it in time is cut off, and the others notice nothing.

Delivery: best effort, from when one begins to watch. What is missed is in the decision index and in the archive.

**Cost:** a decision takes one look per watcher; memory is at most ``BUFFER_BYTES_MAX`` per watcher, of bytes that they
share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol

import orjson

from weir.schemas.errors import WeirError
from weir.schemas.wanted import Wanted

WATCHERS_MAX = 128
"""Of a stream in one process. Each holds a connection, of 1,000."""
BUFFER_BYTES_MAX = 1 << 20
"""Some 1,500 decisions: three seconds of 500 a second, for a client or a network that stands still."""

End = Literal["slow", "stopping"]
"""Why a watcher is cut off: it did not read in time, or the process stops."""


class TooManyWatching(WeirError):
    """As many watch as may."""


class Watcher:
    """One who watches; belongs to the event loop that it was made in.

    Attributes:
        wanted: which decisions.
        end: why nothing more comes, once nothing does.
    """

    def __init__(self, wanted: Wanted) -> None:
        """Start with nothing; ``Live.watch`` makes one."""
        self.wanted = wanted
        self.end: End | None = None
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._held: list[bytes] = []
        self._held_bytes = 0

    async def take(self, wait_seconds: float) -> list[bytes]:
        """Return decisions as JSON, oldest first; nothing after a wait without any, or after the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                await self._news.wait()
        taken, self._held, self._held_bytes = self._held, [], 0
        if self.end is None:
            self._news.clear()
        return taken

    def hand(self, decisions: Sequence[bytes]) -> None:
        """Hand decisions over, from any thread."""
        self._call(lambda: self._hold(decisions))

    def stop(self) -> None:
        """Say that nothing more comes, from any thread."""
        self._call(lambda: self._cut("stopping"))

    def _call(self, call: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody watches any more
            self._loop.call_soon_threadsafe(call)

    def _hold(self, decisions: Sequence[bytes]) -> None:
        if self.end is not None:
            return
        self._held_bytes += sum(map(len, decisions))
        if self._held_bytes > BUFFER_BYTES_MAX:
            self._cut("slow")
            return
        self._held += decisions
        self._news.set()

    def _cut(self, end: End) -> None:
        self.end = self.end or end
        self._held, self._held_bytes = [], 0
        self._news.set()


class Feed:
    """Everybody who watches a stream in this process."""

    def __init__(self, *, watchers_max: int = WATCHERS_MAX) -> None:
        """Start with nobody."""
        self._watchers_max = watchers_max
        # replaced whole, so that the thread that reads sees one state or the other
        self._watchers: tuple[Watcher, ...] = ()
        self._is_closed = False

    @property
    def number(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def enter(self, watcher: Watcher) -> None:
        """Take a watcher in; called in the event loop.

        Raises:
            TooManyWatching: as many watch as may.
        """
        if len(self._watchers) >= self._watchers_max:
            raise TooManyWatching(f"expected at most {self._watchers_max} who watch decisions, found one more")
        self._watchers = (*self._watchers, watcher)
        if self._is_closed:
            watcher.stop()

    def leave(self, watcher: Watcher) -> None:
        """Take a watcher out; called in the event loop."""
        self._watchers = tuple(each for each in self._watchers if each is not watcher)

    def see(self, decisions: Sequence[dict[str, Any]]) -> None:
        """Hand decisions to those who want them; called by the thread that reads."""
        watchers = self._watchers
        written: dict[int, bytes] = {}
        for watcher in watchers:
            places = [place for place, each in enumerate(decisions) if watcher.wanted.takes(each)]
            for place in places:
                if place not in written:
                    written[place] = orjson.dumps(decisions[place])
            if places:
                watcher.hand([written[place] for place in places])

    def close(self) -> None:
        """End every watcher's stream, and that of each who comes later: the process stops."""
        self._is_closed = True
        for watcher in self._watchers:
            watcher.stop()


class Reads(Protocol):
    """The part of ``inference.api.decide.listener.DecisionListener`` that is used."""

    def want(self) -> bool:
        """Say that decisions are wanted; return whether they are read."""
        ...


class Live:
    """The decisions of one stream as they come."""

    def __init__(self, feed: Feed, listener: Reads) -> None:
        """Bind to who watches, and to what reads."""
        self._feed = feed
        self._listener = listener

    @property
    def number(self) -> int:
        """How many watch."""
        return self._feed.number

    def watch(self, wanted: Wanted) -> Watcher:
        """Begin to watch, in the running event loop; ``leave`` ends it.

        Raises:
            TooManyWatching: as many watch as may.
        """
        watcher = Watcher(wanted)
        self._feed.enter(watcher)
        self._listener.want()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Watch no more."""
        self._feed.leave(watcher)

    def is_reading(self) -> bool:
        """Whether decisions are being read; asking keeps the reader awake."""
        return self._listener.want()

    def close(self) -> None:
        """End every stream."""
        self._feed.close()
