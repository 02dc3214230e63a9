"""What every request passes: a bound on its body, and the clock. Plain ASGI, so that it costs microseconds."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from monitoring import metrics

BODY_BYTES_MAX = 1_000_000
_LENGTH_DIGITS_MAX = 20  # of any 64-bit number

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BodyTooLarge(Exception):
    """The body passed the bound while it was read."""


class BodyLimit:
    """Answers 413 to a body over the bound, whether its length was announced or not."""

    def __init__(self, app: App, *, bytes_max: int = BODY_BYTES_MAX) -> None:
        """Wrap an application."""
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        # a length of thousands of digits is one that int() refuses
        if not announced.isdigit() or len(announced) > _LENGTH_DIGITS_MAX or int(announced) > self._bytes_max:
            await _refuse(send)
            return
        started = [False]

        async def watch(message: Message) -> None:
            started[0] = True
            await send(message)

        try:
            await self._app(scope, self._count(receive), watch)
        except BodyTooLarge:
            if started[0]:
                raise
            await _refuse(send)

    def _count(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._bytes_max:
                raise BodyTooLarge
            return message

        return counted


class Metered:
    """Times each request by its route; an id in a path never becomes a label."""

    def __init__(self, app: App) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and time it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = ["500"]

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            metrics.HTTP_REQUEST_SECONDS.labels(route=route, status=status[0]).observe(time.perf_counter() - started)


async def _refuse(send: Send) -> None:
    body = orjson.dumps(
        {"error": {"code": "body_too_large", "message": f"expected at most {BODY_BYTES_MAX} bytes of body"}}
    )
    # the rest of the body is not read, so the connection cannot serve another request
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
