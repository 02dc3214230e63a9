"""Streams of transactions for tests, and a driver that takes them through the kernel in any cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from tests.payments import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, WINDOWS_MS
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.events import EventBatch
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.states import States, Step
from weir.streaming.kernels import shipped_kernel

START_MS = 1_750_000_000_000
Event = dict[str, Any]
STRINGS = {
    "transaction_id", "card_id", "customer_id", "merchant_id", "channel", "currency", "country", "outcome",
    "device_id", "ip", "issuer_country",
}  # fmt: skip


def event(time_ms: int = START_MS, **changes: Any) -> Event:
    """A payment; ``append_ms`` and ``digest`` are the log's, not the record's."""
    base: Event = {
        "transaction_id": f"t-{time_ms}", "card_id": "c-1", "customer_id": "u-1", "merchant_id": "m-1", "mcc": 5411,
        "channel": "POS", "amount_minor": 1_000, "currency": "USD", "country": "US", "event_time_ms": time_ms,
        "outcome": "ACCEPTED", "device_id": "d-1", "ip": "10.0.0.1", "lat": None, "lon": None,
        "issuer_country": None, "append_ms": time_ms, "digest": 7, "partition": 0,
    }  # fmt: skip
    return base | changes


def arrow_type(name: str) -> pa.DataType:
    if name in STRINGS:
        return pa.string()
    if name in {"lat", "lon"}:
        return pa.float64()
    return pa.int32() if name == "mcc" else pa.int64()


def record_batch(events: Sequence[Event]) -> pa.RecordBatch:
    names = [name for name in event() if name not in {"append_ms", "digest", "partition"}]
    columns = [pa.array([e[name] for e in events], arrow_type(name)) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=names)


def build(events: Sequence[Event], kernel: Kernel | None = None, records: pa.RecordBatch | None = None) -> EventBatch:
    """A batch of payments, or of another kernel's records; ``events`` then say what the log knows of each."""
    return (kernel or shipped_kernel()).build_events(
        record_batch(events) if records is None else records,
        append_time_ms=np.array([e["append_ms"] for e in events], dtype=np.int64),
        partition=np.array([e["partition"] for e in events], dtype=np.int32),
        body_digest=np.array([e["digest"] for e in events], dtype=np.uint32),
        placeholders=BUILT_IN,
    )


@dataclass
class Driver:
    """Holds every partition's partials, as the processor and Redis would."""

    partitions: int = 1
    states: dict[tuple[str, int, str], bytes] = field(default_factory=dict)
    kernel: Kernel = field(default_factory=shipped_kernel)
    records: Callable[[Sequence[Event]], pa.RecordBatch] = record_batch

    def _others(self, entity: str, partition: int, key: str) -> list[bytes]:
        others = (p for p in range(self.partitions) if p != partition)
        return [self.states[entity, p, key] for p in others if (entity, p, key) in self.states]

    def build(self, events: Sequence[Event]) -> EventBatch:
        return build(events, self.kernel, self.records(events))

    def gather(self, batch: EventBatch) -> States:
        own, others = {}, {}
        for entity in self.kernel.entities:
            index = batch.entities[entity]
            keys = list(zip(index.partitions, index.ids, strict=True))
            own[entity] = [self.states.get((entity, p, key), b"") for p, key in keys]
            if entity in self.kernel.shared or self.kernel is shipped_kernel():
                others[entity] = [self._others(entity, p, key) for p, key in keys]
        return States(own, others)

    def keep(self, batch: EventBatch, states: Mapping[str, list[bytes]]) -> None:
        for entity, values in states.items():
            index = batch.entities[entity]
            for p, key, value in zip(index.partitions, index.ids, values, strict=True):
                if value:
                    self.states[entity, p, key] = value

    def step(self, events: Sequence[Event]) -> Step:
        batch = self.build(events)
        done = self.kernel.step(batch, self.gather(batch))
        self.keep(batch, done.states)
        return done

    def fold(self, events: Sequence[Event]) -> None:
        batch = self.build(events)
        self.keep(batch, self.kernel.fold(batch, dict(self.gather(batch).own)))

    def run(self, events: Sequence[Event], cuts: Sequence[int] = ()) -> Step:
        """Take the events in batches cut at the given positions; return all rows as if of one batch."""
        bounds = [0, *sorted({cut % (len(events) + 1) for cut in cuts}), len(events)]
        steps = [self.step(events[a:b]) for a, b in pairwise(bounds)]
        return Step(
            np.concatenate([s.verdicts for s in steps]),
            np.concatenate([s.late for s in steps]),
            np.concatenate([s.features for s in steps]),
            {},
        )


PLACEHOLDERS = {"d-2": " Unknown", "10.0.0.2": "0.0.0.0", "m-3": "N/A"}
"""Ids of a random stream that its sender writes where it knows none."""
PACES_MS = (SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS)


def _random_pause_ms(rng: np.random.Generator, pace_ms: int) -> int:
    """Mostly any; often enough none (a tie) or a whole window (its open edge)."""
    kind = rng.random()
    if kind < 0.1:
        return 0
    if kind < 0.2:
        return int(rng.choice([window_ms for window_ms in WINDOWS_MS.values() if window_ms <= DAY_MS]))
    return int(rng.exponential(pace_ms))


def random_stream(seed: int, size: int, *, cards: int = 3, disorder: bool = True) -> list[Event]:
    """A stream that bursts, pauses, goes back in time, comes late and repeats itself."""
    rng = np.random.default_rng(seed)
    now_ms, events = START_MS, []
    pace_ms = PACES_MS[rng.integers(len(PACES_MS))]
    for number in range(size):
        if rng.random() < 0.1:
            pace_ms = PACES_MS[rng.integers(len(PACES_MS))]
        now_ms += _random_pause_ms(rng, pace_ms)
        events.append(_random_event(rng, number, now_ms, cards, disorder=disorder))
        if disorder and rng.random() < 0.05:
            again = events[int(rng.integers(len(events)))]
            events.append(again | {"append_ms": now_ms, "digest": int(rng.integers(2)) + again["digest"]})
    return events


def _random_event(rng: np.random.Generator, number: int, now_ms: int, cards: int, *, disorder: bool) -> Event:
    back_ms = 0
    if disorder and rng.random() < 0.25:
        back_ms = int(rng.exponential(PACES_MS[rng.integers(len(PACES_MS))]))
    if disorder and rng.random() < 0.02:
        back_ms = int(rng.integers(29 * DAY_MS, 33 * DAY_MS))
    card = int(rng.integers(cards))
    known = rng.random() < 0.6
    made = event(
        now_ms - back_ms,
        transaction_id=f"t-{number}",
        card_id=f"c-{card}",
        customer_id=f"u-{card // 2}",
        merchant_id=f"m-{int(rng.pareto(1.0)) % 40}",
        device_id=None if rng.random() < 0.3 else f"d-{int(rng.pareto(1.5)) % 9}",
        ip=None if rng.random() < 0.5 else f"10.0.0.{int(rng.integers(3))}",
        channel=str(rng.choice(["POS", "ATM", "ECOM", "MOTO", "OTHER"])),
        amount_minor=int(rng.choice([0, 50, 100, 199, 200, 1_000, 25_000, 3_000_000, -1, -1_000, -40_000])),
        currency=str(rng.choice(["USD", "EUR", "JPY"])),
        country=str(rng.choice(["US", "DE", "BR"])),
        issuer_country=[None, "US", "DE"][int(rng.integers(3))],
        outcome=str(rng.choice(["ACCEPTED", "DECLINED", "UNKNOWN"])),
        lat=float(rng.uniform(-90, 90)) if known else None,
        lon=float(rng.uniform(-180, 180)) if known else None,
        append_ms=now_ms,
    )
    return made | {name: PLACEHOLDERS.get(made[name], made[name]) for name in ("device_id", "ip", "merchant_id")}
