"""The page of one card, customer or whatever a stream has: its windows as they are now, its cases and decisions."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.api import ApiAway
from weir.console.decisions import Row
from weir.console.decisions import build_rows as build_decisions
from weir.console.pages.site import Site, Visit
from weir.console.windows import build_rows
from weir.inference.api.filters import filter_fields

CASES_SHOWN = DECISIONS_SHOWN = 20
DECISIONS_SECONDS = 2.0
"""The page waits so long for the archive, and is shown without its decisions then."""


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
            decisions=await _read_decisions(site, visit, kind, entity_id),
            is_searched=kind in filter_fields(visit.stream),
        )


async def _read_cases(site: Site, visit: Visit, kind: str, entity_id: str) -> list[dict[str, Any]] | None:
    """Return the cases of the stream's key; nothing for other entities, which have none."""
    if kind != visit.stream.key.name:
        return None
    found = await site.get(visit, "cases", key=entity_id, limit=CASES_SHOWN)
    return None if found.code else list(found.document["cases"])


async def _read_decisions(site: Site, visit: Visit, kind: str, entity_id: str) -> list[Row] | None:
    """Return the newest decisions; none of entities that decisions do not carry, nothing where none can be read."""
    if kind not in filter_fields(visit.stream):
        return []
    try:
        async with asyncio.timeout(DECISIONS_SECONDS):
            found = await site.get(visit, "decisions", **{kind: entity_id}, limit=DECISIONS_SHOWN)
    except (ApiAway, TimeoutError):
        return None
    return [] if found.code else build_decisions(found.document["decisions"], visit.stream)
