"""Rules: those in force with their history, and a text to be edited, checked, tried on the past, published, taken back.

Nothing is published before a look: the first form checks and tries, and the page that it leads to has the button.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.api import Answer
from weir.console.pages.proposals import begin, list_proposals, name_done, say_done
from weir.console.pages.site import Site, Visit, pick
from weir.console.view import link
from weir.monitoring.logs import get_logger

TEXT_CHARACTERS_MAX = 100_000
WHY_CHARACTERS_MAX = 500
_OWN = frozenset({"check", "publish"})
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/rules")
    async def get_rules(request: Request) -> Response:
        visit = site.enter(request)
        return await _show(site, visit, version=visit.query("version")[:64])

    @app.post("/streams/{stream}/rules/{change}")
    async def post_rules(request: Request, change: str) -> Response:
        visit, fields, done = await begin(site, request, "rules", change, _OWN)
        if done is not None:
            return await _lead(site, visit, done, fields, None)
        text = _read_text(fields)
        checked = await site.attempt(visit, "rules/check", {"text": text, "try": True})
        if change == "check" or checked.code or not _may_publish(checked, fields):
            return await _show(site, visit, typed=text, checked=checked, fields=fields)
        done = await site.attempt(visit, "rules", {"text": text, **pick(fields, "why", "force")})
        return await _lead(site, visit, done, fields, checked)


async def _lead(site: Site, visit: Visit, done: Answer, fields: Mapping[str, str], checked: Answer | None) -> Response:
    """Lead to the rules as they are now, or show why nothing was changed."""
    if done.code or done.document["action"] is None:
        typed = None if checked is None else _read_text(fields)
        return await _show(site, visit, typed=typed, checked=checked, refused=done, fields=fields)
    log.info("rules_changed", action=done.document["action"], key=visit.session.key.id)
    return RedirectResponse(link(f"{visit.base}/rules", **name_done(done)), status_code=303)


def _may_publish(checked: Answer, fields: Mapping[str, str]) -> bool:
    """Whether what was checked may be published now; otherwise the page says why not."""
    found = checked.document
    if found["faults"] or found["trial"]["state"] != "done":
        return False
    return not found["trial"]["failed"] or bool(fields.get("force", "").strip())


def _read_text(fields: Mapping[str, str]) -> str:
    return fields.get("text", "").replace("\r\n", "\n")  # browsers send a line's end as two characters


async def _show(
    site: Site,
    visit: Visit,
    *,
    version: str = "",
    typed: str | None = None,
    checked: Answer | None = None,
    refused: Answer | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    found = await site.get(visit, "rules", version=version)
    if found.code:
        raise HTTPException(found.status, found.message)
    wrong = next((each for each in (refused, checked) if each is not None and each.code), None)
    return site.render(
        visit,
        "rules.html",
        status=200 if wrong is None else wrong.status,
        may_publish=visit.session.key.may(Scope.RULES),
        found=found.document,
        text=found.document["text"] if typed is None else typed,
        checked=None if checked is None or checked.code else checked.document,
        refused="" if wrong is None else wrong.message,
        fields=fields or {},
        proposals=await list_proposals(site, visit, "rules"),
        done=say_done(visit),
        text_max=TEXT_CHARACTERS_MAX,
        why_max=WHY_CHARACTERS_MAX,
    )
