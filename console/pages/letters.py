"""Dead letters: the list, one with what it holds, and sending it again or discarding it, each after a look at it.

The first form of a change asks the API what it would do, and the page that it leads to has the button that does it. A
letter is settled once for ever, so a form that is sent again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.pages.site import Site, Visit
from weir.console.view import link
from weir.monitoring.logs import get_logger

PAGE_LETTERS = 50
STATES = ("open", "unreplayable", "replayed", "parked", "discarded")
UNDECODED = frozenset({"decoder_died", "not_examined"})
"""Reasons of letters whose record ended processes."""
_SAID = {"letter_settled": "This letter is settled. Your change was not made."}
_CHANGES = frozenset({"check", "replay", "discard"})
_DIGITS_MAX = 18
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/letters")
    async def get_letters(request: Request) -> Response:
        visit = site.enter(request)
        wanted = _read_wanted(visit)
        given = {**wanted, "state": "" if wanted["state"] == "all" else wanted["state"]}
        given["after"] = visit.query("after")
        found = await site.get_rows(visit, "dead-letters", "letters", PAGE_LETTERS, **given)
        page = {"topic": wanted["topic"], "topics": [], "letters": [], "next": None} if found.code else found.document
        older = link(f"{visit.base}/letters", **wanted, after=page["next"]) if page["next"] else ""
        return site.render(
            visit,
            "letters.html",
            status=found.status,
            more=page["next"],
            page=page,
            wanted=wanted,
            states=STATES,
            next=older,
            refused=found.message,
        )

    @app.get("/streams/{stream}/letters/{partition}/{offset}")
    async def get_letter(request: Request, partition: str, offset: str) -> Response:
        return await _show(site, site.enter(request), partition, offset)

    @app.post("/streams/{stream}/letters/{partition}/{offset}/{change}")
    async def post_change(request: Request, partition: str, offset: str, change: str) -> Response:
        visit = site.enter(request, Scope.ADMIN)
        fields = await site.read_form(visit)
        if change not in _CHANGES:
            raise HTTPException(404, "expected check, replay or discard, found another change")
        return await _change(site, visit, (partition, offset), change, fields)


async def _change(site: Site, visit: Visit, place: tuple[str, str], change: str, fields: Mapping[str, str]) -> Response:
    typed = fields.get("set", "").replace("\r\n", "\n")
    if change == "check" and fields.get("what") == "discard":
        return await _show(site, visit, *place, asked={"outcome": "discarded", "note": "", "changes": []})
    if wrong := _find_wrong_line(typed):
        return await _show(site, visit, *place, typed=typed, refused=wrong)
    body: dict[str, Any] = {} if change == "discard" else {"set": _read_lines(typed), "parked": True}
    done = await site.post(visit, _path(place, visit.query("topic"), f"/{change}"), body)
    if done.code:
        refused = _SAID.get(done.code, done.message)
        return await _show(site, visit, *place, typed=typed, refused=refused, status=done.status)
    if change == "check":
        return await _show(site, visit, *place, typed=typed, asked=done.document)
    log.info("letter_settled", change=change, key=visit.session.key.id)
    there = link(f"{visit.base}/letters/{place[0]}/{place[1]}", topic=visit.query("topic"))
    return RedirectResponse(there, status_code=303)


async def _show(
    site: Site,
    visit: Visit,
    partition: str,
    offset: str,
    *,
    typed: str = "",
    refused: str = "",
    asked: Mapping[str, Any] | None = None,
    status: int = 422,
) -> Response:
    topic = visit.query("topic")
    found = await site.get(visit, _path((partition, offset), topic))
    if found.code:
        raise HTTPException(found.status, found.message)
    letter = found.document
    decoded = letter["decoded"]
    return site.render(
        visit,
        "letter.html",
        status=status if refused else 200,
        letter=letter,
        fields=decoded if isinstance(decoded, dict) else {},
        not_decoded="" if isinstance(decoded, dict) else decoded,
        is_dangerous=letter["reason"] in UNDECODED,
        is_open=letter["state"] in {"open", "unreplayable", "parked"},
        topic=topic,
        typed=typed,
        refused=refused,
        asked=asked,
    )


def _path(place: tuple[str, str], topic: str, change: str = "") -> str:
    if not all(part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX for part in place):
        raise HTTPException(404, "expected the place of a dead letter, found another text")
    return link(f"dead-letters/{place[0]}/{place[1]}{change}", topic=topic)


def _read_wanted(visit: Visit) -> dict[str, str]:
    """Return the filters of the page: open letters, unless it says otherwise."""
    state = visit.query("state")
    return {
        "topic": visit.query("topic")[:250],
        "reason": visit.query("reason").strip()[:200],
        "state": state if state in {*STATES, "all"} else "open",
    }


def _find_wrong_line(typed: str) -> str:
    wrong = [number for number, line in enumerate(typed.split("\n"), 1) if line.strip() and not _split(line)[0]]
    return f"expected a field, = and its value in each line, found something else in line {wrong[0]}" if wrong else ""


def _read_lines(typed: str) -> dict[str, str]:
    return dict(_split(line) for line in typed.split("\n") if line.strip())


def _split(line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    return name.strip() if equals else "", value.strip()
