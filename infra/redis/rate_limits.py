"""Rate limits in Redis, shared by every process that asks: the generic cell rate algorithm (GCRA) in one round trip.

What is kept of a name is one number, its *theoretical arrival time*: when its bucket will be full again. A request
moves it on by the interval between two requests, and is refused where that would be further ahead than a burst takes::

    weir:<space>:rate:1:<name>     microseconds since 1970; expires when the bucket is full

The clock is the server's own, so processes whose clocks differ share a limit. A refused request moves nothing: who asks
too fast is served at the rate, and not locked out.

**Cost:** one command a request, and one round trip for all that are asked for together.
Delivery: at most once. A reply that is lost may have taken one request from the bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from weir.infra.redis.client import Client, ask_servers, transient_errors

_MICROSECONDS = 1_000_000
_TAKE = """
local interval, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local ahead = full + interval - now
if ahead > room then return {0, ahead - room, full - now} end
redis.call('SET', KEYS[1], string.format('%.0f', full + interval), 'PX', math.ceil(ahead / 1000))
return {1, 0, ahead}
"""


class Limit(NamedTuple):
    """How fast somebody may ask: so many a second on average, and so many at once after a pause."""

    rate_per_second: float
    burst: int


class Taken(NamedTuple):
    """What is said of one request.

    Attributes:
        allowed: whether it may pass.
        wait_seconds: until the next one may, if this one may not; 0 otherwise.
        remaining: how many more may pass at once.
        full_seconds: until as many as a burst has may.
    """

    allowed: bool
    wait_seconds: float
    remaining: int
    full_seconds: float


class RateLimits:
    """Counts what names take."""

    def __init__(self, client: Client, *, space: str) -> None:
        """Bind to a server.

        Args:
            client: from ``connect``.
            space: of the deployment; see ``Settings.cluster``.
        """
        self._client = client
        self._space = space

    def take_all(self, asked: Sequence[tuple[str, Limit]]) -> list[Taken]:
        """Take one request from each name's bucket, and return what is said of each, in order.

        Raises:
            Transient: Redis is unreachable, or refuses to write.
        """
        found: dict[int, Taken] = {}

        def ask(server: Any, part: list[int]) -> None:
            pipeline = server.pipeline(transaction=False)
            for place in part:
                name, limit = asked[place]
                interval, room = _measure(limit)
                # the text and not its hash: a server that was started again has no scripts, and this one is short
                pipeline.eval(_TAKE, 1, self._key(name), interval, room)
            for place, reply in zip(part, pipeline.execute(), strict=True):
                found[place] = _read(reply, asked[place][1])

        with transient_errors("counting requests"):
            ask_servers(self._client, range(len(asked)), key_of=lambda place: self._key(asked[place][0]), ask=ask)
        return [found[place] for place in range(len(asked))]

    def _key(self, name: str) -> str:
        return f"weir:{self._space}:rate:1:{name}"


def _measure(limit: Limit) -> tuple[int, int]:
    """Return microseconds between two requests, and those of a burst.

    >>> _measure(Limit(rate_per_second=10, burst=5))
    (100000, 500000)
    """
    interval = max(round(_MICROSECONDS / limit.rate_per_second), 1)
    return interval, interval * limit.burst


def _read(reply: Sequence[int], limit: Limit) -> Taken:
    """Return what a reply says.

    >>> _read([1, 0, 200_000], Limit(rate_per_second=10, burst=5))
    Taken(allowed=True, wait_seconds=0.0, remaining=3, full_seconds=0.2)
    """
    allowed, wait, ahead = reply
    interval, room = _measure(limit)
    return Taken(bool(allowed), wait / _MICROSECONDS, max(room - ahead, 0) // interval, ahead / _MICROSECONDS)
