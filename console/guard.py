"""What every request of the console passes: headers that bind the browser, the session, the form's token.

The policy lets a page load its own files alone, and no script or style written into it: markup that got into a page
in spite of the escaping could run nothing. No other site may show a page in a frame or send a form in a user's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.responses import Response

from weir.console.session import Session, Sessions
from weir.inference.api.middleware import App, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_FORM = "application/x-www-form-urlencoded"
FIELDS_MAX = 20
PROOF = "token"
"""The field of a form that shows that one of our pages sent it."""


PROOF_HEADER = "x-token"
"""The same where a script sends what is no form."""


class LoggedOut(Exception):
    """Nobody is logged in, or not any more."""


class Forged(Exception):
    """A form that no page of this session sent."""


class Bound:
    """Adds the headers that bind the browser to every answer; one that says nothing else is kept nowhere."""

    def __init__(self, app: App) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def bind(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = [*headers, *_HEADERS]
            await send(message)

        await self._app(scope, receive, bind)


class Cookies:
    """The two cookies: of a session, and of the login page before there is one."""

    def __init__(self, *, secure: bool) -> None:
        """Name them; by its name a browser takes a cookie of HTTPS from this host alone."""
        self._secure = secure
        first = "__Host-" if secure else ""
        self.session, self.login = f"{first}weir_session", f"{first}weir_login"

    def give(self, response: Response, name: str, value: str) -> None:
        """Have a browser send a value with each request of our own pages, and show it to no script."""
        response.set_cookie(name, value, path="/", httponly=True, samesite="strict", secure=self._secure)

    def take(self, response: Response, name: str) -> None:
        """Have a browser forget a cookie."""
        response.delete_cookie(name, path="/", httponly=True, samesite="strict", secure=self._secure)


class Guard:
    """Finds who asks, and reads the forms that they send."""

    def __init__(self, sessions: Sessions, cookies: Cookies) -> None:
        """Bind to the sessions."""
        self.sessions, self.cookies = sessions, cookies

    def enter(self, request: Request) -> Session:
        """Return the session of a request.

        Raises:
            LoggedOut: there is none, or it has ended.
        """
        by_user = "hx-request" not in request.headers and "text/event-stream" not in request.headers.get("accept", "")
        session = self.sessions.find(request.cookies.get(self.cookies.session, ""), by_user=by_user)
        if session is None:
            raise LoggedOut
        return session

    def check_script(self, request: Request, cookie: str) -> None:
        """Pass a request that a script of a page sent which was made for a cookie: its body is no form.

        Raises:
            Forged: it was not.
        """
        if not cookie or not self.sessions.check_token(cookie, request.headers.get(PROOF_HEADER, "")):
            raise Forged

    async def read_form(self, request: Request, cookie: str) -> Mapping[str, str]:
        """Return the fields of a form that a page sent which was made for a cookie.

        Raises:
            Forged: it was not.
        """
        fields = await _read_fields(request)
        if not cookie or not self.sessions.check_token(cookie, fields.get(PROOF, "")):
            raise Forged
        return fields


async def _read_fields(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return {}
    try:
        text = (await request.body()).decode("ascii")
        fields: list[tuple[str, Any]] = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError:  # no form that a browser sends
        return {}
    return dict(fields)
