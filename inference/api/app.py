"""The HTTP API: live features, decisions, what-if scores, models, health. Wiring is in ``inference/api/serve.py``.

Every stream answers under ``/v1/streams/`` and its name (``inference/api/stream_paths.py``), the default stream under
``/v1/`` too. Every answer is JSON built by hand and written by orjson: a response model per request would cost more
than the kernel. Errors share one shape (``inference/api/web/errors.py``), and never repeat a value: an id may be a card
number. Redis is called from the event loop behind a guard (``inference/api/circuit_breaker.py``); what
may block for long goes to a thread.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.access.key import Key, Scope
from weir.inference.api import examples, schema
from weir.inference.api.access import ANY, OPEN, Keyed, authorize, build_document, needs, read_scopes
from weir.inference.api.answers import answer_error, answer_invalid, answer_json
from weir.inference.api.audited import Audited, Writes, begin_change, is_change
from weir.inference.api.body import UnknownEncoding
from weir.inference.api.change_body import show_who_asks
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.error_document import ALWAYS, add_errors, add_idempotency
from weir.inference.api.idempotent import Idempotent, Keeps
from weir.inference.api.keys.calls import CallsSource, add_calls
from weir.inference.api.keys.route import KeysSource, add_keys
from weir.inference.api.limited import Limited, Takes
from weir.inference.api.middleware import BodyLimit, Crowded, Heads, Hosts, Paths, Watched
from weir.inference.api.models.scoring import INFERENCE, Inference, add_inference
from weir.inference.api.ports import ReadinessCheck
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.stream_paths import Shared, StreamParts, build_router, build_scoring
from weir.inference.api.uploads.receiving import is_upload
from weir.inference.api.web.error_types import HTTP
from weir.inference.api.web.load import ALWAYS_ANSWERED
from weir.inference.api.web.pages import add_pages
from weir.inference.api.what_if import DUPLICATE, AlreadyDecided
from weir.infra.redis.rate_limits import Limit
from weir.monitoring import metrics
from weir.schemas.audit import NotAudited
from weir.schemas.checks.expression_types import nearest
from weir.schemas.errors import Damaged, Refused, Transient
from weir.schemas.placeholders import Placeholders

RETRY_AFTER_SECONDS = 1
_STREAMS = "/v1/streams/"
_CODES = {403: "forbidden"}


@dataclass(frozen=True)
class ApiParts:
    """What the API uses.

    Attributes:
        streams: each under ``/v1/streams/`` and its name.
        default: the name of the one that answers under the paths without a name too; ``""`` for none.
        checks: by dependency, asked by ``/readyz``.
        placeholders: ids that name nobody in this deployment.
        is_full: whether so many ask that health checks alone are answered.
        find_key: returns the valid key with a text; ``None`` where no key is asked for.
        keys: lists and revokes keys; without it there are no such paths.
        audit: notes calls of keys; without it none is noted.
        calls: those that were noted; without it there is no such path.
        limits: counts the requests of keys; ``None`` where no key is asked for.
        default_limit: of keys without one of their own.
        kept: keeps answers for requests with an idempotency key; without it such a key says nothing.
        close: disconnects.
    """

    streams: Sequence[StreamParts]
    default: str
    redis: CircuitBreaker
    checks: Mapping[str, ReadinessCheck]
    placeholders: Placeholders
    now_ms: Callable[[], int] = field(default=lambda: int(time.time() * 1_000))
    is_full: Callable[[], bool] = field(default=lambda: False)
    find_key: Callable[[str], Key | None] | None = None
    keys: KeysSource | None = None
    audit: Writes | None = None
    calls: CallsSource | None = None
    limits: Takes | None = None
    default_limit: Limit | None = None
    kept: Keeps | None = None
    close: Callable[[], None] = field(default=lambda: None)


def build_api(parts: ApiParts) -> FastAPI:
    """Return the application."""
    app = FastAPI(
        title="Weir",
        summary="Streaming fraud scores: live features, decisions and what-if scoring.",
        version="1",
        docs_url=None,  # ours: see inference/api/web/pages.py
        redoc_url=None,
        openapi_url="/openapi.json" if parts.find_key is None else None,
        redirect_slashes=parts.find_key is None,  # to a host that the client names, which a key must not be sent to
        dependencies=[] if parts.find_key is None else [Depends(_build_authorize(parts.audit))],
    )
    # from the inside out
    if parts.kept is not None:
        app.add_middleware(Idempotent, kept=parts.kept, redis=parts.redis)
    app.add_middleware(BodyLimit, more=partial(_find_upload_bytes, parts))
    app.add_middleware(Crowded, is_full=parts.is_full, always=ALWAYS_ANSWERED)
    if parts.find_key is None:
        app.add_middleware(Hosts, allowed=frozenset({"127.0.0.1", "localhost"}))
    else:
        if parts.limits is not None:
            app.add_middleware(Limited, limits=parts.limits, redis=parts.redis, default=parts.default_limit)
        # a page in a browser that reaches us under a name of its own has no key to send
        stream_of, hidden = partial(_find_stream, default=parts.default), partial(_hide, parts)
        app.add_middleware(Keyed, find=parts.find_key, stream_of=stream_of, hidden=hidden)
        if parts.audit is not None:
            app.add_middleware(
                Audited, audit=parts.audit, stream_of=partial(_find_served, parts), unnoted=OPEN, now_ms=parts.now_ms
            )
    app.add_middleware(Paths)
    app.add_middleware(Watched, plain_errors=parts.find_key is None)
    app.add_middleware(Heads)
    _add_error_handlers(app, parts)
    _add_streams(app, parts)
    if parts.find_key is not None and parts.keys is not None:
        add_keys(app, parts.keys, parts.now_ms)
    if parts.find_key is not None and parts.calls is not None:
        add_calls(app, parts.calls)
    _document_errors(app, keyed=parts.find_key is not None, keeps=parts.kept is not None)
    _add_operations(app, parts)
    if parts.find_key is not None:
        _add_keyed_document(app, parts)
    add_pages(app, lists_paths=parts.find_key is None)
    return app


def _add_streams(app: FastAPI, parts: ApiParts) -> None:
    shared, scorings = Shared(parts.redis, parts.placeholders, parts.now_ms), []
    for served in parts.streams:
        name, scoring = served.stream.name, build_scoring(served, shared)
        prefixes = (*(["/v1"] if name == parts.default else []), f"{_STREAMS}{name}")
        app.include_router(build_router(served, shared, scoring, prefixes))
        scorings.append(scoring)
    add_inference(app, Inference(scorings, parts.default), parts.now_ms)


def _build_authorize(audit: Writes | None) -> Callable[[Request], Awaitable[None]]:
    async def authorize_request(request: Request) -> None:  # a plain function would be sent to a thread at each request
        scope = authorize(request)
        if audit is not None and is_change(scope, request.method):
            await begin_change(request, audit)

    return authorize_request


def _document_errors(app: FastAPI, *, keyed: bool, keeps: bool) -> None:
    """Have the document name, for each path, the errors that it gets from what all requests pass."""
    build = app.openapi
    of_all = (*ALWAYS, *(() if keyed else ("unknown_host",)))

    @cache
    def build_with_errors() -> dict[str, Any]:
        document: dict[str, Any] = examples.restore_nulls(build())
        paths = set(document["paths"])
        add_errors(document, paths, *of_all)
        add_errors(document, paths - ALWAYS_ANSWERED, "busy")
        if keyed:
            add_errors(document, paths - OPEN, "unauthorized", "forbidden", "rate_limited")
            add_errors(document, filter(partial(_has_change, document), paths), "not_audited")
            named = {path for path in paths if path.startswith(_STREAMS)}
            add_errors(document, named, "unknown_stream")
            add_errors(document, paths - named - ALWAYS_ANSWERED, "no_default_stream")
        if keeps:
            add_idempotency(document)
        show_who_asks(document, keyed=keyed)
        return document

    app.openapi = build_with_errors  # type: ignore[method-assign] # as the library has it extended


def _has_change(document: dict[str, Any], path: str) -> bool:
    return any(is_change(scope, method.upper()) for method, scope in read_scopes(document["paths"][path]).items())


def _add_keyed_document(app: FastAPI, parts: ApiParts) -> None:
    """Serve the API's document as the key of a request sees it."""

    @app.get("/openapi.json", include_in_schema=False, openapi_extra=needs(ANY))
    async def get_document(request: Request) -> Response:
        return build(request.state.key.streams)

    @cache
    def build(streams: frozenset[str]) -> Response:
        return answer_json(build_document(app.openapi(), streams, stream_of))

    def stream_of(path: str) -> str | None:
        # the example there is an event of this stream, of which a key of others is told nothing
        first = parts.default or parts.streams[0].stream.name
        return first if path.startswith(f"{INFERENCE}/") else _find_stream(path, default=parts.default)


def _add_operations(app: FastAPI, parts: ApiParts) -> None:
    @app.get(
        "/healthz",
        responses={200: examples.answer("it is", schema.HEALTH, examples.HEALTH)},
        summary="The process is alive",
    )
    async def get_health() -> Response:
        return answer_json({"alive": True})

    @app.get(
        "/readyz",
        responses={
            200: examples.answer("all are", schema.READINESS, examples.READY),
            503: examples.answer("some are not; each says why", schema.READINESS, examples.NOT_READY),
        },
        summary="Redis, Kafka and the models are there",
    )
    async def get_ready() -> Response:
        asked = {**parts.checks, "model": lambda: check_models(parts.streams)}
        found = {name: _ask(check) for name, check in asked.items()}
        ready = all(well for well, _ in found.values())
        # who asks without a key learns no stream's name; metrics and the log have the reasons
        checks = {name: text for name, (_, text) in found.items()} if parts.find_key is None else {}
        return answer_json({"ready": ready, "checks": checks}, status=200 if ready else 503)

    @app.get("/metrics", summary="Prometheus metrics", include_in_schema=False, openapi_extra=needs(Scope.READ))
    async def get_metrics(request: Request) -> Response:
        if parts.find_key is not None and request.state.key.streams:
            raise HTTPException(403, "expected a key of every stream, whose metrics these are; found one that is bound")
        return Response(metrics.render_metrics(), headers={"content-type": metrics.CONTENT_TYPE})


def check_models(streams: Sequence[StreamParts]) -> str:
    """Return which streams lack a model, and ``ok`` where none does: the others are served all the same.

    Raises:
        Transient: every stream lacks one.
    """
    for each in streams:
        each.champion.poll()
    missing = [f"{each.stream.name}: {each.champion.missing}" for each in streams if each.champion.missing]
    if len(missing) == len(streams):
        raise Transient("; ".join(missing))
    return "; ".join(missing) or "ok"


def _add_error_handlers(app: FastAPI, parts: ApiParts) -> None:
    def handle(kind: type[Exception], answer: Callable[[Any], Response]) -> None:
        async def handler(_: Request, error: Exception) -> Response:
            return answer(error)

        typed: Callable[[Request, Exception], Awaitable[Response]] = handler
        app.add_exception_handler(kind, typed)

    async def handle_http(request: Request, error: Any) -> Response:
        served = [each.stream.name for each in parts.streams]
        key: Key | None = getattr(request.state, "key", None)
        names = [name for name in served if key is None or key.reaches(name)]
        missing = _find_no_stream(request.scope["path"], names, parts.default) if error.status_code == 404 else None
        code, message = missing or (_CODES.get(error.status_code, HTTP), str(error.detail).lower())
        return answer_error(error.status_code, code, message, error.headers)  # a 405's say what is allowed

    handle(BadRequest, lambda error: answer_invalid(error.errors))
    handle(UnknownEncoding, lambda error: answer_error(415, "unsupported_encoding", str(error)))
    handle(RequestValidationError, lambda error: answer_invalid(_list_field_errors(error)))
    handle(AlreadyDecided, lambda _: answer_error(409, "duplicate", DUPLICATE))
    again = {"retry-after": str(RETRY_AFTER_SECONDS)}
    handle(Transient, lambda error: answer_error(503, "unavailable", str(error), again))
    handle(Damaged, lambda error: answer_error(503, "damaged", str(error), again))
    handle(NotAudited, lambda error: answer_error(503, "not_audited", str(error), again))
    # found while serving: an operator has to fix it, and waiting will not
    handle(Refused, lambda error: answer_error(503, "refused", str(error)))
    app.add_exception_handler(HTTPException, handle_http)


def _find_upload_bytes(parts: ApiParts, scope: Mapping[str, Any]) -> int:
    """Return how many bytes an upload may have; 0 for other requests."""
    bounds = [each.uploads.bytes_max for each in parts.streams if each.uploads is not None]
    return max(bounds, default=0) if is_upload(scope) else 0


def _find_stream(path: str, *, default: str) -> str | None:
    """Return the name in the path of a stream, or the default's for a path without one; nothing for other paths."""
    if path.startswith(_STREAMS):
        return path.removeprefix(_STREAMS).partition("/")[0]
    return default if path.startswith("/v1/") else None


def _find_served(parts: ApiParts, path: str) -> str | None:
    """Return the stream of a path where it is served: another name is the client's own text."""
    name = _find_stream(path, default=parts.default)
    return name if name in {each.stream.name for each in parts.streams} else None


def _hide(parts: ApiParts, path: str, key: Key) -> tuple[str, str]:
    """Return code and message for a path of a stream that a key is not bound to: as if there were none."""
    names = [each.stream.name for each in parts.streams if key.reaches(each.stream.name)]
    missing = _find_no_stream(path, names, "")
    assert missing is not None, "asked only of paths of streams, and none of these is told"
    return missing


def _find_no_stream(path: str, names: Sequence[str], default: str) -> tuple[str, str] | None:
    """Return code and message where a path that is not there names no stream of those that may be told."""
    if path.startswith(_STREAMS):
        name = path.removeprefix(_STREAMS).partition("/")[0]
        if name not in names:
            return "unknown_stream", f"expected a stream that is served, found another name{nearest(name[:64], names)}"
    elif path.startswith("/v1/") and not default:
        return "no_default_stream", (
            f"expected {_STREAMS}{{stream}}/..., found no stream's name and several streams{nearest('', names)}; "
            'default = "..." in weir.toml says which one is meant'
        )
    return None


def _list_field_errors(error: RequestValidationError) -> list[FieldError]:
    # the library's own answer would repeat the input
    return [FieldError(".".join(str(part) for part in each["loc"][1:]), each["msg"].lower()) for each in error.errors()]


def _ask(check: ReadinessCheck) -> tuple[bool, str]:
    try:
        return True, check() or "ok"
    except Transient as error:
        return False, str(error)
