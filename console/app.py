"""The console as an application. Wiring is in ``console/serve.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.console.api import Api, ApiAway, NoAccess
from weir.console.guard import Bound, Forged, Guard, LoggedOut
from weir.console.pages import (
    around,
    audit,
    case,
    catalogue,
    entity,
    keys,
    letters,
    lists,
    live,
    login,
    models,
    quality,
    queue,
    rules,
    search,
    static,
    transaction,
    uploads,
)
from weir.console.pages.site import Site
from weir.console.view import View, link
from weir.inference.api.middleware import BodyLimit, Heads, Hosts, Watched
from weir.schemas.stream import Stream

BODY_BYTES_MAX = 400_000
"""Of a form: its longest text is that of rules, and a character may take three bytes."""


@dataclass(frozen=True)
class ConsoleParts:
    """What the console stands on.

    Attributes:
        streams: that are shown, by name; the first one first.
        hosts: names that it is asked by; none for any.
        now_ms: the clock.
    """

    api: Api
    guard: Guard
    streams: Mapping[str, Stream]
    hosts: frozenset[str]
    now_ms: Callable[[], int]


def build_console(parts: ConsoleParts) -> FastAPI:
    """Return the application."""
    app = FastAPI(title="Weir console", openapi_url=None, redirect_slashes=False)
    # from the inside out
    app.add_middleware(BodyLimit, bytes_max=BODY_BYTES_MAX, more=uploads.find_bytes_max)
    if parts.hosts:
        app.add_middleware(Hosts, allowed=parts.hosts)
    app.add_middleware(Watched, plain_errors=False)
    app.add_middleware(Bound)
    app.add_middleware(Heads)
    view = View(parts.streams, parts.guard.sessions, parts.now_ms)
    site = Site(parts.api, parts.guard, view, parts.streams)
    for page in (
        static, login, queue, case, transaction, entity, search, live, rules, lists, models, quality, letters,
        catalogue, keys, audit, uploads, around,
    ):  # fmt: skip
        page.add(app, site)
    _add_error_pages(app, site)
    return app


def _add_error_pages(app: FastAPI, site: Site) -> None:
    def handle(kind: type[Exception], answer: Callable[[Request, Any], Response]) -> None:
        async def handler(request: Request, error: Exception) -> Response:
            return answer(request, error)

        app.add_exception_handler(kind, handler)

    handle(LoggedOut, lambda request, _: _send_to_login(request))
    handle(Forged, lambda request, _: site.show_error(request, 403, _FORGED))
    handle(NoAccess, lambda request, error: site.show_error(request, 403, str(error)))
    handle(ApiAway, lambda request, error: site.show_error(request, 503, str(error)))
    handle(HTTPException, lambda request, error: site.show_error(request, error.status_code, str(error.detail)))


_FORGED = "expected a form of this session, found another; open the page again and send it once more"


def _send_to_login(request: Request) -> Response:
    """Ask for a key, then lead back; a part of a page that refreshes itself sends the whole page there."""
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"hx-redirect": link("/login", ended="1")})
    if "text/event-stream" in request.headers.get("accept", ""):
        return Response("event: ended\ndata: {}\n\n", media_type="text/event-stream")
    if request.method != "GET":
        return RedirectResponse(link("/login", ended="1"), status_code=303)
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(link("/login", next=f"{request.url.path}{query}"), status_code=303)
