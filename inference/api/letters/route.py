"""Paths of dead letters: the list, one letter, what a replay would send, and replay, repair or discard.

What a letter holds is shown masked and escaped, as ``weir dlq`` shows it. A letter is settled once for ever, so a
replay that is sent again says that it was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from weir.access.key import Key, Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.body import name_type
from weir.inference.api.change_body import read_body, read_flag
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.letters import document
from weir.inference.api.ports import LetterSource
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.web.content import find_wrong_content
from weir.schemas.stream import Stream
from weir.streaming.dlq.desk import Change, Wanted
from weir.streaming.dlq.log import Selection
from weir.streaming.dlq.page import read_cursor

THREADS_MAX = 4
"""That wait for dead letters, so that brokers that hang keep no other request waiting."""
LIMIT, LIMIT_MAX = 50, 200
_OFFSET_MAX = (1 << 63) - 1
_PARTITION_MAX = (1 << 31) - 1
_AWAY = ("unavailable", "refused")
_NOT_FOUND = "expected the place of a dead letter, found another: none was written there, or it is no longer kept"
_Partition = Annotated[int, PathParameter(ge=0, le=_PARTITION_MAX)]
_Offset = Annotated[int, PathParameter(ge=0, le=_OFFSET_MAX)]
_State = Literal["open", "unreplayable", "replayed", "parked", "discarded"]


class LetterPaths:
    """The paths of one stream's dead letters."""

    def __init__(self, letters: LetterSource, stream: Stream) -> None:
        """Bind to the dead letters of a stream."""
        self._letters = letters
        self._stream = stream
        self._limiter: CapacityLimiter | None = None
        self._topic: Any = Query(
            "", description="of dead letters; those of events without it",
            json_schema_extra={"enum": list(letters.topics)},
        )  # fmt: skip

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_page(router, path)
        one = f"{path}/{{partition}}/{{offset}}"
        self._add_letter(router, one)
        topic = self._letters.topics[0]
        step = document.build_step(self._stream, topic)
        replay, read = document.build_replay_body(self._stream), _read_replay
        shown = examples.answer("what would be done; nothing is written", document.STEP, step)
        self._add_change(router, f"{one}/check", self._letters.check, read, replay, shown, "Say what a replay would do")
        shown = examples.answer("it is sent", document.STEP, step)
        self._add_change(
            router, f"{one}/replay", self._letters.settle, read, replay, shown, "Send a dead letter again, or repaired"
        )
        discarded = {**step, "outcome": "discarded", "topic": None, "changes": [], "attempt": 0}
        shown = examples.answer("it is settled", document.STEP, discarded)
        summary = "Settle a dead letter without sending it; nothing is deleted"
        self._add_change(
            router, f"{one}/discard", self._letters.settle, _read_discard, document.DISCARD_BODY, shown, summary
        )

    def _add_page(self, router: APIRouter, path: str) -> None:
        reasons: Any = Query((), alias="reason", max_length=200, description="any of these; all without it")
        states: Any = Query((), alias="state", description="likewise")
        time: Any = Query(None, ge=0, le=_OFFSET_MAX, description="written at or after, UTC epoch ms")
        end: Any = Query(None, ge=0, le=_OFFSET_MAX, description="written before, UTC epoch ms")
        everything: Any = Query(False, alias="all", description="also repeats of what was decided once")
        limit: Any = Query(LIMIT, ge=1, le=LIMIT_MAX)
        cursor: Any = Query(None, max_length=20_000, description="`next` of the page before")

        async def get_letters(
            topic: str = self._topic,
            reason: Sequence[str] = reasons,
            state: Sequence[str] = states,
            from_ms: int | None = time,
            to_ms: int | None = end,
            everything: bool = everything,
            limit: int = limit,
            after: str | None = cursor,
        ) -> Response:
            place = None if after is None else read_cursor(after)
            if after is not None and place is None:
                raise BadRequest([FieldError("after", "expected `next` of the page before, found another text")])
            selection = Selection(reasons=frozenset(reason), from_ms=from_ms, to_ms=to_ms)
            wanted = Wanted(selection, frozenset(state), everything, limit, place)
            return answer_json(await self._call(self._letters.page, self._check_topic(topic), wanted))

        get_letters.__annotations__ |= {"reason": list[str], "state": list[_State]}
        topic = self._letters.topics[0]
        shown = {
            "topic": topic,
            "topics": list(self._letters.topics),
            "letters": [document.build_row(topic)],
            "next": "3-17",
        }
        router.get(
            path,
            responses={
                200: examples.answer(
                    "a page, the newest first; one that is not full may have a next", document.PAGE, shown
                ),
                **error_answers("invalid_request", *_AWAY),
            },
            summary="Dead letters",
            openapi_extra=needs(Scope.READ),
        )(get_letters)

    def _add_letter(self, router: APIRouter, path: str) -> None:
        async def get_letter(partition: _Partition, offset: _Offset, topic: str = self._topic) -> Response:
            found = await self._call(self._letters.show, self._check_topic(topic), partition, offset)
            return answer_error(404, "unknown_letter", _NOT_FOUND) if found is None else answer_json(found)

        example = document.build_letter(self._stream, self._letters.topics[0])
        router.get(
            path,
            responses={
                200: examples.answer("what it holds and what would be sent again", document.LETTER, example),
                **error_answers("unknown_letter", "invalid_request", *_AWAY),
            },
            summary="One dead letter",
            openapi_extra=needs(Scope.READ),
        )(get_letter)

    def _add_change(
        self,
        router: APIRouter,
        path: str,
        ask: Callable[[str, int, int, Change], dict[str, Any] | None],
        read: Callable[[bytes, str | None], Change],
        body: dict[str, Any],
        shown: dict[str, Any],
        summary: str,
    ) -> None:
        writes = ask == self._letters.settle

        async def post_change(
            request: Request, partition: _Partition, offset: _Offset, topic: str = self._topic
        ) -> Response:
            # asked of every body, an empty one too: a browser sends none of this kind from another page
            if wrong := find_wrong_content(request.headers):
                return answer_error(415, *wrong)
            key: Key | None = getattr(request.state, "key", None)
            change = read(await request.body(), None if key is None else key.name)
            found = await self._call(ask, self._check_topic(topic), partition, offset, change)
            if found is None:
                return answer_error(404, "unknown_letter", _NOT_FOUND)
            if writes and (refusal := _find_refusal(found)):
                return answer_error(409, *refusal)
            return answer_json(found)

        conflicts = ("letter_settled", "letter_not_sent") if writes else ()
        router.post(
            path,
            responses={
                200: shown,
                **error_answers("unknown_letter", *conflicts, *WRONG_CONTENT, "invalid_request", *_AWAY),
            },
            summary=summary,
            openapi_extra=body | needs(Scope.ADMIN),
        )(post_change)

    def _check_topic(self, topic: str) -> str:
        if topic and topic not in self._letters.topics:
            raise BadRequest([FieldError("topic", f"expected one of {', '.join(self._letters.topics)}")])
        return topic or self._letters.topics[0]

    async def _call(self, ask: Callable[..., Any], *given: Any) -> Any:
        if self._limiter is None:
            self._limiter = CapacityLimiter(THREADS_MAX)  # belongs to the event loop, which is not there before
        return await to_thread.run_sync(partial(ask, *given), limiter=self._limiter)


def _find_refusal(step: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the code and the message where a letter was not settled as it was asked for."""
    if step["outcome"] == "settled":
        return "letter_settled", f"expected a letter that is not settled, found one that was {step['note']}"
    if step["outcome"] in {"replayed", "discarded"}:
        return None
    return "letter_not_sent", f"expected a letter that can be sent, found it {step['outcome']}: {step['note']}"


def _read_replay(body: bytes, keyed_as: str | None) -> Change:
    given = read_body(body, "set", "parked", keyed_as=keyed_as)
    return Change(assignments=_read_assignments(given.get("set", {})), parked=read_flag(given, "parked"))


def _read_discard(body: bytes, keyed_as: str | None) -> Change:
    read_body(body, keyed_as=keyed_as)
    return Change(discard=True)


def _read_assignments(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise BadRequest([FieldError("set", f"expected an object, found {name_type(given)}")])
    if len(given) > document.FIELDS_MAX:
        raise BadRequest([FieldError("set", f"expected at most {document.FIELDS_MAX} fields, found {len(given)}")])
    return {name: _read_value(value) for name, value in given.items()}


def _read_value(value: Any) -> str:
    if isinstance(value, dict | list):
        raise BadRequest([FieldError("set", f"expected texts, numbers, true, false or null, found {name_type(value)}")])
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if len(text) > document.VALUE_CHARACTERS_MAX:
        bound = f"expected values of at most {document.VALUE_CHARACTERS_MAX:,} characters, found {len(text):,}"
        raise BadRequest([FieldError("set", bound)])
    return text
