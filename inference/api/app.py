"""The HTTP API: live features, decisions, what-if scores, models, health. Wiring is in ``inference/api/serve.py``.

Every answer is JSON built by hand and written by orjson: a response model per request would cost more than the
kernel. Errors share one shape, ``{"error": {"code", "message", "fields"?}}``, and never repeat a value: an id may be
a card number. Redis is called from the event loop behind a guard (``inference/api/circuit_breaker.py``); what may
block for long goes to a thread.

Delivery: reads are read only. ``publish=true`` is at least once, made once by the transaction id.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.inference.api import examples, schema
from weir.inference.api.batching import RequestBatcher
from weir.inference.api.body import UnknownEncoding
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.decide.route import DecideParts, DecidePath, add_decide
from weir.inference.api.lookup import LookUp, look_up_all
from weir.inference.api.middleware import BodyLimit, Crowded, Heads, Hosts, Paths, Watched
from weir.inference.api.models import describe_models
from weir.inference.api.ports import DecisionSource, PartialsReader, ReadinessCheck, TransactionPublisher
from weir.inference.api.request import BadRequest, FieldError, parse_event
from weir.inference.api.web.content import find_wrong_content
from weir.inference.api.web.pages import add_pages
from weir.inference.api.what_if import AlreadyDecided, Answer, Asked, WhatIf
from weir.inference.champion import Champion
from weir.monitoring import metrics
from weir.schemas.errors import Damaged, Refused, Transient
from weir.schemas.masking import is_card_number, is_issued_card_number
from weir.schemas.placeholders import Placeholders
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream
from weir.streaming.core.kernel import Kernel

RETRY_AFTER_SECONDS = 1
ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
"""However many ask: a supervisor that gets no answer would kill a process that is only busy."""

_Id = Annotated[str, Path(json_schema_extra={"minLength": 1, "maxLength": ID_BYTES_MAX})]


@dataclass(frozen=True)
class StreamParts:
    """What the API stands on for one stream."""

    kernel: Kernel
    reader: PartialsReader
    champion: Champion
    publisher: TransactionPublisher
    decide: DecideParts | None = None


@dataclass(frozen=True)
class ApiParts:
    """What the API stands on.

    Attributes:
        kernel: of the default stream, for which the paths without a stream's name answer; so are its reader, champion
            and publisher.
        checks: by dependency, asked by ``/readyz``.
        placeholders: ids that name nobody in this deployment.
        is_full: whether so many ask that health checks alone are answered.
        others: further streams, each under ``/v1/streams/`` and its name, as the default stream is too.
        decide: asks the default stream for decisions; without it there is no such path.
    """

    kernel: Kernel
    reader: PartialsReader
    decisions: DecisionSource
    champion: Champion
    publisher: TransactionPublisher
    redis: CircuitBreaker
    checks: Mapping[str, ReadinessCheck]
    models_dir: Any
    placeholders: Placeholders
    now_ms: Callable[[], int] = field(default=lambda: int(time.time() * 1_000))
    is_full: Callable[[], bool] = field(default=lambda: False)
    others: Sequence[StreamParts] = ()
    decide: DecideParts | None = None


def build_api(parts: ApiParts) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="Weir",
        summary="Streaming fraud scores: live features, decisions and what-if scoring.",
        version="1",
        docs_url=None,  # ours: see inference/api/web/pages.py
        redoc_url=None,
    )
    # from the inside out
    app.add_middleware(BodyLimit)
    app.add_middleware(Crowded, is_full=parts.is_full, always=ALWAYS_ANSWERED)
    app.add_middleware(Hosts, allowed=frozenset({"127.0.0.1", "localhost"}))
    app.add_middleware(Paths)
    app.add_middleware(Watched)
    app.add_middleware(Heads)
    _add_error_handlers(app)
    default = StreamParts(parts.kernel, parts.reader, parts.champion, parts.publisher, parts.decide)
    for served in (default, *parts.others):
        own = f"/v1/streams/{served.kernel.stream.name}"
        _add_stream(app, parts, served, ["/v1", own] if served is default else [own])
    _add_decisions(app, parts)
    _add_operations(app, parts)
    add_pages(app)
    return app


def _add_stream(app: FastAPI, parts: ApiParts, served: StreamParts, prefixes: Sequence[str]) -> None:
    """Add what is asked about one stream, under each prefix: one stream has all of its paths share their batches."""
    stream = served.kernel.stream
    what_if = WhatIf(served.kernel, served.reader, served.champion, parts.placeholders)

    def look_up(asked: Sequence[LookUp]) -> list[dict[str, Any]]:
        return parts.redis.call(lambda: look_up_all(served.kernel, served.reader, asked))

    def score(asked: Sequence[Asked]) -> list[Answer]:
        return parts.redis.call(lambda: what_if.score_all(asked))

    look_ups, scores = RequestBatcher(look_up), RequestBatcher(score)
    for prefix in prefixes:
        _add_lookup(app, f"{prefix}/features", stream, look_ups, parts.now_ms)
        _add_scoring(app, f"{prefix}/score", served, scores, parts.now_ms)
        if served.decide is not None:
            at = DecidePath(f"{prefix}/decide", look_up_prefix="/v1")
            add_decide(app, at, stream, served.decide, lambda event, ms: scores.ask(Asked(event, ms)), parts.now_ms)


def _add_lookup(
    app: FastAPI,
    path: str,
    stream: Stream,
    together: RequestBatcher[LookUp, dict[str, Any]],
    now_ms: Callable[[], int],
) -> None:
    kinds = tuple(stream.id_field_of)

    async def get_features(entity: str, entity_id: str) -> Response:
        if entity not in kinds:
            return _error(404, "unknown_entity", f"expected one of {', '.join(kinds)}")
        _check_id(entity_id, of_card=stream.entity(entity).card_tokens)
        return _json(await together.ask(LookUp(entity, entity_id, now_ms())))

    # shown in the document and not enforced by the framework, whose answer would be another than ours
    kind = Annotated[str, Path(json_schema_extra={"enum": list(kinds)})]
    get_features.__annotations__ = {"entity": kind, "entity_id": _Id, "return": Response}
    app.get(
        f"{path}/{{entity}}/{{entity_id:path}}",
        responses={
            200: examples.answer("windows as of now", schema.build_features(stream), examples.build_features(stream)),
            **examples.error_answers(404, 422, 503),
        },
        summary=f"Live windows of {_name_one(kinds)}",
    )(get_features)


def _name_one(kinds: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(kinds[:-1]), kinds[-1]) if part)


def _add_decisions(app: FastAPI, parts: ApiParts) -> None:
    stream = parts.kernel.stream

    @app.get(
        "/v1/decisions/{transaction_id:path}",
        responses={
            200: examples.answer("the decision", schema.build_decision(stream), examples.build_decision(stream)),
            **examples.error_answers(404, 422, 503),
        },
        summary="The decision on a transaction",
    )
    async def get_decision(transaction_id: _Id) -> Response:
        _check_id(transaction_id, of_card=False)
        found = parts.redis.call(lambda: parts.decisions.read(transaction_id))
        if found is None:
            return _error(404, "no_decision", "no decision on this transaction: not decided yet, expired or unknown")
        return Response(found, media_type="application/json")


def _add_scoring(
    app: FastAPI,
    path: str,
    served: StreamParts,
    together: RequestBatcher[Asked, dict[str, Any]],
    clock: Callable[[], int],
) -> None:
    stream = served.kernel.stream

    @app.post(
        path,
        responses={
            200: examples.answer(
                "the decision that the stream would make now", schema.build_score(stream), examples.build_score(stream)
            ),
            **examples.error_answers(409, 413, 415, 422, 503),
        },
        openapi_extra=examples.event_body(stream),
        summary=f"Score a {stream.event}; nothing is written unless publish=true",
    )
    async def post_score(request: Request, publish: bool = False) -> Response:
        if wrong := find_wrong_content(request.headers):
            return _error(415, *wrong)
        now_ms = clock()
        event = parse_event(stream, await request.body(), now_ms=now_ms)
        scored = await together.ask(Asked(event, now_ms))
        scored["published"] = None
        if publish:
            at = await run_in_threadpool(served.publisher.publish, event)
            scored["published"] = {"topic": at.topic, "partition": at.partition, "offset": at.offset}
        return _json(scored)


def _add_operations(app: FastAPI, parts: ApiParts) -> None:
    @app.get(
        "/v1/models",
        responses={200: examples.answer("what decides", schema.MODELS)},
        summary="The model, rules and lists in force, and the bundles at hand",
    )
    async def get_models() -> Response:
        parts.champion.poll()
        return _json(await run_in_threadpool(describe_models, parts.champion, parts.models_dir))

    @app.get("/healthz", responses={200: examples.answer("it is", schema.HEALTH)}, summary="The process is alive")
    async def get_health() -> Response:
        return _json({"alive": True})

    @app.get(
        "/readyz",
        responses={
            200: examples.answer("all are", schema.READINESS),
            503: examples.answer("some are not; each says why", schema.READINESS),
        },
        summary="Redis, Kafka and the model are there",
    )
    async def get_ready() -> Response:
        found = {name: _ask(check) for name, check in parts.checks.items()}
        found["model"] = (True, "ok")  # the process does not run without one
        ready = all(well for well, _ in found.values())
        checks = {name: text for name, (_, text) in found.items()}
        return _json({"ready": ready, "checks": checks}, status=200 if ready else 503)

    @app.get("/metrics", summary="Prometheus metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        return Response(metrics.render_metrics(), headers={"content-type": metrics.CONTENT_TYPE})


def _add_error_handlers(app: FastAPI) -> None:
    def handle(kind: type[Exception], answer: Callable[[Any], Response]) -> None:
        async def handler(_: Request, error: Exception) -> Response:
            return answer(error)

        typed: Callable[[Request, Exception], Awaitable[Response]] = handler
        app.add_exception_handler(kind, typed)

    handle(BadRequest, lambda error: _invalid(error.errors))
    handle(UnknownEncoding, lambda error: _error(415, "unsupported_encoding", str(error)))
    handle(RequestValidationError, lambda error: _invalid(_field_errors(error)))
    handle(
        AlreadyDecided,
        lambda _: _error(
            409, "duplicate", "the card used this transaction id within the last day; look its decision up"
        ),
    )
    handle(Transient, lambda error: _error(503, "unavailable", str(error), {"retry-after": str(RETRY_AFTER_SECONDS)}))
    handle(Damaged, lambda error: _error(503, "damaged", str(error), {"retry-after": str(RETRY_AFTER_SECONDS)}))
    # found while serving: an operator has to fix it, and waiting will not
    handle(Refused, lambda error: _error(503, "refused", str(error)))
    # with its headers: a 405 says in one of them what is allowed
    handle(HTTPException, lambda error: _error(error.status_code, "http", str(error.detail).lower(), error.headers))


def _field_errors(error: RequestValidationError) -> list[FieldError]:
    # the library's own answer would repeat the input
    return [FieldError(".".join(str(part) for part in each["loc"][1:]), each["msg"].lower()) for each in error.errors()]


def _check_id(entity_id: str, *, of_card: bool) -> None:
    size = len(entity_id.encode("utf-8", "surrogatepass"))
    if not 0 < size <= ID_BYTES_MAX:
        raise BadRequest([FieldError("id", f"expected 1 to {ID_BYTES_MAX} bytes, found {size}")])
    if is_issued_card_number(entity_id) or (of_card and is_card_number(entity_id)):
        raise BadRequest([FieldError("id", "expected a token, found a card number; it has been logged nowhere")])


def _ask(check: ReadinessCheck) -> tuple[bool, str]:
    try:
        return True, check() or "ok"
    except Transient as error:
        return False, str(error)


def _invalid(errors: list[FieldError]) -> Response:
    body = {
        "code": "invalid_request",
        "message": "; ".join(f"{error.field}: {error.message}" for error in errors),
        "fields": [{"field": error.field, "message": error.message} for error in errors],
    }
    return _json({"error": body}, status=422)


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": {"code": code, "message": message}}, status=status, headers=headers)


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status_code=status, headers=headers, media_type="application/json")
