"""Lists: how many entries each has, the first that fit a filter, the history, and a form that adds or removes some.

A change is tried on the past first: one that takes long is sent once more, and one that goes too far asks for why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.api import Answer
from weir.console.pages.proposals import begin, list_proposals, name_done, say_done
from weir.console.pages.site import Site, Visit, answer_csv, pick
from weir.console.text import read_time, show_text, show_time
from weir.console.view import link
from weir.monitoring.logs import get_logger
from weir.schemas.expression import LISTS
from weir.schemas.records.validation import ID_BYTES_MAX

PAGE_ENTRIES, EXPORT_ENTRIES = 100, 500
WHY_CHARACTERS_MAX, NOTE_CHARACTERS_MAX = 500, 200
_FILTERS = ("side", "entity", "begins", "version")
_OWN = frozenset({"add", "remove"})
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/lists")
    async def get_lists(request: Request) -> Response:
        return await _show(site, site.enter(request))

    @app.get("/streams/{stream}/lists.csv")
    async def get_export(request: Request) -> Response:
        visit = site.enter(request)
        found = await site.get(visit, "lists", **_read_filters(visit), limit=EXPORT_ENTRIES)
        if found.code:
            raise HTTPException(found.status, found.message)
        return _export(found.document)

    @app.post("/streams/{stream}/lists/{change}")
    async def post_lists(request: Request, change: str) -> Response:
        visit, fields, done = await begin(site, request, "lists", change, _OWN)
        if done is None:
            done = await _change(site, visit, change, fields)
        if done.code or done.document["action"] is None:
            return await _show(site, visit, done=done, fields=fields)
        log.info("lists_changed", action=done.document["action"], key=visit.session.key.id)
        query = name_done(done) | {"changed": done.document.get("changed")} | _count_tried(done.document)
        return RedirectResponse(link(f"{visit.base}/lists", **pick(fields, "side", "entity"), **query), status_code=303)


def _count_tried(document: Mapping[str, Any]) -> dict[str, int]:
    """Return how many decisions a change was tried on, and how many would be others."""
    figures = (document.get("trial") or {}).get("figures")
    return {"tried": figures["judged"], "others": sum(figures["flips"].values())} if figures else {}


async def _change(site: Site, visit: Visit, action: str, fields: Mapping[str, str]) -> Answer:
    entries = dict.fromkeys(line.strip() for line in fields.get("entries", "").splitlines())
    body: dict[str, Any] = {"action": action, "entries": [entry for entry in entries if entry]}
    body |= pick(fields, "side", "entity", "why", "force")
    if action == "add":
        until = read_time(fields.get("until", ""))
        if until is None:
            return Answer(422, None, "invalid_request", "expected a time such as 2026-01-31T09:30 in `until`, in UTC")
        body |= pick(fields, "reason", "source") | ({"until_ms": until} if until else {})
    return await site.attempt(visit, "lists/change", body)


def _export(document: Mapping[str, Any]) -> Response:
    rows = [
        [*(show_text(each[name]) for name in ("side", "entity", "entry", "reason", "source")),
         show_time(each["until_ms"]) if each["until_ms"] else ""]
        for each in document["entries"]
    ]  # fmt: skip
    name = f"lists-first-{len(rows)}.csv" if document["more"] else "lists.csv"
    return answer_csv(name, [["list", "entity", "entry", "reason", "source", "until"], *rows])


def _read_filters(visit: Visit) -> dict[str, str]:
    return {name: visit.query(name).strip() for name in _FILTERS}


async def _show(
    site: Site, visit: Visit, *, done: Answer | None = None, fields: Mapping[str, str] | None = None
) -> Response:
    filters, refused = _read_filters(visit), done if done is not None and done.code else None
    found = await site.get(visit, "lists", **filters, limit=PAGE_ENTRIES)
    if found.code and any(filters.values()):  # a filter that is wrong is said above all entries
        refused, found = found, await site.get(visit, "lists", limit=PAGE_ENTRIES)
    if found.code:
        raise HTTPException(found.status, found.message)
    said = {name: visit.query(name) for name in ("changed", "tried", "others")}
    return site.render(
        visit,
        "lists.html",
        status=200 if refused is None else refused.status,
        may_change=visit.session.key.may(Scope.RULES),
        found=found.document,
        filters=filters,
        export=link(f"{visit.base}/lists.csv", **filters),
        sides=LISTS,
        entities=list(visit.stream.id_field_of),
        refused="" if refused is None else refused.message,
        goes_too_far=refused is not None and refused.code == "lists_not_passed",
        is_tried=done is not None and not done.code,
        fields=fields or {},
        proposals=await list_proposals(site, visit, "lists"),
        done=say_done(visit),
        said={name: number if number.isdecimal() and len(number) <= 12 else "" for name, number in said.items()},
        id_max=ID_BYTES_MAX,
        note_max=NOTE_CHARACTERS_MAX,
        why_max=WHY_CHARACTERS_MAX,
    )
