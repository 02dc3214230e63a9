"""``GET …/links/ID`` and ``GET …/normal/ID``: whom an event shares ids with; its windows against its key's normal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error
from weir.inference.api.around.document import LINKS, NORMAL, build_links, build_normal
from weir.inference.api.error_document import error_answers
from weir.inference.api.from_archive import ERRORS, FromArchive
from weir.inference.api.ids import check_id
from weir.inference.api.ports import AroundSource
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

_Ask = Callable[[AroundSource, str, str], bytes | None]


class AroundPaths:
    """The paths of one stream."""

    def __init__(self, stream: Stream, source: AroundSource | None) -> None:
        """Bind to what looks; nothing in an installation without the archive."""
        self._stream = stream
        self._source = source
        self._archive = FromArchive()

    def add(self, router: APIRouter, prefix: str) -> None:
        """Add the paths under a prefix."""
        stream = self._stream
        shared = f"Other {stream.key.name}s that had the ids of a {stream.event} in the 30 days before it"
        answer = examples.answer("by each id, the newest first", LINKS, build_links(stream))
        self._add(router, f"{prefix}/links", "get_links", shared, answer, lambda a, b, c: a.find_links(b, c))
        own = f"Windows of the {stream.key.name} of a {stream.event} against its own normal"
        answer = examples.answer("the most unusual first", NORMAL, build_normal(stream))
        self._add(router, f"{prefix}/normal", "get_normal", own, answer, lambda a, b, c: a.find_normal(b, c))

    def _add(self, router: APIRouter, path: str, name: str, summary: str, answer: dict[str, Any], ask: _Ask) -> None:
        stream, source = self._stream, self._source

        async def get_around(event_id: str) -> Response:
            check_id(event_id, of_card=False)
            found = await self._archive.ask(None if source is None else partial(ask, source, stream.name, event_id))
            if isinstance(found, Response):
                return found
            if not found:
                return answer_error(404, "no_evidence", _describe_missing(stream))
            return Response(found, media_type="application/json")

        shown: dict[str, Any] = {"minLength": 1, "maxLength": ID_BYTES_MAX}
        named = Annotated[str, PathParameter(alias=stream.id, json_schema_extra=shown)]
        get_around.__annotations__ = {"event_id": named, "return": Response}
        router.get(
            f"{path}/{{{stream.id}:path}}",
            name=name,
            responses={200: answer, **error_answers("no_evidence", "invalid_request", *ERRORS)},
            summary=f"{summary}, from the archive",
            openapi_extra=needs(Scope.READ),
        )(get_around)


def _describe_missing(stream: Stream) -> str:
    return f"no feature row of this {stream.event} in the archive: unknown or erased, or not archived yet"
