"""Search: an id leads to its page, and filters to the past decisions that have all of them, as a table or as CSV.

The filters are those of the API and are in the address, so that a page can be kept and sent to somebody else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from weir.console.api import Answer
from weir.console.decisions import OUTCOMES, build_rows, list_cells, name_columns
from weir.console.pages.site import EXPORT_ROWS, EXPORT_SECONDS, Site, Visit, answer_csv
from weir.console.text import read_time
from weir.console.view import link
from weir.inference.api.filters import filter_fields
from weir.schemas.records.validation import ID_BYTES_MAX

PAGE_ROWS = 50
_API_ROWS = 200
NO_ARCHIVE = "no_archive"


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/search")
    async def get_search(request: Request) -> Response:
        visit = site.enter(request)
        wanted, kind = visit.query("id").strip(), visit.query("kind")
        if wanted and len(wanted.encode("utf-8", "surrogatepass")) <= ID_BYTES_MAX:
            return _lead(visit, wanted, kind)
        said = f"expected an id of 1 to {ID_BYTES_MAX} bytes" if wanted else ""
        if not request.url.query or said or "kind" in request.query_params:
            return show(site, visit, said=said)
        return await _show_found(site, visit)

    @app.get("/streams/{stream}/search.csv")
    async def get_export(request: Request) -> Response:
        visit = site.enter(request)
        return await _export(site, visit)


def _lead(visit: Visit, wanted: str, kind: str) -> Response:
    if kind in visit.stream.id_field_of:
        return RedirectResponse(link(f"{visit.base}/entity", kind=kind, id=wanted), status_code=303)
    return RedirectResponse(link(f"{visit.base}/transaction", id=wanted), status_code=303)


def show(site: Site, visit: Visit, *, status: int = 200, said: str = "", wanted: str = "", **found: Any) -> Response:
    """Return the page: with what is said of an id, or with what was found."""
    shown = {
        "filters": _read_filters(visit),
        "rows": None,
        "next": "",
        "export": "",
        "refused": "",
        "archived_to": None,
    }
    return site.render(
        visit,
        "search.html",
        status=status,
        said=said,
        wanted=wanted,
        outcomes=OUTCOMES,
        entities=list(filter_fields(visit.stream)),
        rows_max=EXPORT_ROWS,
        **(shown | found),
    )


async def _show_found(site: Site, visit: Visit) -> Response:
    filters = _read_filters(visit)
    found = await _ask(site, visit, filters, visit.query("after"), PAGE_ROWS)
    if isinstance(found, str):
        return show(site, visit, status=422, refused=found)
    if found.code:
        return show(site, visit, status=found.status, refused=describe_refusal(found))
    document, path = found.document, f"{visit.base}/search"
    return show(
        site,
        visit,
        rows=build_rows(document["decisions"], visit.stream),
        next=link(path, **filters, after=document["next"]) if document["next"] else "",
        export=link(f"{path}.csv", **filters, all="1"),
        archived_to=document["archived_to_ms"],
    )


def describe_refusal(found: Answer) -> str:
    """Return why the API did not search, as a page says it."""
    if found.code == NO_ARCHIVE:
        return "No decision is archived yet. The operator starts the archive with: weir archive"
    return found.message


async def _export(site: Site, visit: Visit) -> Response:
    """Return what is found as CSV, as much of it as an export holds."""
    filters, after, decisions = _read_filters(visit), "", list[Mapping[str, Any]]()
    until = time.monotonic() + EXPORT_SECONDS
    while True:
        found = await _ask(site, visit, filters, after, _API_ROWS)
        if isinstance(found, str) or found.code:
            refused = found if isinstance(found, str) else describe_refusal(found)
            return show(site, visit, status=422 if isinstance(found, str) else found.status, refused=refused)
        decisions += found.document["decisions"]
        after = found.document["next"] or ""
        if not after or len(decisions) >= EXPORT_ROWS or time.monotonic() > until:
            break
    is_all = not after and len(decisions) <= EXPORT_ROWS
    decisions = decisions[:EXPORT_ROWS]
    name = "decisions.csv" if is_all else f"decisions-first-{len(decisions)}.csv"
    rows = [name_columns(visit.stream), *(list_cells(each, visit.stream) for each in decisions)]
    return answer_csv(name, rows)


async def _ask(site: Site, visit: Visit, filters: Mapping[str, Any], after: str, limit: int) -> Answer | str:
    """Return what the API answers, or why it is not asked."""
    times = {}
    for name in ("from", "to"):
        found = read_time(filters[name])
        if found is None:
            return f"expected a time such as 2026-01-31T09:30 in `{name}`, in UTC"
        times[name] = found
    return await site.get(visit, "decisions", **{**filters, **times}, after=after, limit=limit)


def _read_filters(visit: Visit) -> dict[str, Any]:
    """Return the filters of the page as they were typed: the API refuses what is wrong, and says why."""
    given = visit.request.query_params.getlist("decision")
    return {
        "decision": [outcome for outcome in OUTCOMES if outcome in given],
        **{name: visit.query(name).strip() for name in filter_fields(visit.stream)},
        **{name: visit.query(name).strip() for name in ("rule", "score_min", "request_id", "from", "to")},
    }
