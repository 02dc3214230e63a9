"""How fast a key may ask: 429 beyond, and what is left in the headers of every answer.

The headers are those of the draft *RateLimit header fields for HTTP* (draft-ietf-httpapi-ratelimit-headers-10): a
policy ``"key";q=<burst>;w=<seconds that a burst takes>``, and ``"key";r=<remaining>;t=<seconds until the bucket is
full>``.

Redis away, or too full to count, lets requests pass uncounted, and a metric says how many: a limit protects from a
client that asks too much, and to refuse everybody while nobody can be counted would do the harm that it is against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from weir.access.key import Key
from weir.inference.api.batching import RequestBatcher
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.middleware import App, Message, Receive, Scope, Send, refuse
from weir.infra.redis.rate_limits import Limit, Taken
from weir.monitoring import metrics
from weir.schemas.errors import Transient

Asked = tuple[str, Limit]
_Headers = tuple[tuple[bytes, bytes], ...]
_POLICY = "key"


class Takes(Protocol):
    """What counts; ``infra.redis.rate_limits.RateLimits`` is the real one."""

    def take_all(self, asked: Sequence[Asked]) -> list[Taken]:
        """Take one request from each name's bucket.

        Raises:
            Transient: nothing could be counted.
        """
        ...


class Limited:
    """Answers 429 to a key that asks faster than it may; a key without a limit passes at once."""

    def __init__(self, app: App, *, limits: Takes, redis: CircuitBreaker, default: Limit | None) -> None:
        """Wrap an application.

        Args:
            app: to wrap.
            limits: counts.
            redis: guard of what it counts in.
            default: of a key that has no limit of its own.
        """
        self._app = app
        self._default = default
        self._taken: RequestBatcher[Asked, Taken] = RequestBatcher(
            lambda asked: redis.call(lambda: limits.take_all(asked), writes=True)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        key: Key | None = scope.get("state", {}).get("key")
        limit = None if key is None else find_limit(key) or self._default
        if key is None or limit is None:
            await self._app(scope, receive, send)
            return
        try:
            taken = await self._taken.ask((key.id, limit))
        except Transient:
            metrics.HTTP_RATE_UNCHECKED.inc()
            await self._app(scope, receive, send)
            return
        headers = _tell(limit, taken)
        if not taken.allowed:
            metrics.HTTP_REFUSED.labels(cause="rate").inc()
            again = (b"retry-after", str(math.ceil(taken.wait_seconds)).encode())
            await refuse(send, 429, "rate_limited", _say(limit), (again, *headers))
            return

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_told)


def find_limit(key: Key) -> Limit | None:
    """Return a key's own limit."""
    return None if key.rate_per_second is None or key.burst is None else Limit(key.rate_per_second, key.burst)


def _tell(limit: Limit, taken: Taken) -> _Headers:
    """Return the headers.

    >>> [value.decode() for _, value in _tell(Limit(10, 5), Taken(True, 0.0, 3, 0.2))]
    ['"key";q=5;w=1', '"key";r=3;t=1']
    """
    window = math.ceil(limit.burst / limit.rate_per_second)
    return (
        (b"ratelimit-policy", f'"{_POLICY}";q={limit.burst};w={window}'.encode()),
        (b"ratelimit", f'"{_POLICY}";r={taken.remaining};t={math.ceil(taken.full_seconds)}'.encode()),
    )


def _say(limit: Limit) -> str:
    return f"expected at most {limit.rate_per_second:g} requests a second of this key, and {limit.burst} at once"
