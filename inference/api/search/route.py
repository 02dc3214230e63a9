"""``GET …/decisions``: past decisions by what they are about. ``GET …/metrics/daily``: what was decided day by day."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples, schema
from weir.inference.api.access import needs
from weir.inference.api.audited import note_about
from weir.inference.api.error_document import error_answers
from weir.inference.api.filters import filter_fields
from weir.inference.api.from_archive import ERRORS, FromArchive
from weir.inference.api.ports import SearchSource
from weir.inference.api.search.query import describe_days, describe_search, parse_days, parse_search
from weir.schemas.stream import Stream

_ERRORS = ("invalid_request", *ERRORS)


def _note_entity(request: Request, stream: Stream) -> None:
    """Have the audit log name the entity that is asked for, the first one of several."""
    given = request.query_params
    named = [name for name in filter_fields(stream) if name in given]
    if named:
        note_about(request, f"{named[0]}={given[named[0]]}")


class SearchPaths:
    """The paths of one stream's past decisions."""

    def __init__(self, stream: Stream, source: SearchSource | None) -> None:
        """Bind to what searches; nothing in an installation without the archive."""
        self._stream = stream
        self._source = source
        self._archive = FromArchive()

    def add(self, router: APIRouter, prefix: str) -> None:
        """Add the paths under a prefix."""
        self._add_search(router, f"{prefix}/decisions")
        self._add_days(router, f"{prefix}/metrics/daily")

    def _add_search(self, router: APIRouter, path: str) -> None:
        stream = self._stream

        async def get_decisions(request: Request) -> Response:
            search = parse_search(stream, request.query_params.multi_items())
            _note_entity(request, stream)
            return await self._call(lambda source: source.find(stream.name, search))

        router.get(
            path,
            responses={
                200: examples.answer(
                    "a page, the newest first", schema.build_search(stream), examples.build_search(stream)
                ),
                **error_answers(*_ERRORS),
            },
            summary=f"Past decisions on {stream.event}s by what they are about, from the archive",
            openapi_extra={"parameters": describe_search(stream)} | needs(Scope.READ),
        )(get_decisions)

    def _add_days(self, router: APIRouter, path: str) -> None:
        stream = self._stream

        async def get_daily_metrics(request: Request) -> Response:
            days = parse_days(request.query_params.multi_items())
            return await self._call(lambda source: source.count_days(stream.name, days))

        router.get(
            path,
            responses={
                200: examples.answer("days, the oldest first", schema.DAYS, examples.DAYS),
                **error_answers(*_ERRORS),
            },
            summary=f"{stream.event.capitalize()}s, money and shares by outcome, day by day, from the archive",
            openapi_extra={"parameters": describe_days()} | needs(Scope.READ),
        )(get_daily_metrics)

    async def _call(self, ask: Callable[[SearchSource], bytes | None]) -> Response:
        source = self._source
        found = await self._archive.ask(None if source is None else partial(ask, source))
        return found if isinstance(found, Response) else Response(found, media_type="application/json")
