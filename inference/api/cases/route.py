"""Paths of cases: the queue, one case, what opens one, claim, release, note, links and verdict.

A request waits for the database in threads of its own number, so that one that hangs keeps no other request waiting.
One that looks for the decision on an event waits in others: brokers and archive may take longer than the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.access.key import Key, Scope
from weir.cases.case import Case, Conflict, State, Verdict
from weir.cases.desk import Desk, UnknownCase, UnknownEvent
from weir.cases.page import build_case, build_file
from weir.cases.queue import LIMIT, LIMIT_MAX, Wanted, read_cursor
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.audited import note_about
from weir.inference.api.cases import document
from weir.inference.api.cases.bodies import read_event_id, read_verdict
from weir.inference.api.change_body import read_body, read_flag, read_text
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.web.content import find_wrong_content
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

THREADS_MAX, FINDING_MAX = 8, 4
_AWAY = ("unavailable", "refused")
_OF_EVENT = ("no_decision", "damaged")
"""Types of a path that looks for the decision on an event."""
_CONFLICTS = ("case_held", "case_not_claimed", "case_closed", "label_stays")
T = TypeVar("T")
Change = Callable[[Desk, str, dict[str, Any]], Case]
"""Makes a change of a case of that id, by what a request says."""


class CasePaths:
    """The paths of one stream's cases."""

    def __init__(self, desk: Desk, stream: Stream) -> None:
        """Bind to the cases of a stream."""
        self._desk = desk
        self._stream = stream
        self._limiters: dict[int, CapacityLimiter] = {}

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_queue(router, path)
        self._add_open(router, path)
        one = f"{path}/{{case_id}}"
        self._add_case(router, one)
        self._add_change(router, f"{one}/claim", (), _claim, document.CLAIM, "Hold a case")
        self._add_change(router, f"{one}/release", ("force",), _release, document.RELEASE, "Give a case back")
        self._add_change(router, f"{one}/notes", ("text",), _note, document.NOTE, "Add a note to a case")
        fields, summary = ("verdict", "reason"), "Give a verdict, or correct one"
        self._add_change(router, f"{one}/verdict", fields, _decide, document.VERDICT, summary)
        self._add_links(router, one)

    def _add_links(self, router: APIRouter, one: str) -> None:
        stream, named = self._stream, self._stream.id

        def link(desk: Desk, case_id: str, given: dict[str, Any]) -> Case:
            event_id, reason = read_event_id(given, named), read_text(given, "reason")
            return desk.link(case_id, event_id, given["by"], reason)

        def unlink(desk: Desk, case_id: str, given: dict[str, Any]) -> Case:
            return desk.unlink(case_id, read_event_id(given, named), given["by"])

        body, summary = document.event_body(stream, "the same device"), f"Link a case to another {stream.event}"
        codes = (*_OF_EVENT, "in_case", "links_full")
        self._add_change(router, f"{one}/links", (named, "reason"), link, body, summary, codes, FINDING_MAX)
        body, summary = document.event_body(stream, None), "Take a link of a case away"
        self._add_change(router, f"{one}/unlink", (named,), unlink, body, summary)

    def _add_open(self, router: APIRouter, path: str) -> None:
        stream = self._stream

        async def post_case(request: Request) -> Response:
            given = await self._read(request, stream.id, "reason")
            if isinstance(given, Response):
                return given
            event_id, reason = read_event_id(given, stream.id), read_text(given, "reason")
            note_about(request, event_id)
            try:
                added = await self._call(lambda: self._desk.open(event_id, given["by"], reason), FINDING_MAX)
            except UnknownEvent:
                return self._answer_unknown_event()
            return answer_json(build_case(added.case), status=201 if added.is_new else 200)

        shown = document.build_case(stream) | {"state": "open", "holder": None}
        router.post(
            path,
            responses={
                201: examples.answer(f"the case that the {stream.event} is put into", document.CASE, shown),
                200: examples.answer("the case that it was in before, as it is now", document.CASE, shown),
                **error_answers(*_OF_EVENT, *WRONG_CONTENT, "invalid_request", *_AWAY),
            },
            summary=f"Open a case of a {stream.event}, whatever was decided on it",
            openapi_extra=document.event_body(stream, "the customer called") | needs(Scope.REVIEW),
        )(post_case)

    def _add_queue(self, router: APIRouter, path: str) -> None:
        states: Any = Query((), alias="state", description="any of these; all without it")
        limit: Any = Query(LIMIT, ge=1, le=LIMIT_MAX)
        key_id: Any = Query(None, max_length=ID_BYTES_MAX, description=f"of this {self._stream.key.name}")
        event_id: Any = Query(None, max_length=ID_BYTES_MAX, description=f"with this {self._stream.event}")
        held_by: Any = Query(None, max_length=200, pattern=r"^[^\x00]*$", description="or who gave the verdict")
        cursor: Any = Query(None, max_length=200, description="`next` of the page before")

        async def get_cases(
            state: Sequence[State] = states,
            holder: str | None = held_by,
            key: str | None = key_id,
            event: str | None = event_id,
            verdict: Verdict | None = None,
            limit: int = limit,
            after: str | None = cursor,
        ) -> Response:
            place = None if after is None else read_cursor(after)
            if after is not None and place is None:
                raise BadRequest([FieldError("after", "expected `next` of the page before, found another text")])
            wanted = Wanted(frozenset(state), holder, key, verdict, limit, place, event)
            page = await self._call(lambda: self._desk.page(wanted))
            return answer_json({"cases": list(map(build_case, page.cases)), "next": page.cursor})

        get_cases.__annotations__["state"] = list[State]
        shown = {"cases": [document.build_case(self._stream)], "next": None}
        router.get(
            path,
            responses={
                200: examples.answer("a page, the largest expected loss first", document.PAGE, shown),
                **error_answers("invalid_request", *_AWAY),
            },
            summary="The queue of cases",
            openapi_extra=needs(Scope.READ),
        )(get_cases)

    def _add_case(self, router: APIRouter, path: str) -> None:
        async def get_case(case_id: str) -> Response:
            return await self._answer(lambda: build_file(self._desk.show(case_id)))

        router.get(
            path,
            responses={
                200: examples.answer(
                    "its decisions and history",
                    document.build_file(self._stream),
                    document.build_file_example(self._stream),
                ),
                **error_answers("unknown_case", "invalid_request", *_AWAY),
            },
            summary="One case with its decisions and history",
            openapi_extra=needs(Scope.READ),
        )(get_case)

    def _add_change(
        self,
        router: APIRouter,
        path: str,
        fields: tuple[str, ...],
        change: Change,
        body: dict[str, Any],
        summary: str,
        codes: tuple[str, ...] = _CONFLICTS,
        threads: int = THREADS_MAX,
    ) -> None:
        async def post_change(request: Request, case_id: str) -> Response:
            given = await self._read(request, *fields)
            if isinstance(given, Response):
                return given
            key: Key | None = getattr(request.state, "key", None)
            if given.get("force") and key is not None and not key.may(Scope.ADMIN):
                raise HTTPException(403, "expected a key with the scope admin to force, found one without it")
            return await self._answer(lambda: build_case(change(self._desk, case_id, given)), threads)

        router.post(
            path,
            responses={
                200: examples.answer("the case as it is now", document.CASE, document.build_case(self._stream)),
                **error_answers("unknown_case", *codes, *WRONG_CONTENT, "invalid_request", *_AWAY),
            },
            summary=summary,
            openapi_extra=body | needs(Scope.REVIEW),
        )(post_change)

    async def _read(self, request: Request, *fields: str) -> dict[str, Any] | Response:
        """Return what a request for a change says, with who asks as ``by``; or the error that is answered."""
        # asked of every body, an empty one too: a browser sends none of this kind from another page
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        key: Key | None = getattr(request.state, "key", None)
        return read_body(await request.body(), *fields, keyed_as=None if key is None else key.name)

    def _answer_unknown_event(self) -> Response:
        what = self._stream.event
        message = f"no decision on this {what}: not decided yet, unknown, or too old for the index and not archived"
        return answer_error(404, "no_decision", message)

    async def _answer(self, make: Callable[[], dict[str, Any]], threads: int = THREADS_MAX) -> Response:
        try:
            return answer_json(await self._call(make, threads))
        except UnknownCase:
            return answer_error(404, "unknown_case", "expected the id of a case of this stream, found another")
        except UnknownEvent:
            return self._answer_unknown_event()
        except Conflict as error:
            return answer_error(409, error.code, str(error))

    def _call(self, work: Callable[[], T], threads: int = THREADS_MAX) -> Awaitable[T]:
        if threads not in self._limiters:
            self._limiters[threads] = CapacityLimiter(threads)  # of the event loop, which is not there before
        return to_thread.run_sync(partial(work), limiter=self._limiters[threads])


def _claim(desk: Desk, case_id: str, given: dict[str, Any]) -> Case:
    return desk.claim(case_id, given["by"])


def _release(desk: Desk, case_id: str, given: dict[str, Any]) -> Case:
    return desk.release(case_id, given["by"], force=read_flag(given, "force"))


def _note(desk: Desk, case_id: str, given: dict[str, Any]) -> Case:
    return desk.note(case_id, given["by"], read_text(given, "text"))


def _decide(desk: Desk, case_id: str, given: dict[str, Any]) -> Case:
    return desk.decide(case_id, given["by"], read_verdict(given), read_text(given, "reason"))
