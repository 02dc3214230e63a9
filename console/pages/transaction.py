"""One event: the decision on it, why, what was known of it, and the evidence of the archive when it is asked for."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.pages import search
from weir.console.pages.site import Site, Visit
from weir.console.reasons import explain
from weir.console.text import list_amounts
from weir.console.windows import build_rows
from weir.schemas.masking import mask
from weir.schemas.printable import to_json


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
