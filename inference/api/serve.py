"""Wires the API to Kafka, Redis and the registry, and serves it until told to stop."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache, partial
from socket import socket
from typing import TYPE_CHECKING

from confluent_kafka import Producer
from fastapi import FastAPI

from weir.access.key import check_rate
from weir.inference.api import examples as api_examples
from weir.inference.api.app import ApiParts, build_api
from weir.inference.api.cases.build import build_desk
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.decide.build import build_decide
from weir.inference.api.decide.lag import StreamLag
from weir.inference.api.decide.waiting import Places
from weir.inference.api.ports import ArchiveSources, ReadinessCheck
from weir.inference.api.publisher import KafkaPublisher
from weir.inference.api.reader import CurrentReader, build_feature_reader
from weir.inference.api.request import parse_event
from weir.inference.api.stream_paths import StreamParts
from weir.inference.api.uploads.desk import UploadDesk, build_uploads
from weir.inference.api.web.listening import bind, check_host, inherit
from weir.inference.api.web.server import Tls, build_crowd, build_server
from weir.inference.api.what_if import WhatIf
from weir.inference.champion import open_champion
from weir.inference.index import DecisionReader
from weir.inference.processes import Reporter
from weir.inference.published.desk import RulesDesk
from weir.inference.published.gate import TryText
from weir.inference.published.lists_desk import ListsDesk
from weir.inference.published.models_desk import ModelsDesk
from weir.inference.published.opened import OpenPublisher
from weir.inference.published.trials import Trials
from weir.infra.heap import freeze_gc
from weir.infra.host import raise_limits
from weir.infra.kafka.clients import build_producer
from weir.infra.redis.client import Client, connect, ping
from weir.infra.redis.kept_answers import KeptAnswers
from weir.infra.redis.rate_limits import Limit, RateLimits
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.health import HEALTH, Health
from weir.monitoring.logs import get_logger
from weir.schemas.contracts import event_schemas, label_schemas, subject
from weir.schemas.errors import Refused, Transient
from weir.schemas.project import ServedStreams
from weir.schemas.stream import Stream
from weir.streaming.compiling import compile_kernel
from weir.streaming.dlq.desk import build_letters
from weir.streaming.dlq.letter import app_version
from weir.streaming.health.checks import start_watch
from weir.streaming.kernels import kernel_of
from weir.streaming.service import wait_for

if TYPE_CHECKING:
    from weir.access.audit.log import AuditLog
    from weir.access.audit.read import NewestCalls
    from weir.access.keyring import Keyring
    from weir.access.store import KeyStore

REDIS_SECONDS_MAX = 1.0
"""A request waits at most this long for Redis, whatever the other processes may."""
STAGES = ("process", "score", "index")
"""Whose positions the API reports: all, so that a stage whose processes are dead is seen to stand still."""
CHECKS = ("redis", "kafka", "registry", "host")
log = get_logger(__name__)


def run_api(
    settings: Settings,
    served: ServedStreams,
    *,
    host: str | None = None,
    port: int | None = None,
    archive: ArchiveSources | None = None,
    try_text: TryText | None = None,
    descriptor: int | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: of this deployment.
        served: the streams.
        host: in place of the settings'.
        port: likewise; 0 takes a free one.
        archive: answers for past decisions, in an installation that has it.
        try_text: tries rules and lists on the past, likewise.
        descriptor: of a listening socket that this process inherited, in place of host and port.

    Raises:
        Refused: another address than 127.0.0.1 without keys, a port that is taken, too few open files, or of a single
            stream a bundle that is not right or a topic that is missing.
        Transient: Kafka stayed away at the start.
    """
    raise_limits()
    host, port = settings.api.host if host is None else host, settings.api.port if port is None else port
    tls = Tls(settings.api.tls_certificate, settings.api.tls_key)
    tls.check()
    if descriptor is None:
        check_host(host, settings.api)
    listening = bind(host, port) if descriptor is None else inherit(descriptor)
    each = [settings.of_stream(stream) for stream in served.streams]
    lag = StreamLag()
    with listening, closing(start_watch(each[0], others=each[1:], stages=STAGES, on_positions=lag.note)):
        for of_stream in each:
            metrics.BUILD_INFO.labels(app_version(), of_stream.declarations_hash).set(1)
        crowd = build_crowd()
        parts = replace(
            build_parts(settings, served, lag=lag, archive=archive, try_text=try_text), is_full=lambda: crowd.full
        )
        _compile_kernels(parts)
        _announce(listening, settings, served, keyed=parts.find_key is not None)
        server = build_server(
            _build_app(parts), crowd, tls=tls, plain_errors=parts.find_key is None, on_stop=partial(_end_live, parts)
        )
        name = f"api :{listening.getsockname()[1]}"
        reporters = [Reporter(one, name, part.champion) for one, part in zip(each, parts.streams, strict=True)]
        freeze_gc()
        # uvicorn stops in order on these, then raises them again: a stop that was asked for ends with exit code 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        try:
            server.run(sockets=[listening])
        finally:
            for reporter in reporters:
                reporter.close()
            parts.close()
    return 0


def _announce(listening: socket, settings: Settings, served: ServedStreams, *, keyed: bool) -> None:
    at = f"{listening.getsockname()[0]}:{listening.getsockname()[1]}"
    docs = "" if keyed else " (docs at /docs)"  # a browser sends no key
    names = ", ".join(stream.name for stream in served.streams)
    sys.stdout.write(f"serving {'https' if settings.api.tls_key else 'http'}://{at}{docs}: {names}\n")
    sys.stdout.flush()


def _build_app(parts: ApiParts) -> FastAPI:
    """Return the application with its document written: the request that asks for it first would hold up all others."""
    app = build_api(parts)
    app.openapi()
    return app


def _end_live(parts: ApiParts) -> None:
    for served in parts.streams:
        if served.decide is not None and served.decide.live is not None:
            served.decide.live.close()


def _compile_kernels(parts: ApiParts) -> None:
    """Compile each stream's kernel in order, then both sides of it as a request needs them."""
    count = len(parts.streams)
    for number, served in enumerate(parts.streams, start=1):
        stream = served.stream
        compile_kernel(served.kernel, partial(log.info, stream=stream.name, number=number, of=count))
        now_ms = int(time.time() * 1_000)
        example = parse_event(stream, json.dumps(api_examples.build_event(stream)).encode(), now_ms=now_ms)
        what_if = WhatIf(served.kernel, served.reader, served.champion, parts.placeholders)
        what_if.warm_up(example, now_ms=now_ms)


def build_parts(
    settings: Settings,
    served: ServedStreams,
    health: Health = HEALTH,
    lag: StreamLag | None = None,
    archive: ArchiveSources | None = None,
    try_text: TryText | None = None,
) -> ApiParts:
    """Connect to everything the API stands on.

    Args:
        settings: of this deployment.
        served: what is served. A stream among several that lacks its model or its topics is served without them, and
            has them once they are there; a single one is refused.
        health: what ``/readyz`` tells of; somebody notes it, see ``weir.streaming.health.checks.start_watch``.
        lag: how far the streams are behind, noted by the same.
        archive: answers for past decisions; closed with the rest.
        try_text: tries rules and lists on the past.

    Raises:
        Refused: a single stream's bundle is not right, or one of its topics is missing.
        Transient: Kafka stayed away, or every node of a Redis Cluster.
    """
    patience = min(settings.redis.timeout_seconds, REDIS_SECONDS_MAX)
    client = wait_for(lambda: connect(settings.redis.model_copy(update={"timeout_seconds": patience})))
    guard = CircuitBreaker("redis", lambda: ping(client))
    connections = _Connections(
        client,
        Registry(settings.registry),
        build_producer(settings.kafka, linger_ms=0, message_timeout_ms=5_000),
        guard,
        lag or StreamLag(),
        Places(number_max=settings.api.decide_waiting_max, bytes_max=settings.api.decide_waiting_mb_max << 20),
        build_uploads(settings, served),
        required=len(served.streams) == 1,
    )
    past = archive or ArchiveSources(None, None)
    streams = [
        _build_stream(of_stream, connections, past, try_text) for of_stream in map(settings.of_stream, served.streams)
    ]
    keys = _open_keys(settings)
    keyring = None if keys is None else _open_keyring(keys)
    audit = _open_audit(settings)
    close = _close_all(connections, streams, [each.close for each in (keyring, audit, *past) if each is not None])
    checks: dict[str, ReadinessCheck] = {name: partial(_check, health, name, guard) for name in CHECKS}
    return ApiParts(
        streams=streams,
        default=served.default,
        redis=guard,
        checks=checks | {"decide": partial(_check_decide, streams)},
        placeholders=settings.placeholders,
        find_key=keyring.find if keyring else None,
        keys=keys,
        audit=audit,
        calls=None if audit is None else _read_audit(settings),
        limits=RateLimits(client, space=settings.cluster) if keyring else None,
        default_limit=_read_default_limit(settings),
        kept=KeptAnswers(client, space=settings.cluster, bytes_max=settings.api.idempotency_mb_max << 20),
        close=close,
    )


def _close_all(
    connections: _Connections, streams: list[StreamParts], others: list[Callable[[], None]]
) -> Callable[[], None]:
    """Return what closes everything that the API stands on, the last opened first."""
    close = ExitStack()
    for each in (
        connections.redis,
        connections.registry,
        connections.guard,
        connections.uploads,
        *(of.champion for of in streams),
        *(of.desk for of in streams if of.desk is not None),
        *(of.letters for of in streams if of.letters is not None),
        *(of.rules for of in streams if of.rules is not None),
        *(of.lists for of in streams if of.lists is not None),
        *(of.decide.decisions for of in streams if of.decide is not None),
    ):
        close.callback(each.close)
    for end in others:
        close.callback(end)
    return close.close


def _open_keys(settings: Settings) -> KeyStore | None:
    if settings.api.keys == "off":
        return None
    # what serves without keys needs no database
    from weir.access.store import KeyStore  # noqa: PLC0415
    from weir.infra.database.engine import open_database  # noqa: PLC0415

    return KeyStore(open_database(settings))


def _open_keyring(keys: KeyStore) -> Keyring:
    from weir.access.keyring import Keyring  # noqa: PLC0415 - likewise

    keyring = Keyring(keys, lambda: int(time.time() * 1_000))
    if keyring.is_empty:
        log.warning("no_key", fix="weir keys create NAME --scopes admin")
    return keyring


def _open_audit(settings: Settings) -> AuditLog | None:
    if settings.api.keys == "off":
        return None
    from weir.access.audit.build import open_audit  # noqa: PLC0415 - without keys there is nobody to name

    return open_audit(settings)


def _read_audit(settings: Settings) -> NewestCalls:
    from weir.access.audit.read import NewestCalls  # noqa: PLC0415 - likewise

    return NewestCalls(settings)


def _read_default_limit(settings: Settings) -> Limit | None:
    api = settings.api
    try:
        rate, burst = check_rate(api.rate_per_second or None, api.rate_burst or None)
    except Refused as error:
        raise Refused(f"settings WEIR_API__RATE_PER_SECOND and WEIR_API__RATE_BURST: {error}") from None
    return None if rate is None or burst is None else Limit(rate, burst)


@dataclass(frozen=True)
class _Connections:
    """What the streams share.

    Attributes:
        guard: of Redis.
        required: whether a stream that lacks something is refused.
    """

    redis: Client
    registry: Registry
    producer: Producer
    guard: CircuitBreaker
    lag: StreamLag
    places: Places
    uploads: UploadDesk
    required: bool


def _build_stream(
    settings: Settings, connections: _Connections, past: ArchiveSources, try_text: TryText | None
) -> StreamParts:
    stream, topic, required = settings.stream, settings.topics.transactions, connections.required
    champion = open_champion(settings, required=required)
    kernel = kernel_of(stream)
    publisher = _build_publisher(connections, stream, topic, event_schemas(stream)[-1])
    labels = (
        None
        if stream.labels is None
        else _build_publisher(connections, stream, settings.topics.labels, label_schemas(stream)[-1])
    )
    build_reader = partial(build_feature_reader, settings, connections.redis, kernel)
    decisions = DecisionReader(connections.redis, space=settings.key_space)

    def read_entry(event_id: str) -> bytes | None:
        return connections.guard.call(lambda: decisions.read(event_id))

    opened, trials = OpenPublisher(settings), Trials(stream.name, try_text)
    return StreamParts(
        kernel=kernel,
        reader=wait_for(lambda: CurrentReader(build_reader, required=required)),
        decisions=decisions,
        champion=champion,
        publisher=publisher,
        models_dir=settings.models_dir,
        evidence=past.evidence,
        search=past.search,
        around=past.around,
        rules=RulesDesk(settings, opened, trials),
        lists=ListsDesk(settings, opened, trials),
        models=ModelsDesk(opened),
        curves=past.curves,
        desk=build_desk(settings, read_entry, past.evidence),
        labels=labels,
        uploads=connections.uploads,
        letters=build_letters(settings, connections.registry, now_ms=lambda: int(time.time() * 1_000)),
        decide=build_decide(
            settings,
            connections.registry,
            connections.places,
            read_entry=read_entry,
            lag_seconds=partial(connections.lag.seconds, topic),
        ),
    )


def _build_publisher(connections: _Connections, stream: Stream, topic: str, schema: str) -> KafkaPublisher:
    return KafkaPublisher(
        connections.producer,
        topic=topic,
        schema=schema,
        # ours, which may not be the subject's newest: the id must say what the bytes are
        schema_id=cache(lambda: connections.registry.register(subject(topic), schema)),
        stream=stream,
    )


def _check_decide(streams: Sequence[StreamParts]) -> str:
    """Return which streams' decisions are not read just now; requests for them are answered all the same."""
    said = [(each.stream.name, each.decide.decisions.describe()) for each in streams if each.decide is not None]
    return "; ".join(f"{name}: {text}" for name, text in said if text != "ok") or "ok"


def _check(health: Health, name: str, guard: CircuitBreaker) -> str:
    """Return how a dependency was at the last look; a request that Redis failed since is the newer news."""
    if name == "redis" and guard.reason:
        raise Transient(guard.reason)
    level, text = health.checks().get(name, ("fail", f"{name} was not looked at yet"))
    if level == "fail":
        raise Transient(text)
    return text
