"""One case: its decisions, what was done, and what may be done: claim, release, note, links, verdict.

A change that the API takes leads to the page again, so that loading it once more sends nothing. One that it refuses
shows the page as it is now, why, and what was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.cases.case import TEXT_CHARACTERS_MAX, Verdict
from weir.console.api import Answer
from weir.console.pages.site import Site, Visit
from weir.console.reasons import explain
from weir.monitoring.logs import get_logger
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.rules import ALERT_TAG
from weir.schemas.stream import Stream

_SAID = {
    "case_held": "Somebody else holds this case. Your change was not made.",
    "case_closed": "This case is closed. Give another verdict to correct it.",
    "case_not_claimed": "Claim the case first. Your change was not made.",
    "in_case": "It is one of this case's own.",
    "links_full": "This case has as many links as a case may have.",
    "label_stays": "Labels of this stream cannot be withdrawn: choose fraud or legitimate.",
}
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/cases/{case_id}")
    async def get_case(request: Request, case_id: str) -> Response:
        visit = site.enter(request)
        return await _show(site, visit, case_id)

    @app.post("/streams/{stream}/cases/{case_id}/{change}")
    async def post_change(request: Request, case_id: str, change: str) -> Response:
        visit = site.enter(request, Scope.REVIEW)
        fields = await site.read_form(visit)
        if change not in _BODIES:
            raise HTTPException(404, f"expected one of {', '.join(_BODIES)}, found another change")
        _check_id(case_id)
        done = await site.post(visit, f"cases/{case_id}/{change}", _BODIES[change](fields, visit.stream))
        if not done.code:
            log.info("case_changed", case=case_id, change=change, key=visit.session.key.id)
            return RedirectResponse(f"{visit.base}/cases/{case_id}", status_code=303)
        return await _show(site, visit, case_id, refused=done, typed=fields)


def _verdict(fields: Mapping[str, str], _: Stream) -> dict[str, Any]:
    return {"verdict": fields.get("verdict"), "reason": _read_text(fields, "reason")}


def _link(fields: Mapping[str, str], stream: Stream) -> dict[str, Any]:
    return {stream.id: fields.get("event", "").strip(), "reason": _read_text(fields, "why")}


_BODIES: Mapping[str, Callable[[Mapping[str, str], Stream], dict[str, Any]]] = {
    "claim": lambda *_: {},
    "release": lambda fields, _: {"force": True} if fields.get("force") else {},
    "notes": lambda fields, _: {"text": _read_text(fields, "text")},
    "links": _link,
    "unlink": lambda fields, stream: {stream.id: fields.get("event", "")},
    "verdict": _verdict,
}
"""What the API is asked for a change, by the fields of its form."""


def _read_text(fields: Mapping[str, str], name: str) -> str:
    return fields.get(name, "").replace("\r\n", "\n")  # browsers send a line's end as two characters


def _check_id(case_id: str) -> None:
    if not case_id.isalnum() or not case_id.isascii():
        raise HTTPException(404, "expected the id of a case, found another text")


async def _show(
    site: Site, visit: Visit, case_id: str, *, refused: Answer | None = None, typed: Mapping[str, str] | None = None
) -> Response:
    _check_id(case_id)
    found = await site.get(visit, f"cases/{case_id}")
    if found.code:
        raise HTTPException(found.status, found.message)
    case = found.document
    return site.render(
        visit,
        "case.html",
        status=200 if refused is None else refused.status,
        case=case,
        explained=[[explain(reason, visit.stream) for reason in one["reasons"]] for one in case["decisions"]],
        alerts=[[word for word in one.get("tags", ()) if word.startswith(ALERT_TAG)] for one in case["decisions"]],
        is_mine=case["holder"] == visit.session.key.name and case["state"] == "claimed",
        refused="" if refused is None else _SAID.get(refused.code, refused.message),
        typed=typed or {},
        verdicts=list(Verdict),
        characters_max=TEXT_CHARACTERS_MAX,
        id_max=ID_BYTES_MAX,
    )
