"""Counting by hand: what a log must come to, from plain lists and dictionaries. It shares no code with the pipeline.

Streams of these tests give an entity fewer events than are kept exactly, and no window's edge near an event, so every
number is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]

_MINUTE_MS = 60_000
WINDOWS_MS = {
    "1m": _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "1d": 1_440 * _MINUTE_MS,
    "7d": 7 * 1_440 * _MINUTE_MS,
    "30d": 30 * 1_440 * _MINUTE_MS,
}
ENTITY_FIELDS = {
    "card": "card_id",
    "customer": "customer_id",
    "device": "device_id",
    "ip": "ip",
    "merchant": "merchant_id",
}
_DECLARED: dict[str, str] = {
    # feature: field of which distinct values are counted
    "card_merchant_distinct_1h": "merchant_id",
    "card_device_distinct_1d": "device_id",
    "card_country_distinct_1d": "country",
    "device_card_distinct_1d": "card_id",
    "device_customer_distinct_7d": "customer_id",
    "ip_card_distinct_1d": "card_id",
    "merchant_card_distinct_1d": "card_id",
}


@dataclass(frozen=True)
class Read:
    """One record of the log: its coordinate, its fields, and whether it counts."""

    partition: int
    offset: int
    event: Event
    counts: bool


def judge(log: list[tuple[int, int, Event | None]]) -> list[Read]:
    """Say which records count: those that can be read, by the first use of their id on their card.

    Args:
        log: partition, offset and fields of each record in log order; no fields where it is garbage.
    """
    used: set[tuple[str, str]] = set()
    found = []
    for partition, offset, event in log:
        name = (event["card_id"], event["transaction_id"]) if event else ("", "")
        found.append(Read(partition, offset, event or {}, counts=event is not None and name not in used))
        used.add(name)
    return found


def windows(events: list[Event], entity: str, at_ms: int) -> dict[str, float]:
    """Compute the features of one entity at a time, from the events that are its own."""

    def within(window: str) -> list[Event]:
        return [e for e in events if at_ms - WINDOWS_MS[window] < e["event_time_ms"] <= at_ms]

    counts = {"card": "1m 5m 1h 1d 7d 30d", "customer": "1h 1d 7d", "device": "5m 1h 1d", "ip": "5m 1h 1d"}
    sums = {"card": "1h 1d 7d 30d", "customer": "1d 7d", "device": "1d"}
    found: dict[str, float] = {}
    for window in counts.get(entity, "5m 1h 1d 7d 30d").split():
        found[f"{entity}_event_count_{window}"] = float(len(within(window)))
    for window in sums.get(entity, "").split():
        found[f"{entity}_amount_sum_{window}"] = float(sum(e["amount_minor"] for e in within(window)))
    for name, field in _DECLARED.items():
        if name.startswith(f"{entity}_"):
            found[name] = float(len({e[field] for e in within(name.rpartition("_")[2])} - {None}))
    if entity == "card" and within("30d"):
        found["card_amount_max_30d"] = float(max(e["amount_minor"] for e in within("30d")))
    return found


def features_of(log: list[Read], at: int, sees: Callable[[Read], bool] = lambda _: True) -> dict[str, float]:
    """Compute what the row of the record at a place of the log must say of each entity.

    Args:
        log: as judged.
        at: index of the record; it counts.
        sees: whether an earlier record was visible; all were, by default.
    """
    event = log[at].event
    seen = [read.event for read in log[: at + 1] if read.counts and sees(read)]
    found: dict[str, float] = {}
    for entity, field in ENTITY_FIELDS.items():
        if event[field] is not None:
            own = [e for e in seen if e[field] == event[field]]
            found |= windows(own, entity, event["event_time_ms"])
    return found
