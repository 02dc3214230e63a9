"""What the paths of rules and of lists share: a change is read and made, and what is published answers in its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from weir.access.key import Key, Scope
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.body import name_type
from weir.inference.api.change_body import BY, read_body
from weir.inference.api.error_document import WRONG_CONTENT, Responses, error_answers
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.rules.document import VERSION_CHARACTERS_MAX, WHY_CHARACTERS_MAX
from weir.inference.api.web.content import find_wrong_content
from weir.inference.published.opened import UnknownVersion
from weir.inference.published.trials import NotPassed

THREADS_MAX = 4
"""That wait for what is published, so that brokers that hang keep no other request waiting."""
AWAY = ("unavailable", "refused")
Change = Callable[[dict[str, Any]], dict[str, Any]]
VersionQuery = Annotated[str, Query(max_length=VERSION_CHARACTERS_MAX, description="or its beginning")]
_ASK_AGAIN = {"retry-after": "1"}


class PublishedPaths:
    """The paths of one kind of what is published of a stream."""

    def __init__(self, kind: str, not_passed: str = "") -> None:
        """Bind to a kind, by its name, and to the error of what goes too far where it is tried on the past."""
        self._kind = kind
        self._not_passed = not_passed
        self._limiter: CapacityLimiter | None = None

    def _add_change(
        self,
        router: APIRouter,
        path: str,
        change: Change,
        body: dict[str, Any],
        shown: tuple[Responses, tuple[str, ...]],
        summary: str,
    ) -> None:
        fields = tuple(body["requestBody"]["content"]["application/json"]["schema"]["properties"])

        async def post_change(request: Request) -> Response:
            return await self._make(request, fields, change)

        answers, codes = shown
        router.post(
            path,
            name=f"post_{self._kind}",
            responses={**answers, **error_answers(*codes, *WRONG_CONTENT, "invalid_request", *AWAY)},
            summary=summary,
            openapi_extra=body | needs(Scope.RULES),
        )(post_change)

    async def _make(self, request: Request, fields: Sequence[str], change: Change) -> Response:
        """Read a change, make it, and answer."""
        # asked of every body: a browser sends none of this kind from another page
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        key: Key | None = getattr(request.state, "key", None)
        named = [name for name in fields if name != BY]
        given = read_body(await request.body(), *named, keyed_as=None if key is None else key.name)
        return await self._answer(partial(change, given))

    async def _answer(self, make: Callable[[], dict[str, Any]]) -> Response:
        if self._limiter is None:
            self._limiter = CapacityLimiter(THREADS_MAX)  # belongs to the event loop, which is not there before
        try:
            found = await to_thread.run_sync(make, limiter=self._limiter)
        except UnknownVersion as error:
            return answer_error(404, "unknown_version", str(error))
        except NotPassed as error:
            return answer_error(409, self._not_passed, f"{error}; change them, or say in `force` why they are right")
        is_running = "action" in found and found["action"] is None
        return answer_json(found, 202 if is_running else 200, _ASK_AGAIN if is_running else None)


def read_force(given: Mapping[str, Any]) -> str:
    """Return why something is published that goes too far; empty where nothing is said.

    Raises:
        BadRequest: as ``read_line``.
    """
    return read_line(given, "force", WHY_CHARACTERS_MAX) if given.get("force") else ""


def read_line(given: Mapping[str, Any], name: str, characters_max: int) -> str:
    """Return a text of one line that is kept, such as why something is done.

    Raises:
        BadRequest: it is missing, too long, or holds a character that does not show.
    """
    text = given.get(name)
    if not isinstance(text, str):
        raise BadRequest([FieldError(name, f"expected a string, found {name_type(text)}")])
    kept = text.strip()
    if not 0 < len(kept) <= characters_max or not kept.isprintable():
        raise BadRequest([FieldError(name, f"expected one line of 1 to {characters_max:,} printable characters")])
    return kept
