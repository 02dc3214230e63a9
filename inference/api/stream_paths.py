"""The paths of one stream: live features, decisions, what-if scores, its model.

Delivery: reads are read only. ``publish=true`` is at least once, made once by the event's id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples, schema
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.around.route import AroundPaths
from weir.inference.api.audited import note_about
from weir.inference.api.batching import RequestBatcher
from weir.inference.api.cases.label import add_labels
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.decide.route import DecideParts, add_decide
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.ids import check_id
from weir.inference.api.letters.route import LetterPaths
from weir.inference.api.lists.route import ListsPaths
from weir.inference.api.live.route import add_live
from weir.inference.api.lookup import LookUp, look_up_all
from weir.inference.api.many import add_many
from weir.inference.api.models.route import ModelPaths
from weir.inference.api.models.scoring import Scoring, add_named_score
from weir.inference.api.ports import (
    AroundSource,
    CurveSource,
    DecisionSource,
    EventPublisher,
    EvidenceSource,
    LetterSource,
    ListsSource,
    ModelsSource,
    PartialsReader,
    RulesSource,
    SearchSource,
)
from weir.inference.api.quality.route import add_quality
from weir.inference.api.request import parse_event
from weir.inference.api.rules.route import RulesPaths
from weir.inference.api.search.route import SearchPaths
from weir.inference.api.uploads.desk import UploadDesk
from weir.inference.api.uploads.route import UploadPaths
from weir.inference.api.web.content import find_wrong_content
from weir.inference.api.what_if import Answer, Asked, WhatIf
from weir.inference.champion import Champion
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream
from weir.streaming.core.kernel import Kernel

if TYPE_CHECKING:
    from weir.cases.desk import Desk

_UNAVAILABLE = ("unavailable", "damaged", "refused")
_ID_SHOWN: dict[str, Any] = {"minLength": 1, "maxLength": ID_BYTES_MAX}
_Id = Annotated[str, PathParameter(json_schema_extra=_ID_SHOWN)]


@dataclass(frozen=True)
class StreamParts:
    """What the API stands on for one stream; what is missing of it raises ``Refused`` when it is asked.

    Attributes:
        models_dir: where the stream's bundles are.
        decide: asks the stream for decisions; without it there is no such path.
        evidence: answers for past decisions, likewise.
        search: searches past decisions; without it its paths say that there is no archive.
        around: looks at what is around an event, likewise.
        desk: the stream's cases; without it there is no such path.
        labels: publishes what an event turned out to be, likewise.
        letters: the stream's dead letters, likewise.
        rules: publishes the stream's rules, likewise.
        lists: publishes the stream's lists, likewise.
        models: tells how the stream's models were chosen, likewise.
        curves: measures what thresholds do; without it its path says that there is no archive.
        uploads: works on files of the stream's events, likewise.
    """

    kernel: Kernel
    reader: PartialsReader
    decisions: DecisionSource
    champion: Champion
    publisher: EventPublisher
    models_dir: Path
    decide: DecideParts | None = None
    evidence: EvidenceSource | None = None
    search: SearchSource | None = None
    around: AroundSource | None = None
    desk: Desk | None = None
    labels: EventPublisher | None = None
    letters: LetterSource | None = None
    rules: RulesSource | None = None
    lists: ListsSource | None = None
    models: ModelsSource | None = None
    curves: CurveSource | None = None
    uploads: UploadDesk | None = None

    @property
    def stream(self) -> Stream:
        """The stream itself."""
        return self.kernel.stream


@dataclass(frozen=True)
class Shared:
    """What the paths of all streams share."""

    redis: CircuitBreaker
    placeholders: Placeholders
    now_ms: Callable[[], int]


@dataclass(frozen=True)
class _ByEvent:
    """What a path answers of one event.

    Attributes:
        name: of the operation, which the document makes its id of.
        find: returns the JSON text, or None.
        missing: the code and the message of the error where it is None.
        answer: describes what is found, for the document.
    """

    name: str
    find: Callable[[str], Awaitable[bytes | None]]
    missing: tuple[str, str]
    summary: str
    answer: dict[str, Any]


def build_scoring(served: StreamParts, shared: Shared) -> Scoring:
    """Return how the events of a stream are scored, in batches that all its paths share."""
    what_if = WhatIf(served.kernel, served.reader, served.champion, shared.placeholders)

    def score(asked: Sequence[Asked]) -> list[Answer]:
        return shared.redis.call(lambda: what_if.score_all(asked))

    return Scoring(served.stream, served.champion, RequestBatcher(score))


def build_router(served: StreamParts, shared: Shared, scoring: Scoring, prefixes: tuple[str, ...]) -> APIRouter:
    """Return the paths of a stream under each prefix; all of them share the stream's batches."""
    stream, scores = served.stream, scoring.scores

    def look_up(asked: Sequence[LookUp]) -> list[dict[str, Any]]:
        return shared.redis.call(lambda: look_up_all(served.kernel, served.reader, asked))

    look_ups = RequestBatcher(look_up)
    router = APIRouter(tags=[stream.name])
    rooms = _build_rooms(served)
    if served.uploads is not None:
        rooms.append(("uploads", UploadPaths(served.uploads, stream, scores).add))
    search, around = SearchPaths(stream, served.search), AroundPaths(stream, served.around)
    models = ModelPaths(stream, served.champion, served.models_dir, served.models, served.curves)
    for prefix in prefixes:
        _add_lookup(router, f"{prefix}/features", stream, look_ups, shared.now_ms)
        if served.decide is not None and served.decide.live is not None:
            add_live(router, f"{prefix}/decisions/live", stream, served.decide.live)  # before ids, of which any fits
        search.add(router, prefix)
        around.add(router, prefix)
        _add_decisions(router, f"{prefix}/decisions", served, shared.redis)
        _add_scoring(router, f"{prefix}/score", served, scores, shared.now_ms)
        add_many(router, f"{prefix}/score/batch", stream, scores, shared.now_ms)
        models.add(router, f"{prefix}/models")
        add_named_score(router, f"{prefix}/models", scoring, shared.now_ms)
        add_quality(router, f"{prefix}/quality", served.models_dir)
        if served.evidence is not None:
            _add_evidence(router, f"{prefix}/evidence", stream, served.evidence)
        for name, add in rooms:
            add(router, f"{prefix}/{name}")
        if served.labels is not None:
            add_labels(router, f"{prefix}/labels", stream, served.labels, shared.placeholders, shared.now_ms)
        if served.decide is not None:
            add_decide(
                router, prefix, stream, served.decide, lambda event, at: scores.ask(Asked(event, at)), shared.now_ms
            )
    return router


def _add_lookup(
    router: APIRouter,
    path: str,
    stream: Stream,
    together: RequestBatcher[LookUp, dict[str, Any]],
    now_ms: Callable[[], int],
) -> None:
    kinds = tuple(stream.id_field_of)

    async def get_features(entity: str, entity_id: str) -> Response:
        if entity not in kinds:
            return answer_error(404, "unknown_entity", f"expected one of {', '.join(kinds)}")
        check_id(entity_id, of_card=stream.entity(entity).card_tokens)
        return answer_json(await together.ask(LookUp(entity, entity_id, now_ms())))

    # shown in the document and not enforced by the framework, whose answer would be another than ours
    kind = Annotated[str, PathParameter(json_schema_extra={"enum": list(kinds)})]
    get_features.__annotations__ = {"entity": kind, "entity_id": _Id, "return": Response}
    router.get(
        f"{path}/{{entity}}/{{entity_id:path}}",
        responses={
            200: examples.answer("windows as of now", schema.build_features(stream), examples.build_features(stream)),
            **error_answers("unknown_entity", "invalid_request", *_UNAVAILABLE),
        },
        summary=f"Live windows of {_name_one(kinds)}",
        openapi_extra=needs(Scope.READ),
    )(get_features)


def _name_one(kinds: tuple[str, ...]) -> str:
    return " or ".join(part for part in (", ".join(kinds[:-1]), kinds[-1]) if part)


def _build_rooms(served: StreamParts) -> list[tuple[str, Callable[[APIRouter, str], None]]]:
    """Return what adds the paths that have a room of their own, of those that the stream has."""
    found: list[tuple[str, Callable[[APIRouter, str], None]]] = []
    if served.desk is not None:
        from weir.inference.api.cases.route import CasePaths  # noqa: PLC0415 - needs the database's packages

        found.append(("cases", CasePaths(served.desk, served.stream).add))
    if served.letters is not None:
        found.append(("dead-letters", LetterPaths(served.letters, served.stream).add))
    if served.rules is not None:
        found.append(("rules", RulesPaths(served.rules).add))
    if served.lists is not None:
        found.append(("lists", ListsPaths(served.lists, served.stream).add))
    return found


def _add_decisions(router: APIRouter, path: str, served: StreamParts, redis: CircuitBreaker) -> None:
    stream = served.stream

    async def find(event_id: str) -> bytes | None:
        return redis.call(lambda: served.decisions.read(event_id))

    ask = f"`weir inspect decision --stream {stream.name} ID` tells a dead letter from these"
    shown = _ByEvent(
        "get_decision",
        find,
        missing=("no_decision", f"no decision on this {stream.event}: not decided yet, expired or unknown; {ask}"),
        summary=f"The decision on a {stream.event}",
        answer=examples.answer("the decision", schema.build_decision(stream), examples.build_decision(stream)),
    )
    _add_by_event(router, path, stream, shown)


def _add_evidence(router: APIRouter, path: str, stream: Stream, source: EvidenceSource) -> None:
    async def find(event_id: str) -> bytes | None:
        return await run_in_threadpool(source.answer, stream.name, event_id)

    what = "what is archived, and the decision made again"
    shown = _ByEvent(
        "get_evidence",
        find,
        missing=(
            "no_evidence",
            f"nothing of this {stream.event} in the archive: unknown or erased, or not archived yet",
        ),
        summary=f"Answer for a past decision on a {stream.event}, from the archive",
        answer=examples.answer(what, schema.build_evidence(), examples.build_evidence(stream)),
    )
    _add_by_event(router, path, stream, shown)


def _add_by_event(router: APIRouter, path: str, stream: Stream, shown: _ByEvent) -> None:
    """Add a path that answers with what is known of one event."""

    async def get_of_event(event_id: str) -> Response:
        check_id(event_id, of_card=False)
        found = await shown.find(event_id)
        return answer_error(404, *shown.missing) if found is None else Response(found, media_type="application/json")

    # in the path, the id is called what it is called in the stream
    named = Annotated[str, PathParameter(alias=stream.id, json_schema_extra=_ID_SHOWN)]
    get_of_event.__annotations__ = {"event_id": named, "return": Response}
    router.get(
        f"{path}/{{{stream.id}:path}}",
        name=shown.name,
        responses={200: shown.answer, **error_answers(shown.missing[0], "invalid_request", *_UNAVAILABLE)},
        summary=shown.summary,
        openapi_extra=needs(Scope.READ),
    )(get_of_event)


def _add_scoring(
    router: APIRouter,
    path: str,
    served: StreamParts,
    together: RequestBatcher[Asked, dict[str, Any]],
    clock: Callable[[], int],
) -> None:
    stream = served.stream

    @router.post(
        path,
        responses={
            200: examples.answer(
                "the decision that the stream would make now", schema.build_score(stream), examples.build_score(stream)
            ),
            **error_answers("duplicate", *WRONG_CONTENT, "invalid_request", *_UNAVAILABLE),
        },
        openapi_extra=examples.event_body(stream) | needs(Scope.SCORE),
        summary=f"Score a {stream.event}; nothing is written unless publish=true",
    )
    async def post_score(request: Request, publish: bool = False) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        now_ms = clock()
        event = parse_event(stream, await request.body(), now_ms=now_ms)
        note_about(request, str(event[stream.id]))
        scored = await together.ask(Asked(event, now_ms))
        scored["published"] = None
        if publish:
            at = await run_in_threadpool(served.publisher.publish, event)
            scored["published"] = {"topic": at.topic, "partition": at.partition, "offset": at.offset}
        return answer_json(scored)
