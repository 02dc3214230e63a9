"""The newest calls of keys, for administrators: who, what, when, from where, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.pages.site import Site, Visit, answer_csv
from weir.console.text import read_time, show_text, show_time
from weir.console.view import link

PAGE_CALLS, EXPORT_CALLS = 100, 500
_ABOUT_SHOWN = 12
_COLUMNS = ("time", "key", "name", "address", "method", "path", "about", "result", "request id")


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/audit")
    async def get_audit(request: Request) -> Response:
        visit = site.enter(request, Scope.ADMIN)
        found, names = await _ask(site, visit, PAGE_CALLS)
        return site.render(
            visit,
            "audit.html",
            calls=[_show(each, names) for each in found["calls"]],
            whole=found["whole"],
            missed=found["missed"],
            names=names,
            who=visit.query("who"),
            since=visit.query("since"),
            export=link(f"{visit.base}/audit.csv", who=visit.query("who"), since=visit.query("since")),
        )

    @app.get("/streams/{stream}/audit.csv")
    async def get_export(request: Request) -> Response:
        visit = site.enter(request, Scope.ADMIN)
        found, names = await _ask(site, visit, EXPORT_CALLS)
        calls = [_show(each, names) for each in found["calls"]]
        name = "audit.csv" if found["whole"] else f"audit-newest-{len(calls)}.csv"
        return answer_csv(name, [_COLUMNS, *(list(each.values()) for each in calls)])


async def _ask(site: Site, visit: Visit, limit: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the newest calls, and the name of each key by its id.

    Raises:
        HTTPException: 422 for a time that is none; what the API says to the question.
    """
    since = read_time(visit.query("since"))
    if since is None:
        raise HTTPException(422, "expected a time such as 2026-01-31T09:30 in `since`, in UTC")
    keys = await site.api.get(visit.session, "", "keys")
    found = await site.api.get(visit.session, "", "audit", who=visit.query("who"), since_ms=since, limit=limit)
    for answer in (keys, found):
        if answer.code:
            raise HTTPException(answer.status, answer.message)
    return found.document, {key["id"]: key["name"] for key in keys.document["keys"]}


def _show(call: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Return a call in the words of the page, in the order of the columns of an export."""
    return {
        "time": show_time(call["time_ms"]),
        "key": call["key_id"],
        "name": show_text(names.get(call["key_id"], "")),
        "address": call["address"],
        "method": call["method"],
        "path": call["route"],
        "about": call["about"][:_ABOUT_SHOWN],
        "result": str(call["status"] or ("unknown" if call["phase"] == "intent" else "no answer")),
        "request_id": call["request_id"],
    }
