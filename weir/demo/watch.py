"""What the demo sees: outcomes and dead letters as any consumer would, folded into the numbers that it shows.

An outcome is a decision, or the feature row of an event where nothing decides.

Everything kept is bounded, so that a demo may run for days: latencies for some seconds, decisions up to a number.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from weir.demo.freshness import ViewPositions
from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import build_consumer, check_message, header_text
from weir.infra.kafka.leaders import ask_leader
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.live_view import ShownEvent
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import decisions_schema, features_schema, subject
from weir.schemas.currencies import format_amount
from weir.schemas.errors import Transient, WeirError
from weir.schemas.expression import find_money
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments
from weir.streaming.dlq.letter import REASON

_POLL_SECONDS = 0.1
_MARKS, _LAST_SECONDS = 50, 2.0
"""How far before the end of a partition its last record is looked for, and how long."""
_LATEST = 8
LATENCY_SECONDS = 60.0
"""The window of the percentiles: what happens now, not what happened since the start."""
DECISIONS_MAX = 100_000
"""Decisions kept for the summary, the newest: some 50 MB."""
_LATENCIES_MAX = 200_000
_UNREAD_MAX = 200_000
"""Outcomes whose events the view has not counted yet; of a view that stands still, the newest."""
_INJECTED_AGE_MS = 30_000
"""A record this much older than its append was sent late on purpose; its age is not our latency."""
_FEATURES_SHOWN = 4
"""Of a row that nothing decided."""


class Recent:
    """The figures of the last seconds, of a clock that never goes back."""

    def __init__(self, seconds: float) -> None:
        """Keep those of so many seconds."""
        self._seconds = seconds
        self._noted: deque[tuple[float, float]] = deque(maxlen=_LATENCIES_MAX)

    def note(self, value: float, now: float) -> None:
        """Note a figure, and forget those that are older."""
        self._noted.append((now, value))
        while self._noted[0][0] < now - self._seconds:
            self._noted.popleft()

    def values(self) -> list[float]:
        """Return the figures."""
        return [value for _, value in self._noted]


@dataclass
class Tally:
    """Everything counted since ``begin``; guarded by ``Watch.lock``.

    Attributes:
        stream: whose outcomes they are.
        latency_seconds: how far back latencies are kept.
        outcomes: decisions, or feature rows where nothing decides.
        reasons: how many dead letters of each.
    """

    stream: Stream = payments
    latency_seconds: float = LATENCY_SECONDS
    outcomes: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    latest: deque[ShownEvent] = field(default_factory=lambda: deque(maxlen=_LATEST))
    latency: Recent = field(init=False)
    """From sent to committed, milliseconds."""
    freshness: Recent = field(init=False)
    """From sent to counted by the view in Redis, milliseconds."""
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest ``DECISIONS_MAX`` decisions, by the event's id."""

    def __post_init__(self) -> None:
        self.latency, self.freshness = Recent(self.latency_seconds), Recent(self.latency_seconds)

    @property
    def dead_letters(self) -> int:
        """How many there were."""
        return self.reasons.total()

    def decide(self, row: dict[str, Any]) -> None:
        """Count a decision and keep it, and let the oldest go."""
        self.outcomes += 1
        self.decisions[row["decision"]] += 1
        self.degraded += row["degraded"]
        kept = ("decision", "score", "reasons", self.stream.time, *self.stream.kept_in_decisions)
        self.by_id[row[self.stream.id]] = {name: row[name] for name in kept if name in row}
        if len(self.by_id) > DECISIONS_MAX:
            del self.by_id[next(iter(self.by_id))]

    def compute(self, row: dict[str, Any]) -> None:
        """Count the feature row of an event that nothing decides."""
        self.outcomes += 1
        self.degraded += bool(row["degraded"])


class Watch:
    """Follows the outcomes and the dead letters of a stream from the present ends of their topics, on a thread.

    Args:
        settings: of the stream.
        decided: whether something decides; else the outcomes are feature rows.
        shows_all: whether the latest events are shown, and not those alone that were declined.
        latency_seconds: how far back latencies are kept.
        positions: when the view counted what; ``None`` leaves freshness out.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        decided: bool = True,
        shows_all: bool = False,
        latency_seconds: float = LATENCY_SECONDS,
        positions: ViewPositions | None = None,
    ) -> None:
        """Find the ends; nothing is counted before ``begin``."""
        self._positions = positions
        self._unread: deque[tuple[int, int, int]] = deque(maxlen=_UNREAD_MAX)
        self._latency_seconds = latency_seconds
        self._settings = settings
        self._stream = settings.stream
        self.decided = decided
        self.shows_all = shows_all or not decided
        self._topic = settings.topics.decisions if decided else settings.topics.features
        self._codec = BatchCodec(schema=(decisions_schema if decided else features_schema)(settings.stream))
        self._registry = Registry(settings.registry)
        self._consumer = build_consumer(settings.kafka, group="weir-demo-watch")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._error: Exception | None = None
        self.lock = threading.Lock()
        self.tally = Tally(self._stream, latency_seconds)

    def begin(self) -> None:
        """Start to count what comes from now on."""
        self._consumer.assign(ends(self._consumer, self._settings, [self._topic, self._settings.topics.dlq]))
        if self._positions is not None:
            self._positions.begin()
        self._thread.start()

    def reset(self) -> None:
        """Count from zero."""
        with self.lock:
            self.tally = Tally(self._stream, self._latency_seconds)
            self._unread.clear()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._positions is not None:
            self._positions.close()
        self._consumer.close()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._follow()
        except (WeirError, KafkaException) as error:
            self._error = error

    def _follow(self) -> None:
        while not self._stop.is_set():
            messages = []
            for message in self._consumer.consume(5_000, _POLL_SECONDS):
                try:
                    messages.append(check_message(message))
                except Transient:
                    continue
            outcomes = [m for m in messages if m.topic() == self._topic]
            reason = self._settings.processor.dlq_header_prefix + REASON
            with self.lock:
                self.tally.reasons.update(
                    header_text(m, reason) or "unknown" for m in messages if m.topic() != self._topic
                )
                if outcomes:
                    self._count(outcomes)
                self._note_freshness()

    def _count(self, messages: list[Message]) -> None:
        topic = subject(self._topic)
        values = [message.value() for message in messages]
        decoded = self._codec.decode(values, lambda schema_id: self._registry.writer_schema(schema_id, topic))
        tally, now = self.tally, time.monotonic()
        for row, index in zip(decoded.batch.to_pylist(), decoded.rows, strict=True):
            committed_ms, sent_ms = messages[index].timestamp()[1], row[self._stream.time]
            (tally.decide if self.decided else tally.compute)(row)
            if row["ingest_time_ms"] - sent_ms < _INJECTED_AGE_MS:
                tally.latency.note(committed_ms - sent_ms, now)
                self._unread.append((row["source_partition"], row["source_offset"], sent_ms))
            if self.shows_all or row["decision"] == "DECLINE":
                tally.latest.appendleft(_show(self._stream, row, committed_ms))

    def _note_freshness(self) -> None:
        """Note how old each outcome's event was when the view counted it, for those that it has counted by now."""
        while self._positions is not None and self._unread:
            partition, offset, sent_ms = self._unread[0]
            passed_ms = self._positions.passed_ms(partition, offset)
            if passed_ms is None:
                return
            self._unread.popleft()
            self.tally.freshness.note(passed_ms - sent_ms, time.monotonic())


def ends(consumer: Consumer, settings: Settings, topics: list[str]) -> list[TopicPartition]:
    """Return every partition of these topics, placed at its end."""
    placed = []
    for name, facts in describe_topics(settings.kafka, topics).items():
        for number in range(facts.partitions):
            at = TopicPartition(name, number)
            _, high = ask_leader(functools.partial(consumer.get_watermark_offsets, at, timeout=10.0))
            placed.append(TopicPartition(name, number, high))
    return placed


def count_records(consumer: Consumer, settings: Settings, topic: str) -> int:
    """Return how many offsets a topic has used, over all partitions."""
    return sum(int(at.offset) for at in ends(consumer, settings, [topic]))


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p90, p99 and max of latencies, by name; empty for none."""
    if not values:
        return {}
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {"p50": float(p50), "p90": float(p90), "p99": float(p99), "max": float(max(values))}


def _show(stream: Stream, row: dict[str, Any], at_ms: int) -> ShownEvent:
    """Show a decision with its reasons, or a feature row with some of its features."""
    codes = [each["code"] for each in row.get("reasons", ())] or [row.get("decided_by", "")]
    if row.get("decision", "DECLINE") != "DECLINE":
        codes = [row["decision"], *codes]
    return ShownEvent(
        clock=datetime.fromtimestamp(at_ms / 1_000).astimezone().strftime("%H:%M:%S"),
        event_id=row[stream.id],
        amount=show_amount(stream, row),
        score=f"{row['score']:.3f}" if row.get("score") is not None else "-",
        reasons=codes if "decision" in row else _some(stream, row),
    )


def _some(stream: Stream, row: dict[str, Any]) -> list[str]:
    """Return the first features that have a value and come from windows, as ``name value``."""
    windowed = (each.name for each in stream.all_features if each.window)
    known = [f"{name} {row[name]:.4g}" for name in windowed if row[name] is not None]
    return known[:_FEATURES_SHOWN]


def show_amount(stream: Stream, row: dict[str, Any]) -> str:
    """Return the amount of a row for people, where the stream has one and passes it on."""
    for node in (found for measure in stream.measures for found in find_money(measure.value)):
        amount, currency = (row.get(part.value) for part in node.parts)
        if amount is not None and currency is not None:
            return format_amount(amount, currency)
    return ""


def read_last(settings: Settings, topic: str, schema: str) -> dict[str, Any] | None:
    """Return the last record of some partition of a topic by its newest schema, or None where there is none."""
    consumer, registry = build_consumer(settings.kafka, group="weir-demo-last"), Registry(settings.registry)
    try:
        used = [place for place in ends(consumer, settings, [topic]) if place.offset > 0]
        # behind the last record stands the mark of its transaction
        consumer.assign([TopicPartition(topic, at.partition, max(0, at.offset - _MARKS)) for at in used[:1]])
        messages = consumer.consume(_MARKS, _LAST_SECONDS) if used else []
        values = [message.value() for message in messages if message.error() is None]
        decoded = BatchCodec(schema=schema).decode(values, lambda id_: registry.writer_schema(id_, subject(topic)))
        return decoded.batch.to_pylist()[-1] if decoded.batch.num_rows else None
    finally:
        consumer.close()
        registry.close()
