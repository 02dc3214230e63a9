"""Scores of many events in one request: each as if it were the only one, in the order of the request.

They take their turns with everybody else's: of one request no more are asked at a time than one turn of the event loop
answers, so a thousand scores delay a lone one by a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples, schema
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json, describe_invalid
from weir.inference.api.batching import BATCH_MAX, RequestBatcher
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.request import BadRequest, parse_events, read_event
from weir.inference.api.web.content import find_wrong_content
from weir.inference.api.what_if import DUPLICATE, AlreadyDecided, Asked
from weir.inference.bundle import Bundle
from weir.schemas.stream import Stream

EVENTS_MAX = 1_000
"""As many as one request may hold."""
Scores = RequestBatcher[Asked, dict[str, Any]]


def add_many(router: APIRouter, path: str, stream: Stream, scores: Scores, clock: Callable[[], int]) -> None:
    """Add the path."""

    @router.post(
        path,
        responses={
            200: examples.answer(
                "a score or an error for each event, in the order of the request",
                schema.build_scores(stream),
                examples.build_scores(stream),
            ),
            **error_answers(*WRONG_CONTENT, "invalid_request", "unavailable", "damaged", "refused"),
        },
        openapi_extra=examples.events_body(stream, EVENTS_MAX) | needs(Scope.SCORE),
        summary=f"Score up to {EVENTS_MAX:,} {stream.event}s, each as if it were the only one; nothing is written",
    )
    async def post_scores(request: Request, features: bool = False) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        now_ms = clock()
        documents = parse_events(stream, await request.body(), count_max=EVENTS_MAX)
        return answer_json({"scores": await score_events(stream, scores, documents, now_ms, features=features)})


async def score_events(
    stream: Stream,
    scores: Scores,
    documents: Sequence[Any],
    now_ms: int,
    *,
    features: bool,
    model: Bundle | None = None,
) -> list[dict[str, Any]]:
    """Return a score or an error for each document, in their order.

    Args:
        stream: whose events they are.
        scores: answers each.
        documents: as JSON has them.
        now_ms: stands for the broker's append time, UTC epoch ms.
        features: whether they are in the answers.
        model: that decides; by default the one that decides for the key.
    """
    found: list[dict[str, Any]] = []
    for start in range(0, len(documents), BATCH_MAX):
        turn = documents[start : start + BATCH_MAX]
        found += await asyncio.gather(*(_score_one(stream, scores, each, now_ms, model) for each in turn))
    if not features:
        for each in found:
            each.pop("features", None)
    return found


async def _score_one(
    stream: Stream, scores: Scores, document: Any, now_ms: int, model: Bundle | None
) -> dict[str, Any]:
    try:
        return await scores.ask(Asked(read_event(stream, document, now_ms=now_ms), now_ms, model))
    except BadRequest as error:
        return {"error": describe_invalid(error.errors)}
    except AlreadyDecided:
        return {"error": {"code": "duplicate", "message": DUPLICATE}}
