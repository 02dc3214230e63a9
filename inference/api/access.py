"""Who may use a route: a key in each request, the stream that the path is of, the scope that the route asks for.

``Keyed`` answers 401 to a request without a valid key, whatever its path, so that nobody learns which paths there are;
a stream that the key is not bound to answers as one that does not exist. Within, ``authorize`` runs once the route is
known: 403 without the route's scope. A route that names no scope is the administrator's, so a forgotten one is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from weir.access.key import Key, Scope
from weir.inference.api.middleware import App, Receive, Send, refuse
from weir.inference.api.middleware import Scope as AsgiScope
from weir.monitoring import metrics
from weir.monitoring.logs import get_logger

OPEN = frozenset({"/healthz", "/readyz"})
"""What a supervisor asks, who has no key; neither says anything of an event."""
ANY = ""
"""In place of a scope: every valid key will do."""
_SCOPE = "x-scope"
_REALM = ((b"www-authenticate", b'Bearer realm="weir"'),)
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of this deployment."},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same key."},
}
_BEARER = b"bearer "
log = get_logger(__name__)


class Keyed:
    """Answers requests with a valid key alone, and hides the streams that it is not bound to."""

    def __init__(
        self,
        app: App,
        *,
        find: Callable[[str], Key | None],
        stream_of: Callable[[str], str | None],
        hidden: Callable[[str, Key], tuple[str, str]],
    ) -> None:
        """Wrap an application.

        Args:
            app: to wrap.
            find: returns the valid key with a text.
            stream_of: the stream that a path is of, whether or not there is one of that name; nothing of others.
            hidden: code and message for a path of a stream that there is not, as far as a key is told.
        """
        self._app = app
        self._find = find
        self._stream_of = stream_of
        self._hidden = hidden

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass a request on with its key, or refuse it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # nothing of another kind is served, and none would carry a key
        texts = list(_read_texts(scope["headers"]))
        key = self._find(texts[0]) if len(texts) == 1 else None
        if key is None:
            found = "none" if not texts else "several" if len(texts) > 1 else "one that is unknown, expired or revoked"
            expected = "expected a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            metrics.HTTP_REFUSED.labels(cause="key").inc()
            await refuse(send, 401, "unauthorized", f"{expected}, found {found}", _REALM)
            return
        state = scope.setdefault("state", {})
        state["key"] = key
        # for an answer that takes longer than a key may last
        state["is_key_valid"] = lambda: self._find(texts[0]) is not None
        stream = self._stream_of(scope["path"])
        if stream is not None and not key.reaches(stream):
            metrics.HTTP_REFUSED.labels(cause="stream").inc()
            await refuse(send, 404, *self._hidden(scope["path"], key))
            return
        await self._app(scope, receive, send)


def needs(scope: str) -> dict[str, Any]:
    """Return what a route says of the scope that it asks for where keys are required.

    >>> needs(Scope.READ)
    {'x-scope': 'read'}
    """
    return {_SCOPE: str(scope)}


def authorize(request: Request) -> str:
    """Let a request pass whose key has the scope of its route, and return the scope.

    Raises:
        HTTPException: 403, it has not.
    """
    if request.scope["path"] in OPEN:
        return ANY
    extra: Mapping[str, Any] = getattr(request.scope["route"], "openapi_extra", None) or {}
    scope = extra.get(_SCOPE, Scope.ADMIN)
    key: Key = request.state.key
    if scope != ANY and not key.may(Scope(scope)):
        metrics.HTTP_REFUSED.labels(cause="scope").inc()
        log.info("scope_refused", key=key.id, scope=scope)
        raise HTTPException(403, f"expected a key with the scope {scope}, found one without it")
    return str(scope)


def read_scopes(operations: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the scope of each method of a path of the document."""
    return {method: str(operation.get(_SCOPE, Scope.ADMIN)) for method, operation in operations.items()}


def build_document(
    document: Mapping[str, Any], bound_to: frozenset[str], stream_of: Callable[[str], str | None]
) -> dict[str, Any]:
    """Return the API's document for keys that are bound to some streams, or to none: with what a request needs."""
    shown = deepcopy(dict(document))
    if bound_to:
        shown["paths"] = {path: found for path, found in shown["paths"].items() if stream_of(path) in {*bound_to, None}}
    for path, operations in shown["paths"].items():
        if path not in OPEN:
            _add_security(operations.values())
    shown.setdefault("components", {})["securitySchemes"] = _SCHEMES
    return shown


def _add_security(operations: Iterable[dict[str, Any]]) -> None:
    for operation in operations:
        operation["security"] = [{name: []} for name in _SCHEMES]


def _read_texts(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[str]:
    for name, value in headers:
        if name == b"x-api-key":
            yield value.decode("latin-1").strip()
        elif name == b"authorization":
            bearer = value[: len(_BEARER)].lower() == _BEARER
            yield value[len(_BEARER) :].decode("latin-1").strip() if bearer else ""
