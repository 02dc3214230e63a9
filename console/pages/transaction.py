"""One event: the decision on it, why, its case or a form that opens one; when asked, evidence and its card's past.

The last two are of the archive, as what is around it (``around.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.cases.case import TEXT_CHARACTERS_MAX
from weir.console.api import Answer, ApiAway
from weir.console.decisions import build_rows as build_decisions
from weir.console.pages import around, search
from weir.console.pages.site import Site, Visit
from weir.console.reasons import explain
from weir.console.text import list_amounts
from weir.console.view import link
from weir.console.windows import build_rows
from weir.inference.api.filters import filter_fields
from weir.monitoring.logs import get_logger
from weir.schemas.masking import mask
from weir.schemas.printable import to_json

BEFORE_SHOWN = 20
_AFTER_MS = 60_000
"""After a decision: it is archived by when it was appended, which is a moment later."""
_TIME_DIGITS_MAX = 15
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/transaction")
    async def get_transaction(request: Request) -> Response:
        visit = site.enter(request)
        return await _show(site, visit, _read_id(visit))

    @app.post("/streams/{stream}/cases")
    async def post_case(request: Request) -> Response:
        visit = site.enter(request, Scope.REVIEW)
        fields = await site.read_form(visit)
        event_id, reason = fields.get("event", ""), fields.get("reason", "").replace("\r\n", "\n")
        if not event_id:
            raise HTTPException(404, f"expected the id of a {visit.stream.event}, found none")
        opened = await site.attempt(visit, "cases", {visit.stream.id: event_id, "reason": reason})
        if opened.code:
            return await _show(site, visit, event_id, refused=opened, typed=fields)
        log.info("case_opened", case=opened.document["id"], key=visit.session.key.id)
        return RedirectResponse(f"{visit.base}/cases/{opened.document['id']}", status_code=303)

    @app.get("/streams/{stream}/before")
    async def get_before(request: Request) -> Response:
        visit = site.enter(request)
        event_id, key = _read_id(visit), visit.query("key")
        at_ms = visit.query("at")
        if not key or not at_ms.isdecimal() or len(at_ms) > _TIME_DIGITS_MAX:
            raise HTTPException(404, f"expected a {visit.stream.key.name} and a time, found none")
        asked = {visit.stream.key.name: key, "to": int(at_ms) + _AFTER_MS, "limit": BEFORE_SHOWN}
        found = await site.get(visit, "decisions", **asked)
        return site.render(
            visit,
            "before.html",
            event_id=event_id,
            key=key,
            rows=[] if found.code else build_decisions(found.document["decisions"], visit.stream),
            said=search.describe_refusal(found) if found.code else "",
        )

    @app.get("/streams/{stream}/evidence")
    async def get_evidence(request: Request) -> Response:
        visit = site.enter(request)
        event_id = _read_id(visit)
        found = await site.get(visit, f"evidence/{quote(event_id, safe='', errors='surrogatepass')}")
        vector = {} if found.code else (found.document["features"] or {}).get("vector", {})
        return site.render(
            visit,
            "evidence.html",
            event_id=event_id,
            evidence=None if found.code else found.document,
            text="" if found.code else mask(to_json(found.document, indent=1)),
            said=found.message if found.code == "no_evidence" else "This API has no archive to ask.",
            rows=build_rows(vector, visit.stream),
        )


async def _show(
    site: Site, visit: Visit, event_id: str, *, refused: Answer | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    found = await site.get(visit, f"decisions/{quote(event_id, safe='', errors='surrogatepass')}")
    if found.code == "no_decision":
        return search.show(site, visit, status=404, wanted=event_id, said=found.message)
    if found.code:
        raise HTTPException(found.status, found.message)
    decision = found.document
    amounts = list_amounts(decision, visit.stream)
    case, cases_away = await _find_case(site, visit, event_id)
    return site.render(
        visit,
        "transaction.html",
        status=200 if refused is None else refused.status,
        decision=decision,
        event_id=event_id,
        reasons=[explain(reason, visit.stream) for reason in decision["reasons"]],
        amounts=[(name.replace("_", " "), amount) for name, (_, amount) in amounts.items()],
        fields=_list_fields(visit, decision, frozenset().union(*(fields for fields, _ in amounts.values()))),
        entities=_list_entities(visit, decision),
        around=around.list_sections(visit, event_id),
        before=_link_before(visit, event_id, decision),
        case=case,
        cases_away=cases_away,
        refused="" if refused is None else refused.message,
        typed=typed or {},
        characters_max=TEXT_CHARACTERS_MAX,
    )


async def _find_case(site: Site, visit: Visit, event_id: str) -> tuple[dict[str, Any] | None, str]:
    """Return the case that an event is in, or why that is not known: the decision is shown all the same."""
    try:
        found = await site.get(visit, "cases", event=event_id, limit=1)
    except ApiAway as error:
        return None, str(error)
    if found.code:
        return None, found.message
    return next(iter(found.document["cases"]), None), ""


def _link_before(visit: Visit, event_id: str, decision: dict[str, Any]) -> str:
    """Return where the decisions before this one are; nothing where decisions are not found by the stream's key."""
    key = visit.stream.key
    if key.name not in filter_fields(visit.stream):
        return ""
    return link(f"{visit.base}/before", id=event_id, key=decision[key.field], at=decision["decision_time_ms"])


def _read_id(visit: Visit) -> str:
    event_id = visit.query("id")
    if not event_id:
        raise HTTPException(404, f"expected the id of a {visit.stream.event}, found none")
    return event_id


def _list_fields(visit: Visit, decision: dict[str, Any], shown: frozenset[str]) -> list[tuple[str, Any]]:
    """Return the fields of the event that a decision keeps, without those that stand elsewhere on the page."""
    stream = visit.stream
    elsewhere = {stream.id, *stream.id_field_of.values(), *shown}
    return [(name, decision.get(name)) for name in stream.kept_in_decisions if name not in elsewhere]


def _list_entities(visit: Visit, decision: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the entities of the event that a decision names, each with its id."""
    fields = visit.stream.id_field_of.items()
    return [(name, decision[field]) for name, field in fields if decision.get(field)]
