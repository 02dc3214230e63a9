"""``POST …/decide``: reads the request, asks the stream, writes the answer and its metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error
from weir.inference.api.audited import note_about
from weir.inference.api.decide import document
from weir.inference.api.decide.answers import (
    PREFERENCES_BYTES_MAX,
    Reply,
    build_reply,
    read_preference,
    tell_busy,
    tell_not_published,
)
from weir.inference.api.decide.sender import NotPublished
from weir.inference.api.decide.stream_decisions import StandIn, StreamDecisions
from weir.inference.api.decide.waiting import TooManyWaiting
from weir.inference.api.live.feed import Live
from weir.inference.api.request import BadRequest, FieldError, parse_event
from weir.inference.api.web.content import find_wrong_content
from weir.inference.api.what_if import AlreadyDecided
from weir.monitoring import metrics
from weir.schemas.errors import Transient, WeirError
from weir.schemas.stream import Stream

_NO_TIME = -(1 << 63)
"""Stands for a time that is left out; no event has it."""
Score = Callable[[dict[str, Any], int], Any]
"""Makes a what-if of an event as of a time; awaited."""


@dataclass(frozen=True)
class DecideParts:
    """What the path stands on.

    Attributes:
        decisions: asks the stream.
        wait_ms: how long a decision is waited for where the request does not say.
        wait_ms_max: how long it may ask to wait.
        live: the stream's decisions as they come, for those who watch; without it there is no such path.
    """

    decisions: StreamDecisions
    wait_ms: int
    wait_ms_max: int
    live: Live | None = None


def add_decide(
    router: APIRouter, prefix: str, stream: Stream, parts: DecideParts, score: Score, clock: Callable[[], int]
) -> None:
    """Add the path to those of a stream, all of which begin with the prefix."""
    told = metrics.DECIDE_SECONDS
    waiting = metrics.DECIDE_WAITING.labels(stream=stream.name)
    waiting.set_function(lambda: parts.decisions.number)
    # as defaults: names of this function are unknown where annotations are resolved
    wait: Any = Query(None, ge=0, le=parts.wait_ms_max, description=document.WAIT)
    wanted: Any = Query(False, description=document.WHAT_IF)
    preferred: Any = Header("", max_length=PREFERENCES_BYTES_MAX, description=document.PREFER)

    @router.post(
        f"{prefix}/decide",
        responses=document.answers(stream),
        openapi_extra=document.event_body(stream) | needs(Scope.SCORE),
        summary=f"Publish a {stream.event} and answer with the stream's own decision on it",
    )
    async def post_decide(
        request: Request, wait_ms: int | None = wait, what_if: bool = wanted, prefer: str = preferred
    ) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        began, now_ms = time.perf_counter(), clock()
        event = _parse(stream, await request.body())
        note_about(request, str(event[stream.id]))
        seconds, applied = _choose_wait(parts, wait_ms, prefer)
        stand_in = partial(_make_stand_in, score, event, now_ms) if what_if else None
        reply = await _ask(
            parts.decisions, stream, prefix, event, now_ms=now_ms, wait_seconds=seconds, stand_in=stand_in
        )
        told.labels(stream=stream.name, outcome=reply.told).observe(time.perf_counter() - began)
        headers = dict(reply.headers) | ({"preference-applied": applied} if applied else {})
        return Response(reply.body, status_code=reply.status, headers=headers, media_type=reply.media_type)


def _parse(stream: Stream, body: bytes) -> dict[str, Any]:
    """Read the event, whose time has to be in it: a repeat with another time is another event."""
    event = parse_event(stream, body, now_ms=_NO_TIME)
    if event[stream.time] == _NO_TIME:
        message = "expected the event's time, found nothing: a repeat has to be the same event, its time included"
        raise BadRequest([FieldError(stream.time, message)])
    return event


def _choose_wait(parts: DecideParts, wait_ms: int | None, prefer: str) -> tuple[float, str]:
    """Return the seconds to wait, and the preference that was applied; the parameter beats the header."""
    if wait_ms is not None:
        return wait_ms / 1_000, ""
    preference = read_preference(prefer)
    if preference is None:
        return parts.wait_ms / 1_000, ""
    seconds = min(preference.wait_seconds, parts.wait_ms_max / 1_000)
    return seconds, f"wait={seconds:g}" if seconds else "respond-async"


async def _make_stand_in(score: Score, event: dict[str, Any], now_ms: int) -> dict[str, Any] | None:
    """Return a what-if; none of an event that was decided before or is refused, or while Redis is unreachable."""
    try:
        made: dict[str, Any] = await score(event, now_ms)
    except (AlreadyDecided, BadRequest, WeirError):
        return None
    return made


async def _ask(
    decisions: StreamDecisions,
    stream: Stream,
    prefix: str,
    event: dict[str, Any],
    *,
    now_ms: int,
    wait_seconds: float,
    stand_in: StandIn | None,
) -> Reply:
    try:
        outcome = await decisions.decide(event, now_ms=now_ms, wait_seconds=wait_seconds, stand_in=stand_in)
    except TooManyWaiting:
        return tell_busy()
    except NotPublished as error:
        return tell_not_published(error)
    except Transient as error:
        return tell_not_published(NotPublished(str(error), may_be_published=False))
    return build_reply(outcome, id_field=stream.id, event_id=str(event[stream.id]), prefix=prefix)
