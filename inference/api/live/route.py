"""``GET …/decisions/live``: decisions as server-sent events, until the client goes or is cut off.

Events are ``state`` (whether decisions are being read; first, and at each change), ``decision``, and ``end`` with the
reason before the server ends the stream. There is no replay, so events have no ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from weir.access.key import Scope as KeyScope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error
from weir.inference.api.error_document import error_answers
from weir.inference.api.filters import describe_filters, parse_filters
from weir.inference.api.live.feed import Live, TooManyWatching, Watcher
from weir.inference.api.middleware import Receive, Scope, Send
from weir.monitoring import metrics
from weir.schemas.stream import Stream

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 5.0
"""Without a decision a comment is sent as often: proxies close what is silent. A key that ends is noticed as soon."""
GATHER_SECONDS = 0.1
"""Decisions of so long go out together: nobody's eye is quicker, and a write costs more than a decision."""
_BEGIN = b"retry: 2000\n\n"
_COMMENT = b": \n\n"
_HEADERS = ((b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
"""The last one asks a proxy to pass on what comes as it comes."""


def add_live(router: APIRouter, path: str, stream: Stream, live: Live) -> None:
    """Add the path."""
    metrics.LIVE_WATCHERS.labels(stream=stream.name).set_function(lambda: live.number)

    @router.get(
        path,
        response_class=_Events,
        responses={200: _describe_events(stream), **error_answers("invalid_request", "busy")},
        summary=f"Decisions on {stream.event}s as they are made, as server-sent events",
        openapi_extra={"parameters": describe_filters(stream)} | needs(KeyScope.READ),
    )
    async def get_live_decisions(request: Request) -> Response:
        wanted = parse_filters(stream, request.query_params.multi_items())
        try:
            watcher = live.watch(wanted)
        except TooManyWatching as error:
            return answer_error(503, "busy", str(error), {"retry-after": "1"})
        is_allowed = getattr(request.state, "is_key_valid", None)
        return EventStream(live, watcher, stream.name, is_allowed or (lambda: True))


class _Events(Response):
    """Says for the document of which type the answers are."""

    media_type = MEDIA_TYPE


class EventStream(_Events):
    """An answer that ends when the client goes, or when it is cut off."""

    def __init__(self, live: Live, watcher: Watcher, stream: str, is_allowed: Callable[[], bool]) -> None:
        """Bind to one who watches already.

        Args:
            live: what is watched.
            watcher: of this client.
            stream: its name, for metrics.
            is_allowed: whether the client may still watch.
        """
        super().__init__()
        self._live = live
        self._watcher = watcher
        self._stream = stream
        self._is_allowed = is_allowed
        self._told: bool | None = None

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes."""
        gone = asyncio.create_task(_await_disconnect(receive))
        gone.add_done_callback(lambda _: self._watcher.stop())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await _send_part(send, _BEGIN + self._tell_state())
            why = await self._run(send)
            if not gone.done():
                metrics.LIVE_ENDED.labels(stream=self._stream, cause=why).inc()
                await send({"type": "http.response.body", "body": write_event("end", orjson.dumps({"why": why}))})
        finally:
            gone.cancel()
            self._live.leave(self._watcher)

    async def _run(self, send: Send) -> str:
        """Send decisions until the end; return why it is."""
        while self._watcher.end is None:
            decisions = await self._watcher.take(LOOK_SECONDS)
            if not self._is_allowed():
                return "key"
            events = [self._tell_state(), *(write_event("decision", each) for each in decisions)]
            await _send_part(send, b"".join(events) or _COMMENT)
            if decisions:
                await asyncio.sleep(GATHER_SECONDS)
        return self._watcher.end

    def _tell_state(self) -> bytes:
        reading = self._live.is_reading()
        if reading == self._told:
            return b""
        self._told = reading
        return write_event("state", orjson.dumps({"reading": reading}))


def write_event(name: str, data: bytes) -> bytes:
    r"""Return one event; the data is JSON, which has no line break.

    >>> write_event("end", b'{"why":"slow"}')
    b'event: end\ndata: {"why":"slow"}\n\n'
    """
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _await_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _describe_events(stream: Stream) -> dict[str, Any]:
    """Return the OpenAPI response: as OpenAPI 3.1 has it, the schema is that of one event."""
    texts: dict[str, Any] = {"type": "string", "contentMediaType": "application/json"}
    event = {
        "type": "object",
        "properties": {"event": {"enum": ["state", "decision", "end"]}, "data": texts},
        "required": ["event", "data"],
    }
    example = {"event": "decision", "data": orjson.dumps(examples.build_decision(stream)).decode()}
    return {
        "description": "events until the client goes",
        "content": {MEDIA_TYPE: {"schema": event, "example": example}},
    }
