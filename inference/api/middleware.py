"""What every request passes: its id, the clock, and bounds on who asks and how much. Plain ASGI: it costs microseconds.

From the outside in: ``Heads``, ``Watched``, ``Paths``, ``Hosts`` or, where keys are required, ``Audited``
(``inference/api/audited.py``), ``Keyed`` (``inference/api/access.py``) and ``Limited`` (``inference/api/limited.py``),
then ``Crowded`` and ``BodyLimit``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect

from weir.inference.api.web.errors import PROBLEM, error_body, name_as_json
from weir.inference.api.web.request_id import HEADER, read_request_id
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.monitoring.request_id import REQUEST_ID

BODY_BYTES_MAX = 1_000_000
_LENGTH_DIGITS_MAX = 20  # of any 64-bit number
_ERRORS_FROM = 400
_PROBLEM = PROBLEM.encode()
_CLIENT_GONE = "499"
"""In metrics alone: the client went away before it had its answer. There is no such status; proxies count it so."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
log = get_logger(__name__)


class BodyTooLarge(Exception):
    """The body passed the bound while it was read."""


class Watched:
    """Times each request by its route, gives it an id, names its error's media type, and answers for an error of ours.

    An id in a path never becomes a label. A client that goes away is no error: nothing is logged above debug.
    """

    def __init__(self, app: App, *, plain_errors: bool) -> None:
        """Wrap an application.

        Args:
            app: to wrap.
            plain_errors: whether an error is called ``application/json`` where the client does not ask for
                ``application/problem+json``: clients of before look at the type.
        """
        self._app = app
        self._plain_errors = plain_errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and watch it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = read_request_id(find_header(scope, HEADER))
        REQUEST_ID.set(request_id)  # of this request's own task
        status, seconds = "", 0.0

        async def watch(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                # until the answer begins: one that is a stream of events has no end
                status, seconds = str(message["status"]), time.perf_counter() - started
                headers = message.get("headers", ())
                if message["status"] >= _ERRORS_FROM and self._plain_errors and not _wants_problem(scope):
                    headers = name_as_json(headers)
                message["headers"] = [*headers, (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            status, seconds = _CLIENT_GONE, time.perf_counter() - started
        except Exception:
            log.exception("request_failed", route=_route(scope))
            if status:
                raise  # part of an answer is sent: the connection has to close
            await refuse(watch, 500, "internal", "an error of the server, logged under this answer's x-request-id")
        metrics.HTTP_REQUEST_SECONDS.labels(route=_route(scope), status=status).observe(seconds)
        key = scope.get("state", {}).get("key")
        named = {} if key is None else {"key": key.id}
        log.debug("request", route=_route(scope), status=status, seconds=round(seconds, 6), **named)


class Heads:
    """Answers HEAD as GET, without the body: load balancers and monitors ask so."""

    def __init__(self, app: App) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                ended = True  # also of an answer that has no end, which the server then tells that its client is gone
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class Paths:
    """Refuses a path that is no UTF-8: with its bytes replaced, another id would be looked up."""

    def __init__(self, app: App) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and b"%" in (raw := scope.get("raw_path") or b""):
            try:
                unquote_to_bytes(raw).decode()
            except UnicodeDecodeError:
                await refuse(send, 422, "invalid_request", "path: expected UTF-8 text, found bytes that are none")
                return
        await self._app(scope, receive, send)


class Hosts:
    """Answers names of this machine alone: a page in a browser must not reach us under a name of its own."""

    def __init__(self, app: App, *, allowed: frozenset[str]) -> None:
        """Wrap an application."""
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or hosts[0].decode("latin-1").rsplit(":", 1)[0].lower() not in self._allowed:
                expected = " or ".join(sorted(self._allowed))
                await refuse(send, 400, "unknown_host", f"expected one host header, {expected} with or without a port")
                return
        await self._app(scope, receive, send)


class Crowded:
    """Answers health checks alone while more ask than may: 503 for everything else."""

    def __init__(self, app: App, *, is_full: Callable[[], bool], always: frozenset[str]) -> None:
        """Wrap an application.

        Args:
            app: to wrap.
            is_full: asked at each request.
            always: paths that are answered all the same.
        """
        self._app = app
        self._is_full = is_full
        self._always = always

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and self._is_full() and scope["path"] not in self._always:
            await refuse(send, 503, "busy", "expected fewer requests at a time", ((b"retry-after", b"1"),))
            return
        await self._app(scope, receive, send)


class BodyLimit:
    """Answers 413 to a body over the bound, whether its length was announced or not."""

    def __init__(
        self, app: App, *, bytes_max: int = BODY_BYTES_MAX, more: Callable[[Scope], int] = lambda _: 0
    ) -> None:
        """Wrap an application.

        Args:
            app: to wrap.
            bytes_max: of a body.
            more: returns the bound of a request whose body may be larger.
        """
        self._app = app
        self._bytes_max = bytes_max
        self._more = more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bytes_max = max(self._bytes_max, self._more(scope))
        announced = find_header(scope, b"content-length") or b"0"
        # a length of thousands of digits is one that int() refuses
        if not announced.isdigit() or len(announced) > _LENGTH_DIGITS_MAX or int(announced) > bytes_max:
            await self._refuse(send, bytes_max)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, self._count(receive, bytes_max), watch)
        except BodyTooLarge:
            if started:
                raise
            await self._refuse(send, bytes_max)

    async def _refuse(self, send: Send, bytes_max: int) -> None:
        message = f"expected at most {bytes_max} bytes of body"
        # the rest of the body is not read, so the connection cannot serve another request
        await refuse(send, 413, "body_too_large", message, ((b"connection", b"close"),))

    def _count(self, receive: Receive, bytes_max: int) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > bytes_max:
                raise BodyTooLarge
            return message

        return counted


def find_header(scope: Scope, wanted: bytes) -> bytes | None:
    """Return the first header of a name in small letters."""
    return next((value for name, value in scope["headers"] if name == wanted), None)


def _wants_problem(scope: Scope) -> bool:
    return any(_PROBLEM in value for name, value in scope["headers"] if name == b"accept")


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


async def refuse(
    send: Send, status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answer with an error of the one shape."""
    body = error_body(status, code, message)
    head = [(b"content-type", _PROBLEM), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
