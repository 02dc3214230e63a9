"""What the demo sees: decisions and dead letters as any consumer would, folded into the numbers that it shows.

Everything kept is bounded, so that a demo may run for days: latencies for some seconds, decisions up to a number.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from rich.console import Console

from weir.infra.kafka.admin import describe_topics
from weir.infra.kafka.clients import build_consumer, check_message
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.monitoring.live_view import Declined
from weir.monitoring.terminal import build_table
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import subject
from weir.schemas.currencies import format_amount
from weir.schemas.errors import Transient, WeirError

_POLL_SECONDS = 0.1
_LATEST = 8
LATENCY_SECONDS = 60.0
"""The window of the percentiles: what happens now, not what happened since the start."""
DECISIONS_MAX = 100_000
"""Decisions kept for the summary, the newest: some 50 MB."""
_LATENCIES_MAX = 200_000
_INJECTED_AGE_MS = 30_000
"""A record this much older than its append was sent late on purpose; its age is not our latency."""


_KEPT_FIELDS = ("decision", "score", "event_time_ms", "amount_minor", "currency", "reasons")


@dataclass
class Tally:
    """Everything counted since ``begin``; guarded by ``Watch.lock``.

    Attributes:
        latency_seconds: how far back latencies are kept.
    """

    latency_seconds: float = LATENCY_SECONDS
    decisions: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    dead_letters: int = 0
    latency_ms: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_LATENCIES_MAX))
    """When it was seen (seconds of a clock that never goes back), and the latency, of the last ``latency_seconds``."""
    latest: deque[Declined] = field(default_factory=lambda: deque(maxlen=_LATEST))
    by_transaction: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest ``DECISIONS_MAX`` decisions."""

    def decide(self, row: dict[str, Any]) -> None:
        """Count a decision and keep it, and let the oldest go."""
        self.decisions[row["decision"]] += 1
        self.degraded += row["degraded"]
        self.by_transaction[row["transaction_id"]] = {name: row[name] for name in _KEPT_FIELDS}
        if len(self.by_transaction) > DECISIONS_MAX:
            del self.by_transaction[next(iter(self.by_transaction))]

    def note_latency(self, latency_ms: float, now: float) -> None:
        """Note a latency, and forget those that left the window."""
        self.latency_ms.append((now, latency_ms))
        while self.latency_ms[0][0] < now - self.latency_seconds:
            self.latency_ms.popleft()

    def latencies(self) -> list[float]:
        """Return the latencies of the window, milliseconds."""
        return [latency for _, latency in self.latency_ms]


class Watch:
    """Follows the decisions topic and the dead letter queue from their present ends, on a thread."""

    def __init__(self, settings: Settings, *, latency_seconds: float = LATENCY_SECONDS) -> None:
        """Find the ends; nothing is counted before ``begin``."""
        self._latency_seconds = latency_seconds
        self._settings = settings
        self._codec = BatchCodec("decisions")
        self._registry = Registry(settings.registry)
        self._consumer = build_consumer(settings.kafka, group="weir-demo-watch")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._error: Exception | None = None
        self.lock = threading.Lock()
        self.tally = Tally(latency_seconds)

    def begin(self) -> None:
        """Start to count what comes from now on."""
        names = self._settings.topics
        self._consumer.assign(ends(self._consumer, self._settings, [names.decisions, names.dlq]))
        self._thread.start()

    def reset(self) -> None:
        """Count from zero."""
        with self.lock:
            self.tally = Tally(self._latency_seconds)

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
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
            decisions = [m for m in messages if m.topic() == self._settings.topics.decisions]
            with self.lock:
                self.tally.dead_letters += len(messages) - len(decisions)
                if decisions:
                    self._count(decisions)

    def _count(self, messages: list[Message]) -> None:
        topic = subject(self._settings.topics.decisions)
        values = [message.value() for message in messages]
        decoded = self._codec.decode(values, lambda schema_id: self._registry.writer_schema(schema_id, topic))
        tally, now = self.tally, time.monotonic()
        for row, index in zip(decoded.batch.to_pylist(), decoded.rows, strict=True):
            committed_ms = messages[index].timestamp()[1]
            tally.decide(row)
            if row["ingest_time_ms"] - row["event_time_ms"] < _INJECTED_AGE_MS:
                tally.note_latency(committed_ms - row["event_time_ms"], now)
            if row["decision"] == "DECLINE":
                tally.latest.appendleft(_declined(row, committed_ms))


def ends(consumer: Consumer, settings: Settings, topics: list[str]) -> list[TopicPartition]:
    """Return every partition of these topics, placed at its end."""
    placed = []
    for name, facts in describe_topics(settings.kafka, topics).items():
        for number in range(facts.partitions):
            _, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10.0)
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


def _declined(row: dict[str, Any], at_ms: int) -> Declined:
    return Declined(
        clock=datetime.fromtimestamp(at_ms / 1_000).astimezone().strftime("%H:%M:%S"),
        transaction_id=row["transaction_id"],
        amount=format_amount(row["amount_minor"], row["currency"]),
        score="-" if row["score"] is None else f"{row['score']:.3f}",
        reasons=[reason["code"] for reason in row["reasons"]] or [row["decided_by"]],
    )


def read_truth(path: Path) -> list[dict[str, Any]]:
    """Return the newest rows of the simulator's truth, as many as decisions are kept."""
    if not path.exists():
        return []
    table = pq.read_table(path)
    rows: list[dict[str, Any]] = table.slice(max(0, table.num_rows - DECISIONS_MAX)).to_pylist()
    return rows


def print_quality(console: Console, truth: list[dict[str, Any]], decided: dict[str, dict[str, Any]]) -> None:
    """Print precision and recall of what was stopped (REVIEW or DECLINE) against the simulator's truth."""
    known = [(row["is_fraud"], decided[row["transaction_id"]]) for row in truth if row["transaction_id"] in decided]
    fraud = sum(is_fraud for is_fraud, _ in known)
    for title, outcomes in (("declined", {"DECLINE"}), ("stopped (declined or reviewed)", {"DECLINE", "REVIEW"})):
        stopped = [is_fraud for is_fraud, row in known if row["decision"] in outcomes]
        if stopped and fraud:
            console.print(
                f"{title}: precision {sum(stopped) / len(stopped):.2f}, recall {sum(stopped) / fraud:.2f} "
                f"({sum(stopped)} of {fraud} frauds, {len(stopped) - sum(stopped)} false alarms)"
            )


def print_sequence(console: Console, truth: list[dict[str, Any]], decided: dict[str, dict[str, Any]]) -> None:
    """Show one card-testing run whose decisions turn from APPROVE to DECLINE."""
    actors: dict[str, list[dict[str, Any]]] = {}
    for row in truth:
        if "testing" in row["scenario"] and row["transaction_id"] in decided:
            actors.setdefault(row["actor_id"], []).append(decided[row["transaction_id"]])
    sequences = [sorted(rows, key=lambda row: int(row["event_time_ms"])) for rows in actors.values()]
    turned = [rows for rows in sequences if _turns(rows)]
    if not turned:
        console.print("no card-testing run turned from APPROVE to DECLINE in this time; a longer DURATION shows one")
        return
    rows = max(turned, key=len)
    columns = ("seconds", "amount", "score", "decision", "why")
    cells = [_cells(row, rows[0]["event_time_ms"]) for row in rows]
    console.print(build_table(columns, cells, title="one card-testing run", box=False))


def _cells(row: dict[str, Any], start_ms: int) -> tuple[str, ...]:
    return (
        f"{(row['event_time_ms'] - start_ms) / 1_000:.1f}",
        format_amount(row["amount_minor"], row["currency"]),
        "-" if row["score"] is None else f"{row['score']:.3f}",
        row["decision"],
        ", ".join(reason["code"] for reason in row["reasons"]),
    )


def _turns(rows: list[dict[str, Any]]) -> bool:
    """True when the first payment of a run was approved and a later one declined."""
    outcomes = [row["decision"] for row in rows]
    return outcomes[0] == "APPROVE" and "DECLINE" in outcomes
