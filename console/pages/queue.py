"""The queue: what waits for a person, the costliest first, and the way to the next case."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from weir.access.key import Scope
from weir.cases.case import State, Verdict
from weir.console.api import Answer
from weir.console.pages.site import Site, Visit
from weir.console.view import link
from weir.schemas.records.validation import ID_BYTES_MAX

PAGE_CASES = 50
_UNDECIDED = (State.OPEN, State.CLAIMED)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/queue")
    async def get_queue(request: Request) -> Response:
        visit = site.enter(request)
        wanted = _read_wanted(visit)
        query = _as_query(visit, wanted) | {"after": visit.query("after")}
        found = await site.get_rows(visit, "cases", "cases", PAGE_CASES, **query)
        if found.code:
            return site.render(
                visit, "queue.html", status=422, cases=[], next="", after="", refused=found.message, **wanted
            )
        older = link(f"{visit.base}/queue", **wanted, after=found.document["next"]) if found.document["next"] else ""
        return site.render(
            visit,
            "queue.html",
            more=found.document["next"],
            cases=found.document["cases"],
            next=older,
            refused="",
            after=visit.query("after"),
            **wanted,
        )

    @app.get("/streams/{stream}/next")
    async def get_next(request: Request) -> Response:
        """Lead to the costliest case that nobody holds, and before it to one that the user holds already."""
        visit = site.enter(request, Scope.REVIEW)
        for query in ({"state": State.CLAIMED, "holder": visit.session.key.name}, {"state": State.OPEN}):
            found = await site.get(visit, "cases", limit=2, **query)
            case_id = _find_other(found, visit.query("not"))
            if case_id:
                return RedirectResponse(f"{visit.base}/cases/{case_id}", status_code=303)
        return RedirectResponse(f"{visit.base}/queue", status_code=303)


def _find_other(found: Answer, than: str) -> str:
    return "" if found.code else next((case["id"] for case in found.document["cases"] if case["id"] != than), "")


def _read_wanted(visit: Visit) -> dict[str, Any]:
    """Return the filters of the page: those that a value was given for which makes sense."""
    state, verdict = visit.query("state"), visit.query("verdict")
    return {
        "state": state if state in set(State) | {"all"} else "",
        "mine": "1" if visit.query("mine") else "",
        "key": visit.query("key").strip()[:ID_BYTES_MAX],
        "verdict": verdict if verdict in set(Verdict) else "",
    }


def _as_query(visit: Visit, wanted: dict[str, Any]) -> dict[str, Any]:
    states: tuple[str, ...] = () if wanted["state"] == "all" else (wanted["state"],) if wanted["state"] else _UNDECIDED
    if wanted["verdict"] and not wanted["state"]:
        states = ()  # what has a verdict is closed
    holder = visit.session.key.name if wanted["mine"] else ""
    return {"state": states, "holder": holder, "key": wanted["key"], "verdict": wanted["verdict"]}
