"""Login and logout. A login makes a new session, and ends the one that the browser had."""

from __future__ import annotations

import secrets

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from weir.access.key import Key, Scope
from weir.console.guard import Guard
from weir.console.pages.site import Site
from weir.console.view import link
from weir.monitoring.logs import get_logger

_NO_KEY = "expected a key that is valid, found one that is unknown, expired or revoked"
_NO_SCOPE = "expected a key with the scope read, found one without it; ask for one with read, or read and review"
_NO_STREAM = "expected a key of a stream that this console shows, found one of others"
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""
    cookies, sessions = site.guard.cookies, site.guard.sessions

    @app.get("/")
    async def get_home(request: Request) -> Response:
        stream = site.home_of(site.guard.enter(request).key)
        assert stream is not None, "nobody is logged in whose key reaches none"
        return RedirectResponse(f"/streams/{stream.name}/queue", status_code=303)

    @app.get("/login")
    async def get_login(request: Request) -> Response:
        return _show_login(site, request, ended="ended" in request.query_params)

    @app.post("/login")
    async def post_login(request: Request) -> Response:
        fields = await site.guard.read_form(request, request.cookies.get(cookies.login, ""))
        text = fields.get("key", "").strip()
        key = sessions.find_key(text)
        refused = _NO_KEY if key is None else _find_refusal(site, key)
        if key is None or refused:
            log.info("login_refused", reason=refused)
            return _show_login(site, request, refused=refused)
        _end_session(site.guard, request)
        session = sessions.begin(text, key)
        log.info("login", key=key.id)
        answer = RedirectResponse(_read_next(request), status_code=303)
        cookies.give(answer, cookies.session, session.id)
        cookies.take(answer, cookies.login)
        return answer

    @app.post("/logout")
    async def post_logout(request: Request) -> Response:
        await site.guard.read_form(request, request.cookies.get(cookies.session, ""))
        _end_session(site.guard, request)
        answer = RedirectResponse("/login", status_code=303)
        cookies.take(answer, cookies.session)
        return answer


def _show_login(site: Site, request: Request, *, refused: str = "", ended: bool = False) -> Response:
    # the one that is there: a page that waits in another tab stays good
    cookie = request.cookies.get(site.guard.cookies.login) or secrets.token_urlsafe(32)
    answer = site.view.render_alone(
        "login.html",
        status=403 if refused else 200,
        token=site.guard.sessions.make_token(cookie),
        action=link("/login", next=_read_next(request)),
        refused=refused,
        ended=ended,
    )
    site.guard.cookies.give(answer, site.guard.cookies.login, cookie)
    return answer


def _find_refusal(site: Site, key: Key) -> str:
    if not key.may(Scope.READ):
        return _NO_SCOPE
    return "" if site.home_of(key) else _NO_STREAM


def _end_session(guard: Guard, request: Request) -> None:
    guard.sessions.end(request.cookies.get(guard.cookies.session, ""))


def _read_next(request: Request) -> str:
    """Return where a login leads: a page of a stream, and never another site."""
    wanted = request.query_params.get("next", "")
    return wanted if wanted.startswith("/streams/") and wanted.isprintable() and "\\" not in wanted else "/"
