"""What may be seen of an entity that several partitions share: at least one's own part, at most all that was there.

Other partitions' payments count as *possibly visible* when they were in the log before the row was; which of them
the processor had in fact read depends on its batches, so their features are held between two bounds. With one
partition there is nothing to be unsure of, and the values must be equal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.faults.contracts import Row
from tests.faults.oracle import ENTITY_FIELDS, EXACT_EVENTS, PANES, WINDOWS, Event, History, Look

SLACK, NEAR = 1e-5, 3e-4
SHARED = tuple(entity for entity in ENTITY_FIELDS if entity != "card")
Histories = dict[tuple[str, int, str], History]
Bound = tuple[float, float]


class Visible:
    """Payments by entity, to find those of other partitions."""

    def __init__(self, events: list[Event]) -> None:
        self._events: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            for entity in ENTITY_FIELDS:
                entity_id = event.row[ENTITY_FIELDS[entity][0]]
                if entity_id is not None:
                    self._events[entity, entity_id].append(event)

    def elsewhere(self, entity: str, event: Event, until_ms: int) -> list[Event]:
        """Payments of the same entity in other partitions that the log had by then."""
        known = self._events[entity, event.row[ENTITY_FIELDS[entity][0]]]
        return [one for one in known if one.partition != event.partition and one.append_ms <= until_ms]


def find_outside(
    histories: Histories,
    visible: Visible,
    event: Event,
    row: Row,
    row_append_ms: int,
    partitions: int,
    entities: Sequence[str] = SHARED,
) -> Iterator[str]:
    """Name every feature of a row, of shared entities unless others are given, that lies outside its bounds."""
    for entity in entities:
        entity_id = event.row[ENTITY_FIELDS[entity][0]]
        names = [name for name in row if name.startswith(f"{entity}_") and not name.endswith("_id")]
        if entity_id is None:
            yield from (f"{name}: a value without an entity" for name in names if row[name] is not None)
            continue
        look = Look(entity, [histories[entity, event.partition, entity_id]], event.time_ms, event)
        others = visible.elsewhere(entity, event, row_append_ms) if partitions > 1 else []
        for name in names:
            bound = _bound(name, look, event, others)
            value = math.nan if row[name] is None else row[name]
            if bound is not None and not _is_within(value, bound):
                yield f"{event.partition}@{event.offset} {name}: expected {bound[0]} to {bound[1]}, found {value}"


def _is_within(value: float, bound: Bound) -> bool:
    if math.isnan(bound[0]):
        return math.isnan(value)
    low, high = bound
    slack = NEAR * max(1.0, abs(low), abs(high)) if low == high else SLACK * max(1.0, abs(low), abs(high))
    return low - slack <= value <= high + slack


def _bound(name: str, look: Look, event: Event, others: list[Event]) -> Bound | None:
    _, measure, *parts, window = name.split("_")
    aggregate, window_ms = "_".join(parts), WINDOWS[window]
    if aggregate == "risk":
        return None  # which labels were visible is another topic's matter; its end state is compared exactly
    own = look.value(name)
    if not others:
        return own, own
    pane_ms = window_ms // PANES
    kept_exactly = len(others) <= EXACT_EVENTS  # refunds take places among the newest events too
    others = [e for e in others if e.is_refund == (measure == "refund")]
    near = [e for e in others if event.time_ms - window_ms - pane_ms < e.time_ms < event.time_ms + pane_ms]
    if math.isnan(own) and aggregate in {"mean", "ratio", "age"}:
        # a refund sees no payment of its own partition: no bound but that of the others' payments
        return None if near else (own, own)
    if aggregate == "ratio":
        return _bound_ratio(own, look.value(f"{look.entity}_event_count_{window}"), measure, near)
    if aggregate == "distinct":
        return _bound_distinct(look, measure, window_ms, near, is_exact=look.is_exact(name) and kept_exactly)
    amounts = [own, *[abs(e.amount) for e in near]]
    ages = [min(window_ms, event.time_ms - e.time_ms + pane_ms) / 1_000 for e in near]
    # zscore and decayed go both ways
    return {
        "count": (own, own + len(near)),
        "sum": (own, sum(amounts)),
        "mean": (min(amounts), max(amounts)),
        "age": (own, max([own, *ages])),
        "new": (own if math.isnan(own) else 0.0, own),
    }.get(aggregate)


def _bound_ratio(own: float, size: float, flag: str, near: list[Event]) -> Bound:
    flagged, more = own * size, sum(e.flags[flag] for e in near)
    return flagged / (size + len(near) - more), (flagged + more) / (size + more)


def _bound_distinct(look: Look, measure: str, window_ms: int, near: list[Event], *, is_exact: bool) -> Bound:
    """Return the bounds: more values never unset a bit, and which values are there says which bits are set."""
    own, every = look.distinct(measure, window_ms), look.distinct(measure, window_ms, near)
    return (own[0], every[0]) if is_exact else (min(own), max(every))
