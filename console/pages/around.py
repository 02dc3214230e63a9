"""What the archive holds around one event: who shares its ids, and its windows against the key's own normal."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.graph import build_graph
from weir.console.normal import build_rows
from weir.console.pages.site import Site, Visit
from weir.console.view import link

_NOT_THERE: Final = {
    "no_archive": "Nothing is archived yet. The operator starts the archive with: weir archive",
    "no_evidence": "The archive does not have it: it is archived within half a minute, or was erased.",
}


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/linked")
    async def get_linked(request: Request) -> Response:
        visit = site.enter(request)
        event_id, found, said = await _ask(site, visit, "links")
        graph = build_graph(found, visit.stream.key.name) if found else None
        return site.render(visit, "linked.html", event_id=event_id, found=found, graph=graph, said=said)

    @app.get("/streams/{stream}/normal")
    async def get_normal(request: Request) -> Response:
        visit = site.enter(request)
        event_id, found, said = await _ask(site, visit, "normal")
        rows = build_rows(found, visit.stream) if found else []
        return site.render(visit, "normal.html", event_id=event_id, found=found, rows=rows, said=said)


async def _ask(site: Site, visit: Visit, path: str) -> tuple[str, dict[str, Any] | None, str]:
    """Return the id of the event, what the API says of it, and why it says nothing.

    Raises:
        HTTPException: 404 without an id; what the API says to an id that it refuses.
    """
    event_id = visit.query("id")
    if not event_id:
        raise HTTPException(404, f"expected the id of a {visit.stream.event}, found none")
    found = await site.get(visit, f"{path}/{quote(event_id, safe='', errors='surrogatepass')}")
    if found.code in _NOT_THERE:
        return event_id, None, _NOT_THERE[found.code]
    if found.code:
        raise HTTPException(found.status, found.message)
    return event_id, found.document, ""


def list_sections(visit: Visit, event_id: str) -> list[dict[str, str]]:
    """Return what a page of an event offers to load: the id, the title, the words and the path of each part."""
    key, event = visit.stream.key.name, visit.stream.event
    return [
        {
            "id": "normal",
            "title": f"The {key}'s windows against its own normal",
            "text": f"The archive has what each window was at earlier {event}s of this {key}.",
            "path": link(f"{visit.base}/normal", id=event_id),
        },
        {
            "id": "linked",
            "title": f"Linked {key}s",
            "text": f"The archive knows which other {key}s had its ids in the 30 days before it.",
            "path": link(f"{visit.base}/linked", id=event_id),
        },
    ]
