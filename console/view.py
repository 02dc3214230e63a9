"""Pages as HTML: templates that escape everything, in a frame that says who is logged in and what there is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import resources
from typing import Any
from urllib.parse import urlencode

import jinja2
from fastapi.responses import HTMLResponse

from weir.access.key import Scope
from weir.console import text
from weir.console.session import Session, Sessions
from weir.schemas.stream import Stream

_PACKAGE = "weir.console"
STATIC = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "thresholds.js": "text/javascript; charset=utf-8",
    "uploads.js": "text/javascript; charset=utf-8",
    "htmx-2.0.11.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of pages, by name, with their types; each is served under a path that has its hash."""


class View:
    """Renders pages."""

    def __init__(self, streams: Mapping[str, Stream], sessions: Sessions, now_ms: Callable[[], int]) -> None:
        """Load the templates.

        Args:
            streams: that are served, by name.
            sessions: make the tokens of forms.
            now_ms: the clock.
        """
        self._streams, self._sessions = streams, sessions
        self._now_ms = now_ms
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters |= {
            "shown": text.show_text, "name": text.show_name, "id": text.show_id, "time": text.show_time,
            "score": text.show_score,
        }  # fmt: skip
        self._templates.globals |= {"static": static_path, "link": link}

    def render(
        self, template: str, session: Session, stream: Stream, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Return a page of a stream for who is logged in."""
        now_ms = self._now_ms()
        shown = {
            "session": session,
            "stream": stream,
            "streams": [name for name in self._streams if session.key.reaches(name)],
            "may_review": session.key.may(Scope.REVIEW),
            "may_score": session.key.may(Scope.SCORE),
            "is_admin": session.key.may(Scope.ADMIN),
            "token": self._sessions.make_token(session.id),
            "base": f"/streams/{stream.name}",
            "age": partial(text.show_age, now_ms=now_ms),
            "loss": partial(text.show_loss, stream=stream),
            "now_ms": now_ms,
        }
        return self._answer(template, status, **shown, **values)

    def render_alone(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page for somebody who is not logged in."""
        return self._answer(template, status, **values)

    def _answer(self, template: str, status: int, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(values), status_code=status)


def link(path: str, /, **query: Any) -> str:
    """Return a path with a query; ids stand there and not in the path, where a browser takes ``..`` for a step up.

    >>> link("/streams/payments/transaction", id="../a b")
    '/streams/payments/transaction?id=..%2Fa+b'
    """
    given = {name: value for name, value in query.items() if value not in (None, "", (), [])}
    return f"{path}?{urlencode(given, doseq=True, errors='surrogatepass')}" if given else path


@cache
def read_static(name: str) -> bytes:
    """Return a file of the pages."""
    return resources.files(_PACKAGE).joinpath("static", name).read_bytes()


@cache
def static_path(name: str) -> str:
    """Return the path of a file, which changes with its content: a browser may keep it for ever."""
    return f"/static/{hashlib.sha256(read_static(name)).hexdigest()[:12]}/{name}"
