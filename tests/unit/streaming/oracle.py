"""The slow and obvious twin of the kernel: lists of events, looked through from the start for every feature.

It reads the declarations of a stream as the kernel does and shares no code with it. What an event is worth (measures,
flags, whether it is a reversal) is written by hand for payments, and computed from the declared expressions by a
reader of their JSON for any other stream. The one rule of the state it must know is which events a busy entity keeps
exactly (the newest K within the horizon) and which by pane of a thirtieth of the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.schemas.expressions.oracle import value_of
from tests.unit.streaming.streams import PLACEHOLDERS
from weir.schemas.currencies import compute_base_minor
from weir.schemas.entity import Aggregate, Entity, Feature
from weir.schemas.expression import to_data
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

Event = dict[str, Any]
MISSING = math.nan
PANES = 30
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Facts:
    """What an event is worth: its measures, its flags, whether it takes something back, and where it was."""

    values: dict[str, int]
    flags: dict[str, bool]
    is_reversal: bool
    position: tuple[float, float] | None
    stateless: dict[str, float]


def amount_of(event: Event) -> int:
    size = compute_base_minor(abs(event["amount_minor"]), event["currency"])
    return size if event["amount_minor"] >= 0 else -size


def is_refund(event: Event) -> bool:
    return bool(event["amount_minor"] < 0)


def facts_of_payment(event: Event) -> Facts:
    """By hand: the declared expressions are judged as well."""
    issuer, amount = event["issuer_country"], amount_of(event)
    flags = {
        "declined": event["outcome"] == "DECLINED",
        "online": event["channel"] in ("ECOM", "MOTO"),
        "foreign": issuer is not None and issuer != event["country"],
        "small": amount <= 200,
    }
    stateless = {
        "amount": amount,
        "hour": event["event_time_ms"] % (24 * HOUR_MS) / HOUR_MS,
        "is_online": flags["online"],
        "is_declined": flags["declined"],
        "is_foreign": flags["foreign"],
        "is_refund": is_refund(event),
        "mcc": event["mcc"],
    }
    position = (event["lat"], event["lon"]) if event["lat"] is not None else None
    return Facts({"amount": amount}, flags, is_refund(event), position, stateless)


def facts_of_declared(stream: Stream) -> Callable[[Event], Facts]:
    """From the expressions of any stream."""

    def facts(event: Event) -> Facts:
        values = {measure.name: value_of(to_data(measure.value), event) for measure in stream.measures}
        row = event | values
        flags = {flag.name: value_of(to_data(flag.when), row) is True for flag in stream.flags}
        back = stream.reversal is not None and value_of(to_data(stream.reversal.when), row) is True
        row |= flags | ({stream.reversal.name: back} if stream.reversal else {})
        found = {value.name: value_of(to_data(value.value), row) for value in stream.values}
        stateless = {name: MISSING if value is None else float(value) for name, value in found.items()}
        lat, lon = (event[stream.position.lat], event[stream.position.lon]) if stream.position else (None, None)
        return Facts(values, flags, back, None if lat is None or lon is None else (lat, lon), stateless)

    return facts


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
    horizon_ms: int
    time: str
    newest_ms: int | None = None
    exact: list[Event] = field(default_factory=list)  # oldest first; ties in log order
    tiled: list[Event] = field(default_factory=list)
    ever: list[Event] = field(default_factory=list)  # every event that was not late
    position: Event | None = None

    def is_late(self, event: Event) -> bool:
        return self.newest_ms is not None and event[self.time] <= self.newest_ms - self.horizon_ms

    def add(self, event: Event) -> None:
        time_ms = event[self.time]
        self.newest_ms = time_ms if self.newest_ms is None else max(self.newest_ms, time_ms)
        self.exact = [e for e in self.exact if e[self.time] > self.newest_ms - self.horizon_ms]
        self.exact = sorted([*self.exact, event], key=lambda e: e[self.time])  # stable: log order on ties
        if len(self.exact) > self.recent:
            self.tiled.append(self.exact.pop(0))
        self.ever.append(event)
        located = event["facts"].position is not None and not event["facts"].is_reversal
        if located and (self.position is None or time_ms >= self.position[self.time]):
            self.position = event

    def in_panes(self, window_ms: int, at_ms: int) -> list[tuple[int, Event]]:
        """Tiled events of panes that overlap the window and are still kept, with their pane's start."""
        pane_ms = window_ms // PANES
        found = []
        for e in self.tiled:
            start = e[self.time] // pane_ms * pane_ms
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
    time: str
    is_held: bool = False

    @property
    def others(self) -> list[Event]:
        return self.exact + [e for _, e in self.paned]

    @property
    def all(self) -> list[Event]:
        """The event at hand is in a window if it is no reversal, and if the window reaches up to it."""
        return self.others if self.is_held or self.event["facts"].is_reversal else [*self.others, self.event]


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
    pane_ms = window.window_ms // PANES
    times = [e[window.time] for e in window.exact]
    times = times or [min(start + pane_ms - 1, window.at_ms) for start, _ in window.paned]
    return (window.at_ms - max(times)) / 1000 if times else MISSING


def age(window: Window) -> float:
    times = [e[window.time] for e in window.exact]
    times += [max(start, window.at_ms - window.window_ms) for start, _ in window.paned]
    if not times:
        return MISSING if window.event["facts"].is_reversal else 0.0
    return (window.at_ms - min(times)) / 1000


def deviation(amounts: list[int]) -> float:
    """From integers, exact until the last step."""
    n = len(amounts)
    return math.sqrt(n * sum(a * a for a in amounts) - sum(amounts) ** 2) / n


def zscore(window: Window, measure: str) -> float:
    amounts = [e["facts"].values[measure] for e in window.others]
    if window.event["facts"].is_reversal or len(amounts) < 2 or len(set(amounts)) == 1:
        return MISSING
    return (window.event["facts"].values[measure] - sum(amounts) / len(amounts)) / deviation(amounts)


def speed(histories: list[History], event: Event, window_ms: int, time: str) -> float:
    known = [
        h.position for h in histories if h.position is not None and h.position[time] > (h.newest_ms or 0) - h.horizon_ms
    ]
    facts = event["facts"]
    if not known or facts.position is None or facts.is_reversal:
        return MISSING
    last = max(known, key=lambda e: e[time])
    apart_ms = abs(event[time] - last[time])
    if apart_ms >= window_ms:
        return MISSING
    a, b = (tuple(math.radians(round(x * 1e5) / 1e5) for x in e["facts"].position) for e in (last, event))
    chord = math.sin((b[0] - a[0]) / 2) ** 2 + math.cos(a[0]) * math.cos(b[0]) * math.sin((b[1] - a[1]) / 2) ** 2
    return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(chord))) / (max(apart_ms, 60_000) / HOUR_MS)


def decayed(histories: list[History], event: Event, half_life_ms: int, time: str) -> float:
    """On a grid of 64 cells to the half-life, as of the newest event known."""
    every = [event, *(e for h in histories for e in h.ever)]
    cell_ms = half_life_ms // 64
    now = max(e[time] // cell_ms for e in every)
    cells = [e[time] // cell_ms for e in every if not e["facts"].is_reversal]
    return sum(0.5 ** ((now - cell) / 64) for cell in cells)


def over_min(window: Window, measure: str) -> float:
    if window.event["facts"].is_reversal:
        return MISSING
    return window.event["facts"].values[measure] / max(1, min(e["facts"].values[measure] for e in window.all))


MEASURES: dict[str, Callable[[list[int]], float]] = {
    Aggregate.SUM: sum,
    Aggregate.MEAN: lambda amounts: sum(amounts) / len(amounts) if amounts else MISSING,
    Aggregate.STD: lambda amounts: deviation(amounts) if amounts else MISSING,
    Aggregate.MIN: lambda amounts: min(amounts, default=MISSING),
    Aggregate.MAX: lambda amounts: max(amounts, default=MISSING),
}
COMPARED: dict[str, Callable[[Window, str], float]] = {Aggregate.ZSCORE: zscore, Aggregate.OVER_MIN: over_min}
ATTRIBUTES: dict[str, Callable[[Window, str], float]] = {Aggregate.DISTINCT: distinct, Aggregate.NEW: is_new}
EVENTS: dict[str, Callable[[Window], float]] = {
    Aggregate.COUNT: lambda window: float(len(window.all)),
    Aggregate.GAP: gap,
    Aggregate.AGE: age,
    Aggregate.RISK: lambda _: MISSING,  # labels have an oracle of their own
}


def compute(
    stream: Stream, feature: Feature, lengths: tuple[int, int], histories: list[History], event: Event
) -> float:
    """One feature of one event, from every other event of the entity in every partition."""
    (window_ms, hold_ms), time = lengths, stream.time
    is_held = hold_ms > 0 and feature.aggregate != Aggregate.RISK
    at_ms = event[time] - is_held * hold_ms
    if feature.aggregate == Aggregate.SPEED:
        return speed(histories, event, window_ms, time)
    if feature.aggregate == Aggregate.DECAYED:
        return decayed(histories, event, window_ms, time)
    exact = [e for h in histories for e in h.exact if 0 <= at_ms - e[time] < window_ms]
    paned = [p for h in histories for p in h.in_panes(window_ms, at_ms)]
    if stream.reversal and feature.measure == stream.reversal.name:
        events = [*exact, *(e for _, e in paned), *([] if is_held else [event])]
        sizes = [abs(e["facts"].values[stream.reversal.of]) for e in events if e["facts"].is_reversal]
        return float(len(sizes) if feature.aggregate == Aggregate.COUNT else sum(sizes))
    exact = [e for e in exact if not e["facts"].is_reversal]
    paned = [(start, e) for start, e in paned if not e["facts"].is_reversal]
    return over_events(
        feature, stream.entity(feature.entity), Window(at_ms, window_ms, exact, paned, event, time, is_held)
    )


def over_events(feature: Feature, entity: Entity, window: Window) -> float:
    if feature.aggregate in MEASURES:
        return float(MEASURES[feature.aggregate]([e["facts"].values[feature.measure] for e in window.all]))
    if feature.aggregate in COMPARED:
        return COMPARED[feature.aggregate](window, feature.measure)
    if feature.aggregate in ATTRIBUTES:
        names = {name.removesuffix("_id"): name for name in entity.tells_apart}
        return ATTRIBUTES[feature.aggregate](window, names[feature.measure])
    if feature.aggregate == Aggregate.RATIO:
        flags = [e["facts"].flags[feature.measure] for e in window.all]
        return sum(flags) / len(flags) if flags else MISSING
    return EVENTS[feature.aggregate](window)


def held_ms(stream: Stream, entity: Entity) -> dict[int, int]:
    """For how much longer than its length a window's panes are kept: the longest hold among its features."""
    held: dict[int, int] = {}
    for f in stream.all_features:
        if f.entity == entity.name and f.aggregate not in {Aggregate.VALUE, Aggregate.RISK}:
            held[f.window_ms] = max(f.hold_ms, held.get(f.window_ms, 0))
    return held


class Oracle:
    """Takes events one by one; every partition sees the others as they are at that moment."""

    def __init__(
        self, partitions: int = 1, stream: Stream = payments, facts: Callable[[Event], Facts] = facts_of_payment
    ) -> None:
        self.partitions = partitions
        self.stream = stream
        self.facts = facts
        self.histories: dict[tuple[str, int, str], History] = {}
        self.ids: dict[tuple[int, str], list[Event]] = {}
        self.held = {entity.name: held_ms(stream, entity) for entity in stream.entities}
        self.lengths = {feature.name: (feature.window_ms, feature.hold_ms) for feature in stream.all_features}

    def verdict(self, event: Event) -> int:
        seen = self.ids.setdefault((event["partition"], event[self.stream.key.field]), [])
        for earlier in seen:
            same = earlier[self.stream.id] == event[self.stream.id]
            if same and earlier["append_ms"] > event["append_ms"] - self.stream.duplicate_horizon_ms:
                return 1 if earlier["digest"] == event["digest"] else 2
        seen.append(event)
        return 0

    def take(self, event: Event) -> tuple[int, bool, list[float]]:
        """Verdict, lateness for the key, features."""
        forgettable = set(self.stream.id_fields) - {self.stream.id, self.stream.key.field}
        event = event | {name: None for name in forgettable if event[name] in PLACEHOLDERS.values()}
        event |= {"facts": self.facts(event)}
        verdict = self.verdict(event)
        if verdict:
            return verdict, False, []
        values = [self.feature(feature, event) for feature in self.stream.all_features]
        late = False
        for entity in self.stream.entities:
            key = event[entity.field]
            if key is None:
                continue
            place = (entity.name, event["partition"], key)
            history = self.histories.get(place) or self._start(entity)
            self.histories[place] = history
            if history.is_late(event):
                late = late or entity.name == self.stream.key.name
            else:
                history.add(event)
        return 0, late, values

    def _start(self, entity: Entity) -> History:
        return History(entity.recent, self.held[entity.name], self.stream.horizon_ms, self.stream.time)

    def feature(self, feature: Feature, event: Event) -> float:
        if feature.aggregate == Aggregate.VALUE:
            return float(event["facts"].stateless[feature.measure])
        entity = self.stream.entity(feature.entity)
        key = event[entity.field]
        if key is None:
            return MISSING
        partitions = range(self.partitions) if entity.shared else [event["partition"]]
        found = [self.histories.get((entity.name, partition, key)) for partition in partitions]
        return compute(self.stream, feature, self.lengths[feature.name], [h for h in found if h is not None], event)
