"""The catalogue: every feature of a stream, from its declarations. The API is not asked."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from weir.console.catalogue import build_catalogue
from weir.console.pages.site import Site


def add(app: FastAPI, site: Site) -> None:
    """Add the path."""

    @app.get("/streams/{stream}/features")
    async def get_catalogue(request: Request) -> Response:
        visit = site.enter(request)
        entity = visit.query("entity")
        entries = build_catalogue(visit.stream)
        entities = list(dict.fromkeys(each.entity for each in entries))
        shown = [each for each in entries if entity in {"", each.entity}]
        return site.render(visit, "catalogue.html", entries=shown, entities=entities, entity=entity)
