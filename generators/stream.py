"""Wiring of what is published: the registry's ids, a producer, the truth file, and an orderly stop on a signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

from weir.generators.encoding import Encoder
from weir.generators.live import LivePlan, live_blocks
from weir.generators.outgoing import Outgoing
from weir.generators.population import Population
from weir.generators.profiles.live import profile_blocks
from weir.generators.profiles.profile import Profile
from weir.generators.replay import history_blocks
from weir.generators.schedule import block_records
from weir.generators.sender import Sender, Sent
from weir.generators.truth_file import open_truth
from weir.infra.kafka.clients import build_producer
from weir.infra.registry.client import Registry, SchemaRegistry
from weir.infra.settings import Settings
from weir.schemas.contracts import event_schemas, label_schemas, subject

_LEAD_MS, _LEAD_MS_PER_RECORD = 1_000, 0.01
"""Between now and the first record: time to draw and encode the first block, so that it is not late at its start."""
_LINGER_MS = 2
"""A live stream measures latency; the producer's own wait is kept small next to it."""


def now_ms() -> int:
    """Return UTC epoch milliseconds."""
    return int(time.time() * 1000)


def first_due_ms(rate_per_second: float) -> int:
    """Return when a stream of that rate can begin on schedule, UTC epoch milliseconds."""
    return now_ms() + int(_LEAD_MS + _LEAD_MS_PER_RECORD * block_records(rate_per_second))


def build_encoder(registry: SchemaRegistry, schemas: tuple[str, ...], topic: str) -> Encoder:
    """Return an encoder with the registry's ids of every version, registering what is not there yet.

    Raises:
        Transient: the registry is unreachable.
        Refused: the registry does not take the schema.
    """
    return Encoder(schemas, [registry.register(subject(topic), schema) for schema in schemas])


def run_live(settings: Settings, population: Population, plan: LivePlan, truth: Path | None) -> Sent:
    """Publish a live stream. An interrupt ends it early, with everything sent so far acknowledged."""
    topic = settings.topics.transactions
    with _registry(settings) as registry:
        encoder = build_encoder(registry, event_schemas(settings.stream), topic)
    return _send(settings, live_blocks(population, plan, encoder, topic), truth)


def run_profile(settings: Settings, profile: Profile, plan: LivePlan, seed: int) -> Sent:
    """Publish a live stream of events that a profile makes up; it ends as ``run_live`` does."""
    topic = settings.topics.transactions
    with _registry(settings) as registry:
        encoder = build_encoder(registry, event_schemas(profile.stream), topic)
    return _send(settings, profile_blocks(profile, plan, seed, encoder, topic), None)


def run_replay(settings: Settings, folder: Path, speed: float | None) -> Sent:
    """Publish a history with its own event times, and the labels that were known by its end."""
    topics = settings.topics
    with _registry(settings) as registry:
        transactions = build_encoder(registry, event_schemas(settings.stream), topics.transactions), topics.transactions
        labels = build_encoder(registry, label_schemas(settings.stream), topics.labels), topics.labels
    start_ms = now_ms() + _LEAD_MS
    blocks = history_blocks(
        folder,
        transactions=transactions,
        labels=labels,
        start_ms=start_ms,
        speed=speed,
        placeholders=settings.placeholders,
    )
    return _send(settings, blocks, None)


@contextmanager
def _registry(settings: Settings) -> Iterator[Registry]:
    registry = Registry(settings.registry)
    try:
        yield registry
    finally:
        registry.close()


def _send(settings: Settings, blocks: Iterable[Outgoing], truth: Path | None) -> Sent:
    producer = build_producer(settings.kafka, linger_ms=_LINGER_MS, delivery_report_only_error=True)
    with stop_on_signals() as stopped, open_truth(truth) as write:

        def write_truth(block: Outgoing) -> None:
            if block.truth is not None:
                write(block.truth)

        return Sender(producer, stopped=stopped.is_set, before_block=write_truth).send_all(blocks)


class Stopped(Event):
    """A stop that was asked for; ``number`` is the signal's, 0 before."""

    number = 0


@contextmanager
def stop_on_signals() -> Iterator[Stopped]:
    """Turn SIGINT and SIGTERM into a flag while a stream runs, so that its summary and truth are whole."""
    stopped = Stopped()

    def stop(number: int, _: FrameType | None) -> None:
        stopped.number = number
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
