"""Search: an id of an event or of an entity leads to its page."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from weir.console.pages.site import Site, Visit
from weir.console.view import link
from weir.schemas.records.validation import ID_BYTES_MAX


def add(app: FastAPI, site: Site) -> None:
    """Add the path."""

    @app.get("/streams/{stream}/search")
    async def get_search(request: Request) -> Response:
        visit = site.enter(request)
        wanted, kind = visit.query("id").strip(), visit.query("kind")
        if not 0 < len(wanted.encode("utf-8", "surrogatepass")) <= ID_BYTES_MAX:
            said = f"expected an id of 1 to {ID_BYTES_MAX} bytes" if wanted else ""
            return site.render(visit, "search.html", wanted="", said=said)
        return _lead(visit, wanted, kind)


def _lead(visit: Visit, wanted: str, kind: str) -> Response:
    if kind in visit.stream.id_field_of:
        return RedirectResponse(link(f"{visit.base}/entity", kind=kind, id=wanted), status_code=303)
    return RedirectResponse(link(f"{visit.base}/transaction", id=wanted), status_code=303)
