"""One event: the decision on it, why, what was known of it; when asked, evidence and what its card did before.

The last two are of the archive, as what is around it (``around.py``).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.decisions import build_rows as build_decisions
from weir.console.pages import around, search
from weir.console.pages.site import Site, Visit
from weir.console.reasons import explain
from weir.console.text import list_amounts
from weir.console.view import link
from weir.console.windows import build_rows
from weir.inference.api.filters import filter_fields
from weir.schemas.masking import mask
from weir.schemas.printable import to_json

BEFORE_SHOWN = 20
_AFTER_MS = 60_000
"""After a decision: it is archived by when it was appended, which is a moment later."""
_TIME_DIGITS_MAX = 15


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/transaction")
    async def get_transaction(request: Request) -> Response:
        visit = site.enter(request)
        event_id = _read_id(visit)
        found = await site.get(visit, f"decisions/{quote(event_id, safe='', errors='surrogatepass')}")
        if found.code == "no_decision":
            return search.show(site, visit, status=404, wanted=event_id, said=found.message)
        if found.code:
            raise HTTPException(found.status, found.message)
        decision = found.document
        amounts = list_amounts(decision, visit.stream)
        return site.render(
            visit,
            "transaction.html",
            decision=decision,
            event_id=event_id,
            reasons=[explain(reason, visit.stream) for reason in decision["reasons"]],
            amounts=[(name.replace("_", " "), amount) for name, (_, amount) in amounts.items()],
            fields=_list_fields(visit, decision, frozenset().union(*(fields for fields, _ in amounts.values()))),
            entities=_list_entities(visit, decision),
            around=around.list_sections(visit, event_id),
            before=_link_before(visit, event_id, decision),
        )

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
