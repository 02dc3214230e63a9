"""Notes each call in the audit log: one record after it, and for a change of what people decide one before it too.

``Audited`` is around everything that knows who asks, so that it sees refusals too. A change waits, once its route and
its right are known and before it is made, until its intent is written (``begin_change``); else it is refused.

A request without a valid key has nobody to name, and anybody can send a million of them. So few a second are noted, and
the rest are counted by ``weir_http_refused_total`` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from fastapi import Request

from weir.access.key import Scope as KeyScope
from weir.inference.api.middleware import App, Message, Receive, Scope, Send
from weir.inference.api.web.request_id import HEADER
from weir.monitoring.request_id import REQUEST_ID
from weir.schemas.audit import GIVEN, AuditRecord, Phase

CHANGES = frozenset({KeyScope.REVIEW, KeyScope.RULES, KeyScope.ADMIN})
"""Scopes whose routes change what people decide, unless they only read. An event that a producer may send through the
API is in the stream's own log, and a call like any other here."""
STRANGERS_A_SECOND = 10
_INTERNAL = 500
_UNAUTHORIZED = 401


class Writes(Protocol):
    """What records are handed to; ``access.audit.log.AuditLog`` is the real one."""

    def note(self, record: AuditRecord) -> None:
        """Take a record, without waiting."""
        ...

    async def write(self, record: AuditRecord) -> None:
        """Write a record, and wait until it is.

        Raises:
            NotAudited: it is not.
        """
        ...


def is_change(scope: str, method: str) -> bool:
    """Whether a route of a scope changes what people decide.

    >>> is_change("review", "POST"), is_change("score", "POST"), is_change("admin", "GET")
    (True, False, False)
    """
    return method not in {"GET", "HEAD"} and scope in CHANGES


class Audited:
    """Notes each call but the health checks."""

    def __init__(
        self,
        app: App,
        *,
        audit: Writes,
        stream_of: Callable[[str], str | None],
        unnoted: frozenset[str],
        now_ms: Callable[[], int],
    ) -> None:
        """Wrap an application.

        Args:
            app: to wrap.
            audit: takes records.
            stream_of: the stream that a path is of, of those that are served.
            unnoted: paths that are not noted.
            now_ms: UTC epoch ms.
        """
        self._app = app
        self._audit = audit
        self._stream_of = stream_of
        self._unnoted = unnoted
        self._now_ms = now_ms
        self._second, self._strangers = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note it when its answer begins."""
        if scope["type"] != "http" or scope["path"] in self._unnoted:
            await self._app(scope, receive, send)
            return
        time_ms, began = self._now_ms(), time.perf_counter()
        noted = False

        def note(status: int) -> None:
            nonlocal noted
            noted = True
            if status != _UNAUTHORIZED or self._may_note_stranger(time_ms):
                micros = int((time.perf_counter() - began) * 1_000_000)
                self._audit.note(self._build(scope, time_ms, status, micros))

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        # for a change, which is noted before it is made
        scope.setdefault("state", {})["call"] = lambda: self._build(scope, time_ms, 0, 0)
        try:
            await self._app(scope, receive, watch)
        except Exception:
            if not noted:
                note(_INTERNAL)
            raise
        if not noted:
            note(0)

    def _build(self, scope: Scope, time_ms: int, status: int, micros: int) -> AuditRecord:
        state: Mapping[str, Any] = scope["state"]
        key, client = state.get("key"), scope.get("client")
        return AuditRecord(
            phase=Phase.RESULT if state.get("is_change") else Phase.CALL,
            time_ms=time_ms,
            request_id=_mark_given(scope, REQUEST_ID.get()),
            key_id="" if key is None else key.id,
            address=client[0] if client else "",
            method=scope["method"],
            route=getattr(scope.get("route"), "path", "").replace(":path", ""),
            stream="" if key is None else state.get("stream") or self._stream_of(scope["path"]) or "",
            about=state.get("about") or _read_about(scope.get("path_params") or {}),
            status=status,
            micros=micros,
        )

    def _may_note_stranger(self, time_ms: int) -> bool:
        second = time_ms // 1_000
        if second != self._second:
            self._second, self._strangers = second, 0
        self._strangers += 1
        return self._strangers <= STRANGERS_A_SECOND


async def begin_change(request: Request, audit: Writes) -> None:
    """Write that a change is about to be made.

    Raises:
        NotAudited: it cannot be written.
    """
    request.state.is_change = True
    await audit.write(replace(request.state.call(), phase=Phase.INTENT))


def note_about(request: Request, event_id: str, *, stream: str = "") -> None:
    """Say which event a request is about whose path does not, and of which stream where the path is of none."""
    request.state.about = event_id
    request.state.stream = stream


def _mark_given(scope: Scope, request_id: str) -> str:
    """Return the id of a request, marked where the client gave it."""
    given = any(name == HEADER and value == request_id.encode() for name, value in scope["headers"])
    return f"{GIVEN}{request_id}" if given else request_id


def _read_about(parameters: Mapping[str, str]) -> str:
    """Return what names the subject of a path: an entity with its kind, or the one id that there is.

    >>> _read_about({"entity": "card", "entity_id": "c1"}), _read_about({"case_id": "5f"}), _read_about({})
    ('card=c1', '5f', '')
    """
    return "=".join(parameters.values())
