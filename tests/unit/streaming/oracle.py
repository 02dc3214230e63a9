"""The slow and obvious twin of the kernel: lists of events, looked through from the start for every feature.

It shares the declarations with the kernel and no code. The one rule of the state it must know is which events a busy
entity keeps exactly (the newest K within the horizon) and which by pane of a thirtieth of the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.streaming.streams import PLACEHOLDERS
from weir.schemas.currencies import compute_base_minor
from weir.schemas.features import (
    DAY_MS,
    DUPLICATE_HORIZON_MS,
    ENTITIES,
    FEATURES,
    HORIZON_MS,
    HOUR_MS,
    PANES_PER_WINDOW,
    SMALL_AMOUNT_MINOR,
    WINDOWS_MS,
    Aggregate,
    Entity,
    EntitySpec,
    Feature,
)

Event = dict[str, Any]
MISSING = math.nan


def flags_of(event: Event) -> dict[str, bool]:
    issuer = event["issuer_country"]
    return {
        "declined": event["outcome"] == "DECLINED",
        "online": event["channel"] in ("ECOM", "MOTO"),
        "foreign": issuer is not None and issuer != event["country"],
        "small": amount_of(event) <= SMALL_AMOUNT_MINOR,
    }


def amount_of(event: Event) -> int:
    size = compute_base_minor(abs(event["amount_minor"]), event["currency"])
    return size if event["amount_minor"] >= 0 else -size


def is_refund(event: Event) -> bool:
    return bool(event["amount_minor"] < 0)


def bit_of(value: str) -> int:
    """Position of a value in a 256-bit bitmap: FNV-1a with a finalizer, low byte of the upper half."""
    word = 0xCBF29CE484222325
    for byte in value.encode():
        word = (word ^ byte) * 0x100000001B3 % 2**64
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD % 2**64
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return ((word ^ word >> 33) >> 32) % 256


@dataclass
class History:
    """One entity in one partition."""

    recent: int
    held_ms: dict[int, int]
    newest_ms: int | None = None
    exact: list[Event] = field(default_factory=list)  # oldest first; ties in log order
    tiled: list[Event] = field(default_factory=list)
    ever: list[Event] = field(default_factory=list)  # every event that was not late
    position: Event | None = None

    def is_late(self, event: Event) -> bool:
        return self.newest_ms is not None and event["event_time_ms"] <= self.newest_ms - HORIZON_MS

    def add(self, event: Event) -> None:
        time_ms = event["event_time_ms"]
        self.newest_ms = time_ms if self.newest_ms is None else max(self.newest_ms, time_ms)
        self.exact = [e for e in self.exact if e["event_time_ms"] > self.newest_ms - HORIZON_MS]
        self.exact = sorted([*self.exact, event], key=lambda e: e["event_time_ms"])  # stable: log order on ties
        if len(self.exact) > self.recent:
            self.tiled.append(self.exact.pop(0))
        self.ever.append(event)
        located = event["lat"] is not None and not is_refund(event)
        if located and (self.position is None or time_ms >= self.position["event_time_ms"]):
            self.position = event

    def in_panes(self, window_ms: int, at_ms: int) -> list[tuple[int, Event]]:
        """Tiled events of panes that overlap the window and are still kept, with their pane's start."""
        pane_ms = window_ms // PANES_PER_WINDOW
        found = []
        for e in self.tiled:
            start = e["event_time_ms"] // pane_ms * pane_ms
            floor_ms = (self.newest_ms or 0) - window_ms - self.held_ms.get(window_ms, 0)
            kept = self.newest_ms is not None and start + pane_ms > floor_ms
            if kept and start + pane_ms > at_ms - window_ms and start <= at_ms:
                found.append((start, e))
        return found


@dataclass
class Window:
    """The other events of a window, and the event at hand."""

    at_ms: int
    window_ms: int
    exact: list[Event]
    paned: list[tuple[int, Event]]
    event: Event
    is_held: bool = False

    @property
    def others(self) -> list[Event]:
        return self.exact + [e for _, e in self.paned]

    @property
    def all(self) -> list[Event]:
        """The event at hand is in a window of payments if it is one, and if the window reaches up to it."""
        return self.others if self.is_held or is_refund(self.event) else [*self.others, self.event]


def distinct(window: Window, name: str) -> float:
    values = {e[name] for e in window.all} - {None}
    if not window.paned:
        return float(len(values))
    free = 256 - len({bit_of(value) for value in values})
    return float(round(-256 * math.log(free / 256))) if free else 1597.0


def is_new(window: Window, name: str) -> float:
    value = window.event[name]
    if value is None:
        return MISSING
    in_panes = {bit_of(e[name]) for _, e in window.paned if e[name] is not None}
    return 0.0 if value in {e[name] for e in window.exact} or bit_of(value) in in_panes else 1.0


def gap(window: Window) -> float:
    pane_ms = window.window_ms // PANES_PER_WINDOW
    times = [e["event_time_ms"] for e in window.exact]
    times = times or [min(start + pane_ms - 1, window.at_ms) for start, _ in window.paned]
    return (window.at_ms - max(times)) / 1000 if times else MISSING


def age(window: Window) -> float:
    times = [e["event_time_ms"] for e in window.exact]
    times += [max(start, window.at_ms - window.window_ms) for start, _ in window.paned]
    if not times:
        return MISSING if is_refund(window.event) else 0.0
    return (window.at_ms - min(times)) / 1000


def deviation(amounts: list[int]) -> float:
    """From integers, exact until the last step."""
    n = len(amounts)
    return math.sqrt(n * sum(a * a for a in amounts) - sum(amounts) ** 2) / n


def zscore(window: Window) -> float:
    amounts = [amount_of(e) for e in window.others]
    if is_refund(window.event) or len(amounts) < 2 or len(set(amounts)) == 1:
        return MISSING
    return (amount_of(window.event) - sum(amounts) / len(amounts)) / deviation(amounts)


def speed(histories: list[History], event: Event, window_ms: int) -> float:
    known = [
        h.position
        for h in histories
        if h.position is not None and h.position["event_time_ms"] > (h.newest_ms or 0) - HORIZON_MS
    ]
    if not known or event["lat"] is None or is_refund(event):
        return MISSING
    last = max(known, key=lambda e: e["event_time_ms"])
    apart_ms = abs(event["event_time_ms"] - last["event_time_ms"])
    if apart_ms >= window_ms:
        return MISSING
    a, b = (tuple(math.radians(round(e[k] * 1e5) / 1e5) for k in ("lat", "lon")) for e in (last, event))
    chord = math.sin((b[0] - a[0]) / 2) ** 2 + math.cos(a[0]) * math.cos(b[0]) * math.sin((b[1] - a[1]) / 2) ** 2
    return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(chord))) / (max(apart_ms, 60_000) / HOUR_MS)


def decayed(histories: list[History], event: Event, half_life_ms: int) -> float:
    """On a grid of 64 cells to the half-life, as of the newest event known."""
    every = [event, *(e for h in histories for e in h.ever)]
    now = max(e["event_time_ms"] * 64 // half_life_ms for e in every)
    cells = [e["event_time_ms"] * 64 // half_life_ms for e in every if not is_refund(e)]
    return sum(0.5 ** ((now - cell) / 64) for cell in cells)


def over_min(window: Window) -> float:
    if is_refund(window.event):
        return MISSING
    return amount_of(window.event) / max(1, min(amount_of(e) for e in window.all))


AMOUNTS: dict[Aggregate, Callable[[list[int]], float]] = {
    Aggregate.SUM: sum,
    Aggregate.MEAN: lambda amounts: sum(amounts) / len(amounts) if amounts else MISSING,
    Aggregate.STD: lambda amounts: deviation(amounts) if amounts else MISSING,
    Aggregate.MIN: lambda amounts: min(amounts, default=MISSING),
    Aggregate.MAX: lambda amounts: max(amounts, default=MISSING),
}
ATTRIBUTES: dict[Aggregate, Callable[[Window, str], float]] = {Aggregate.DISTINCT: distinct, Aggregate.NEW: is_new}
EVENTS: dict[Aggregate, Callable[[Window], float]] = {
    Aggregate.COUNT: lambda window: float(len(window.all)),
    Aggregate.GAP: gap,
    Aggregate.AGE: age,
    Aggregate.ZSCORE: zscore,
    Aggregate.OVER_MIN: over_min,
    Aggregate.RISK: lambda _: MISSING,  # labels have an oracle of their own
}


def compute(feature: Feature, spec: EntitySpec, histories: list[History], event: Event) -> float:
    """One feature of one event, from every other event of the entity in every partition."""
    is_held = feature.hold > 0 and feature.aggregate is not Aggregate.RISK
    window_ms, at_ms = WINDOWS_MS[feature.window], event["event_time_ms"] - is_held * feature.hold * DAY_MS
    if feature.aggregate is Aggregate.SPEED:
        return speed(histories, event, window_ms)
    if feature.aggregate is Aggregate.DECAYED:
        return decayed(histories, event, window_ms)
    exact = [e for h in histories for e in h.exact if 0 <= at_ms - e["event_time_ms"] < window_ms]
    paned = [p for h in histories for p in h.in_panes(window_ms, at_ms)]
    if feature.measure == "refund":
        events = [*exact, *(e for _, e in paned), *([] if is_held else [event])]
        refunds = [-amount_of(e) for e in events if is_refund(e)]
        return float({Aggregate.COUNT: len(refunds), Aggregate.SUM: sum(refunds)}[feature.aggregate])
    exact = [e for e in exact if not is_refund(e)]
    paned = [(start, e) for start, e in paned if not is_refund(e)]
    return over_payments(feature, spec, Window(at_ms, window_ms, exact, paned, event, is_held))


def over_payments(feature: Feature, spec: EntitySpec, window: Window) -> float:
    if feature.aggregate in AMOUNTS:
        return float(AMOUNTS[feature.aggregate]([amount_of(e) for e in window.all]))
    if feature.aggregate in ATTRIBUTES:
        names = {name.removesuffix("_id"): name for name in spec.attributes}
        return ATTRIBUTES[feature.aggregate](window, names[feature.measure])
    if feature.aggregate is Aggregate.RATIO:
        return sum(flags_of(e)[feature.measure] for e in window.all) / len(window.all) if window.all else MISSING
    return EVENTS[feature.aggregate](window)


def stateless(feature: Feature, event: Event) -> float:
    flags = flags_of(event)
    values = {
        "amount": amount_of(event),
        "hour": event["event_time_ms"] % (24 * HOUR_MS) / HOUR_MS,
        "is_online": flags["online"],
        "is_declined": flags["declined"],
        "is_foreign": flags["foreign"],
        "is_refund": is_refund(event),
        "mcc": event["mcc"],
    }
    return float(values[feature.measure])


def held_ms(entity: Entity) -> dict[int, int]:
    """For how much longer than its length a window's panes are kept: the longest hold among its features."""
    held: dict[int, int] = {}
    for f in FEATURES:
        if f.entity is entity and f.aggregate not in {Aggregate.VALUE, Aggregate.RISK}:
            held[WINDOWS_MS[f.window]] = max(f.hold * DAY_MS, held.get(WINDOWS_MS[f.window], 0))
    return held


FORGETTABLE = ("customer_id", "merchant_id", "device_id", "ip")


class Oracle:
    """Takes events one by one; every partition sees the others as they are at that moment."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.histories: dict[tuple[Entity, int, str], History] = {}
        self.ids: dict[tuple[int, str], list[Event]] = {}

    def verdict(self, event: Event) -> int:
        seen = self.ids.setdefault((event["partition"], event["card_id"]), [])
        for earlier in seen:
            same = earlier["transaction_id"] == event["transaction_id"]
            if same and earlier["append_ms"] > event["append_ms"] - DUPLICATE_HORIZON_MS:
                return 1 if earlier["digest"] == event["digest"] else 2
        seen.append(event)
        return 0

    def take(self, event: Event) -> tuple[int, bool, list[float]]:
        """Verdict, lateness for the card, features."""
        event = event | {name: None for name in FORGETTABLE if event[name] in PLACEHOLDERS.values()}
        verdict = self.verdict(event)
        if verdict:
            return verdict, False, []
        values = [self.feature(feature, event) for feature in FEATURES]
        late = False
        for spec in ENTITIES:
            key = event[spec.id_field]
            if key is None:
                continue
            place = (spec.entity, event["partition"], key)
            history = self.histories.setdefault(place, History(spec.recent, held_ms(spec.entity)))
            if history.is_late(event):
                late = late or spec.entity is Entity.CARD
            else:
                history.add(event)
        return 0, late, values

    def feature(self, feature: Feature, event: Event) -> float:
        if feature.entity is Entity.TRANSACTION:
            return stateless(feature, event)
        spec = next(s for s in ENTITIES if s.entity is feature.entity)
        key = event[spec.id_field]
        if key is None:
            return MISSING
        found = [self.histories.get((spec.entity, p, key)) for p in range(self.partitions)]
        if not spec.shared:
            found = [self.histories.get((spec.entity, event["partition"], key))]
        return compute(feature, spec, [h for h in found if h is not None], event)
