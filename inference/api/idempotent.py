"""``Idempotency-Key``: a POST that is sent again gets the answer that it got, instead of being done again.

As the draft *The Idempotency-Key HTTP Header Field* has it (draft-ietf-httpapi-idempotency-key-header-07): 400 for a
key that is none, 422 for a key that was used with another request, 409 while the first is being answered. Kept are
answers that are final, for 24 hours, for each API key by itself. An answer that asks to be asked again (202, 429, 503)
is not kept, so that ``POST …/decide`` without a decision yet is asked for it by the same request.

1. *Read* the body, whole: it is part of the fingerprint.
2. *Begin*: the name is pending, or the answer stands there.
3. *Answer*, held back until it is kept: who has seen it is given it again.
4. *Finish*: keep it, or forget that the name was begun.

Redis away refuses the request before anything is done. Away between 2 and 4, the answer is given and not kept: the
same again is 409 for two minutes, and is then done again. An event is decided once all the same, by its own id.

An upload takes no such key: its body is as large as a disk, and nothing is lost where it is sent twice.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import Protocol

import orjson
from starlette.requests import ClientDisconnect

from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.middleware import App, Message, Receive, Scope, Send, find_header, refuse
from weir.inference.api.uploads.receiving import is_upload
from weir.infra.redis.kept_answers import Found, Request
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient

HEADER = b"idempotency-key"
_NAME = re.compile(rb'"?([!#-\[\]-~]{1,128})"?')
"""A string of the draft's syntax, or the same without its quotes: most clients send it so."""
_FINAL = frozenset({200, 201, 409, 422})
_TOKEN_BYTES = 16
_AGAIN = ((b"retry-after", b"1"),)
_REPLAYED = (b"idempotency-replayed", b"true")
log = get_logger(__name__)


class Keeps(Protocol):
    """What keeps answers; ``infra.redis.kept_answers.KeptAnswers`` is the real one."""

    def begin(self, request: Request) -> Found:
        """Make a name pending, or say what is under it.

        Raises:
            Transient: nothing can be kept.
        """
        ...

    def finish(self, request: Request, answer: bytes | None) -> None:
        """Keep an answer, or forget the name.

        Raises:
            Transient: nothing can be kept.
        """
        ...


class Idempotent:
    """Gives the kept answer to a POST whose idempotency key was used before; other requests pass at once."""

    def __init__(self, app: App, *, kept: Keeps, redis: CircuitBreaker) -> None:
        """Wrap an application.

        Args:
            app: to wrap, which reads a bounded body.
            kept: keeps answers.
            redis: guard of where they are kept.
        """
        self._app = app
        self._kept = kept
        self._redis = redis

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, from what is kept or by the application."""
        given = find_header(scope, HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        if given is None:
            await self._app(scope, receive, send)
            return
        if is_upload(scope):
            expected = "expected no idempotency key with a file, whose body is not read at once"
            await refuse(send, 400, "invalid_idempotency_key", expected)
            return
        name = _NAME.fullmatch(given)
        if name is None:
            expected = "expected an idempotency key of 1 to 128 printable ASCII characters without spaces"
            await refuse(send, 400, "invalid_idempotency_key", expected)
            return
        body = await _read_body(receive)
        key = scope.get("state", {}).get("key")
        request = Request(
            "" if key is None else key.id, name[1].decode(), _sum(scope, body), secrets.token_bytes(_TOKEN_BYTES)
        )
        try:
            found = self._redis.call(lambda: self._kept.begin(request), writes=True)
        except Transient as error:
            await refuse(send, 503, "unavailable", f"{error}; nothing was done", _AGAIN)
            return
        if found.state == "begun":
            await self._answer(scope, body, receive, send, request)
        else:
            await _tell(found, send)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send, request: Request) -> None:
        """Have the application answer, keep what it says if it is final, and pass it on."""
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        kept: bytes | None = None
        try:
            await self._app(scope, _replay(body, receive), hold)
            kept = _pack(held)
        finally:
            self._finish(request, kept)
        for message in held:
            await send(message)

    def _finish(self, request: Request, kept: bytes | None) -> None:
        try:
            self._redis.call(lambda: self._kept.finish(request, kept), writes=True)
        except Transient as error:
            metrics.HTTP_ANSWERS_NOT_KEPT.inc()
            log.warning("answer_not_kept", reason=str(error))


async def _tell(found: Found, send: Send) -> None:
    if found.state == "answered":
        await _send_kept(found.answer, send)
    elif found.state == "pending":
        message = "expected the first request with this idempotency key to be answered, found it still being answered"
        await refuse(send, 409, "request_in_flight", message, _AGAIN)
    elif found.state == "other":
        message = "expected the request that this idempotency key was used with, found another"
        await refuse(send, 422, "idempotency_key_reused", message)
    else:
        message = "expected fewer bytes of answers that are kept for this key's idempotency keys; nothing was done"
        await refuse(send, 429, "rate_limited", message, ((b"retry-after", str(found.wait_seconds).encode()),))


async def _read_body(receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        ClientDisconnect: the client has gone.
    """
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body that was read, and then what comes after it."""
    read = False

    async def receive_again() -> Message:
        nonlocal read
        if read:
            return await receive()
        read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _sum(scope: Scope, body: bytes) -> bytes:
    """Return the fingerprint: of path, query, what the body is said to be, and the body."""
    found = sha256()
    for part in (scope["path"].encode(), scope["query_string"], find_header(scope, b"content-type") or b"", body):
        found.update(len(part).to_bytes(8, "big") + part)
    return found.digest()


def _pack(held: list[Message]) -> bytes | None:
    """Return an answer as it is kept, or nothing for one that is not final."""
    start, *rest = held
    if start["status"] not in _FINAL:
        return None
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
    head = orjson.dumps([start["status"], headers])
    return head + b"\n" + b"".join(message.get("body", b"") for message in rest)


async def _send_kept(answer: bytes, send: Send) -> None:
    head, _, body = answer.partition(b"\n")
    status, named = orjson.loads(head)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, _REPLAYED]})
    await send({"type": "http.response.body", "body": body})
