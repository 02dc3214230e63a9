"""The files of the pages, under paths that change with their content."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.pages.site import Site
from weir.console.view import STATIC, read_static, static_path

_FOR_EVER = "public, max-age=31536000, immutable"


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""
    del site

    @app.get("/static/{version}/{name}")
    async def get_file(version: str, name: str) -> Response:
        if name not in STATIC or static_path(name) != f"/static/{version}/{name}":
            raise HTTPException(404, "expected a file of these pages, found another name; load the page again")
        return Response(read_static(name), headers={"content-type": STATIC[name], "cache-control": _FOR_EVER})

    @app.get("/healthz")
    async def get_health() -> dict[str, bool]:
        return {"alive": True}
