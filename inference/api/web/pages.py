"""Pages for people: ``/`` says where to go, ``/docs`` shows the API and tries it out. All of it is served from here.

Swagger UI is the package ``fastapi-swagger``, whose files are those of ``swagger-ui-dist``. Nothing is loaded from
another site, and the policy that goes with each page forbids it: a service that scores payments often has no way out,
and a page of it should tell nobody that it was opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from importlib import resources

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from weir.inference.api.access import ANY, needs

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _POLICY, "referrer-policy": "no-referrer", "cache-control": "no-cache"}

_PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Weir API</title>
<link rel="icon" type="image/svg+xml" href="/favicon.ico">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<noscript>This page needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  tryItOutEnabled: true,
  validatorUrl: null
});
"""
_ICON = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<rect width="16" height="16" rx="3" fill="#0b6e75"/>
<path d="M3 4l2.5 8L8 6l2.5 6L13 4" fill="none" stroke="#fff" stroke-width="1.6" stroke-linejoin="round"/>
</svg>
"""


def add_pages(app: FastAPI, *, lists_paths: bool = True) -> None:
    """Add ``/``, ``/docs`` with its files, and the icon; none of them is part of the API's document.

    Args:
        app: to add them to.
        lists_paths: whether ``/`` does: the paths name every stream.
    """
    package = resources.files("fastapi_swagger.resources")
    files = {
        "/docs": (_PAGE, "text/html; charset=utf-8"),
        "/docs/start.js": (_START, "text/javascript; charset=utf-8"),
        "/docs/swagger-ui.css": (package.joinpath("swagger-ui.css").read_bytes(), "text/css; charset=utf-8"),
        "/docs/swagger-ui-bundle.js": (
            package.joinpath("swagger-ui-bundle.js").read_bytes(),
            "text/javascript; charset=utf-8",
        ),
        "/favicon.ico": (_ICON, "image/svg+xml"),
    }
    for path, (content, kind) in files.items():
        _add_file(app, path, partial(bytes, content), kind)

    def write_start() -> bytes:
        start: dict[str, object] = {"service": "weir", "docs": "/docs", "openapi": "/openapi.json",
                                    "health": "/healthz", "ready": "/readyz", "metrics": "/metrics"}  # fmt: skip
        if lists_paths:
            start["endpoints"] = sorted(path for path in app.openapi()["paths"] if path.startswith("/v1/"))
        return orjson.dumps(start)

    _add_file(app, "/", write_start, "application/json")


def _add_file(app: FastAPI, path: str, write: Callable[[], bytes], kind: str) -> None:
    @cache
    def prepare() -> tuple[bytes, str]:
        content = write()
        return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'

    async def get_file(request: Request) -> Response:
        content, tag = prepare()
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return Response(content, headers=_HEADERS | {"etag": tag, "content-type": kind})

    app.add_api_route(path, get_file, include_in_schema=False, openapi_extra=needs(ANY))
