"""Wires the API to Kafka, Redis and the registry, and serves it on 127.0.0.1 until told to stop."""

from __future__ import annotations

import errno
import json
import signal
import socket
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import cache, partial

from weir.inference.api import examples as api_examples
from weir.inference.api.app import ApiParts, build_api
from weir.inference.api.circuit_breaker import CircuitBreaker
from weir.inference.api.decide.build import build_decide
from weir.inference.api.decide.lag import StreamLag
from weir.inference.api.publisher import KafkaPublisher
from weir.inference.api.reader import CurrentReader, build_feature_reader
from weir.inference.api.request import parse_event
from weir.inference.api.web.server import build_crowd, build_server
from weir.inference.api.what_if import WhatIf
from weir.inference.champion import Champion
from weir.inference.index import DecisionReader
from weir.inference.processes import Reporter
from weir.infra.embedded.ports import describe_listener
from weir.infra.heap import freeze_gc
from weir.infra.host import raise_limits
from weir.infra.kafka.clients import build_producer
from weir.infra.redis.client import connect, ping
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring import metrics
from weir.monitoring.health import HEALTH, Health
from weir.schemas.contracts import schema_json, subject
from weir.schemas.errors import Refused, Transient
from weir.streaming.compiling import compile_kernel
from weir.streaming.dlq.letter import app_version
from weir.streaming.health.checks import start_watch
from weir.streaming.kernels import shipped_kernel
from weir.streaming.service import wait_for

HOST = "127.0.0.1"
REDIS_SECONDS_MAX = 1.0
"""A request waits at most this long for Redis, whatever the other processes may."""
STAGES = ("process", "score", "index")
"""Whose positions the API reports: all, so that a stage whose processes are dead is seen to stand still."""
CHECKS = ("redis", "kafka", "registry", "host")
_BACKLOG = 1_024


def run_api(settings: Settings, *, host: str | None = None, port: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        Refused: another address than 127.0.0.1, a port that is taken, too few open files, a bundle that is not right.
        Transient: Kafka stayed away at the start.
    """
    raise_limits()
    listening = bind(settings.api.host if host is None else host, settings.api.port if port is None else port)
    lag = StreamLag(settings.topics.transactions)
    with listening, closing(start_watch(settings, stages=STAGES, on_positions=lag.note)):
        metrics.BUILD_INFO.labels(app_version(), settings.declarations_hash).set(1)
        crowd = build_crowd()
        parts = replace(build_parts(settings, lag=lag), is_full=lambda: crowd.full)
        compile_kernel(parts.kernel)
        now_ms = int(time.time() * 1_000)
        stream = parts.kernel.stream
        example = parse_event(stream, json.dumps(api_examples.build_event(stream)).encode(), now_ms=now_ms)
        WhatIf(parts.kernel, parts.reader, parts.champion, parts.placeholders).warm_up(example, now_ms=now_ms)
        sys.stdout.write(f"serving http://{HOST}:{listening.getsockname()[1]} (docs at /docs)\n")
        sys.stdout.flush()
        server = build_server(build_api(parts), crowd)
        reporter = Reporter(settings, f"api :{listening.getsockname()[1]}", parts.champion)
        freeze_gc()
        # uvicorn stops in order on these, then raises them again: a stop that was asked for ends with exit code 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        try:
            server.run(sockets=[listening])
        finally:
            reporter.close()
            parts.redis.close()
            if parts.decide is not None:
                parts.decide.decisions.close()
    return 0


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded.

    Raises:
        Refused: with the fix.
    """
    if host != HOST:
        raise Refused(f"expected host {HOST}, found {host}: the API has no keys yet; put a proxy with its own in front")
    # the protocol by name: asyncio turns Nagle's delay (40 ms an answer) off only where it reads IPPROTO_TCP
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        holder = f", held by {describe_listener(port)}" if error.errno == errno.EADDRINUSE else ""
        raise Refused(
            f"port {port} on {HOST}: {error.strerror}{holder}; choose another with --port or WEIR_API__PORT"
        ) from None
    return listening


def build_parts(settings: Settings, health: Health = HEALTH, lag: StreamLag | None = None) -> ApiParts:
    """Connect to everything the API stands on.

    Args:
        settings: of this deployment.
        health: what ``/readyz`` tells of; somebody notes it, see ``weir.streaming.health.checks.start_watch``.
        lag: of the default stream, noted by the same.

    Raises:
        Refused: the bundle is not right, or a topic is missing.
        Transient: Kafka stayed away, or every node of a Redis Cluster.
    """
    champion = Champion(settings)
    names = settings.topics
    patience = min(settings.redis.timeout_seconds, REDIS_SECONDS_MAX)
    client = wait_for(lambda: connect(settings.redis.model_copy(update={"timeout_seconds": patience})))
    registry = Registry(settings.registry)
    publisher = KafkaPublisher(
        build_producer(settings.kafka, linger_ms=0, message_timeout_ms=5_000),
        topic=names.transactions,
        # ours, which may not be the subject's newest: the id must say what the bytes are
        schema_id=cache(lambda: registry.register(subject(names.transactions), schema_json("transactions"))),
    )
    guard = CircuitBreaker("redis", lambda: ping(client))
    kernel = shipped_kernel()
    decisions = DecisionReader(client, cluster=settings.cluster)
    decide = build_decide(
        settings,
        registry,
        read_entry=lambda event_id: guard.call(lambda: decisions.read(event_id)),
        lag=lag or StreamLag(names.transactions),
    )
    return ApiParts(
        kernel=kernel,
        reader=wait_for(lambda: CurrentReader(lambda: build_feature_reader(settings, client, kernel))),
        decisions=decisions,
        champion=champion,
        publisher=publisher,
        redis=guard,
        checks={name: partial(_check, health, name, guard) for name in CHECKS} | {"decide": decide.decisions.describe},
        models_dir=settings.home / "models",
        placeholders=settings.placeholders,
        decide=decide,
    )


def _check(health: Health, name: str, guard: CircuitBreaker) -> str:
    """Return how a dependency was at the last look; a request that Redis failed since is the newer news."""
    if name == "redis" and guard.reason:
        raise Transient(guard.reason)
    level, text = health.checks().get(name, ("fail", f"{name} was not looked at yet"))
    if level == "fail":
        raise Transient(text)
    return text
