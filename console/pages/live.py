"""Decisions as they are made: a page, and the server-sent events that fill it.

The events are those of the API, each made into a row here, so that escaping and words are those of the other pages.
A browser that reads too slowly stops being read for: the API then ends the stream, and the browser begins another.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from weir.console import text
from weir.console.api import ApiAway, NoAccess, NotShown
from weir.console.decisions import OUTCOMES
from weir.console.pages.site import Site, Visit
from weir.console.reasons import explain
from weir.console.view import link
from weir.monitoring.logs import get_logger
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

LOOK_SECONDS = 2.0
"""How often a session is looked up while lines come; the API sends one every 5 s, so a page ends within seconds."""
_AGAIN_MS = 3_000
_ENDED = "event: ended\ndata: {}\n\n"
log = get_logger(__name__)


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/live")
    async def get_live(request: Request) -> Response:
        visit = site.enter(request)
        wanted = _read_wanted(visit)
        return site.render(
            visit, "live.html", outcomes=OUTCOMES, wanted=wanted, events=link(f"{visit.base}/live/events", **wanted)
        )

    @app.get("/streams/{stream}/live/events")
    async def get_events(request: Request) -> Response:
        events = _relay(site, site.enter(request))
        return StreamingResponse(events, headers={"content-type": "text/event-stream; charset=utf-8"})


async def _relay(site: Site, visit: Visit) -> AsyncIterator[str]:
    """Yield events for the page until the API or the session ends; the page asks again by itself."""
    try:
        async with aclosing(_pass_on(site, visit)) as events:
            async for event in events:
                yield event
    except NotShown as error:
        yield _write("refused", {"why": text.show_text(error)})
    except ApiAway:
        yield f"retry: {_AGAIN_MS}\nevent: away\ndata: {{}}\n\n"
    except NoAccess:
        yield _ENDED


async def _pass_on(site: Site, visit: Visit) -> AsyncGenerator[str, None]:
    looked, event, wanted = time.monotonic(), "", _read_wanted(visit)
    async with site.api.stream(visit.session, visit.stream.name, "decisions/live", **wanted) as lines:
        async for line in lines:
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if site.guard.sessions.find(visit.session.id, by_user=False) is None:
                    yield _ENDED
                    return
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                if shown := _build_event(event, line.removeprefix("data:"), visit.stream):
                    yield shown
            elif line.startswith(":"):
                yield ":\n\n"


def _build_event(event: str, data: str, stream: Stream) -> str:
    """Return an event for the page; one that nothing can be read of is told and left out."""
    try:
        document = orjson.loads(data)
        shown = build_row(document, stream) if event == "decision" else document
    except (ValueError, KeyError, TypeError) as error:
        log.warning("live_event_unreadable", stream=stream.name, error=repr(error))
        return ""
    return _write(event, shown)


def _write(event: str, document: Any) -> str:
    return f"event: {event}\ndata: {orjson.dumps(document).decode()}\n\n"


def build_row(decision: dict[str, Any], stream: Stream) -> dict[str, str]:
    """Return a decision as the texts of a row of the page."""
    reasons = [explain(reason, stream) for reason in decision["reasons"]]
    return {
        "href": link(f"/streams/{stream.name}/transaction", id=decision[stream.id]),
        "id": text.show_text(decision[stream.id]),
        "key": text.show_text(decision[stream.key.field]),
        "at": text.show_time(decision["decision_time_ms"])[11:],
        "decision": text.show_text(decision["decision"]),
        "score": text.show_score(decision["score"]),
        "by": text.show_text(decision["decided_by"]),
        "why": text.show_text("; ".join(reason.title for reason in reasons)),
    }


def _read_wanted(visit: Visit) -> dict[str, Any]:
    """Return the filters of the page."""
    given, key = visit.request.query_params.getlist("decision"), visit.stream.key.name
    score = visit.query("score_min")
    return {
        "decision": [outcome for outcome in OUTCOMES if outcome in given],
        key: visit.query(key)[:ID_BYTES_MAX],
        "rule": visit.query("rule")[:ID_BYTES_MAX],
        "score_min": score if _is_score(score) else "",
    }


def _is_score(score: str) -> bool:
    try:
        return 0 <= float(score) <= 1
    except ValueError:
        return False
