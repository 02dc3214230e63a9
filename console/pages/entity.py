"""The page of one card, customer or whatever a stream has: its windows as they are now, and its cases."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.pages.site import Site, Visit
from weir.console.windows import build_rows

CASES_SHOWN = 20


def add(app: FastAPI, site: Site) -> None:
    """Add the path."""

    @app.get("/streams/{stream}/entity")
    async def get_entity(request: Request) -> Response:
        visit = site.enter(request)
        kind, entity_id = visit.query("kind"), visit.query("id")
        if kind not in visit.stream.id_field_of or not entity_id:
            raise HTTPException(404, f"expected one of {', '.join(visit.stream.id_field_of)} and its id, found another")
        found = await site.get(visit, f"features/{quote(kind)}/{quote(entity_id, safe='', errors='surrogatepass')}")
        if found.code:
            raise HTTPException(found.status, found.message)
        return site.render(
            visit,
            "entity.html",
            kind=kind,
            found=found.document,
            rows=build_rows(found.document["features"], visit.stream),
            cases=await _read_cases(site, visit, kind, entity_id),
        )


async def _read_cases(site: Site, visit: Visit, kind: str, entity_id: str) -> list[dict[str, Any]] | None:
    """Return the cases of the stream's key; nothing for other entities, which have none."""
    if kind != visit.stream.key.name:
        return None
    found = await site.get(visit, "cases", key=entity_id, limit=CASES_SHOWN)
    return None if found.code else list(found.document["cases"])
