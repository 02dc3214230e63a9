"""The oracle: what must come of the logs, by naive Python over lists, sets and dicts. It shares no code with it.

Feature names say what they mean (``card_amount_sum_1h``) and are read here independently, as are the rules: windows are
``(t - w, t]`` of event time, the newest 64 events of an entity and partition are exact, older ones count by panes of
``w / 30``, nothing older than 30 days counts, labels are held back by 7 days.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
WINDOWS = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
PANES, EXACT_EVENTS, HORIZON, HOLD, ID_MEMORY = 30, 64, 30 * DAY, 7 * DAY, DAY
SMALL = 200
MICRO_RATE = {"USD": 1_000_000, "EUR": 1_100_000, "JPY": 670_000}
AMOUNT_MAX = 100_000_000
FUTURE_MAX = 5 * MINUTE
YEAR_2000_MS = 946_684_800_000
ENTITY_FIELDS = {
    "card": ("card_id", ("merchant_id", "device_id", "country")),
    "customer": ("customer_id", ("card_id", "device_id", "merchant_id")),
    "device": ("device_id", ("card_id", "customer_id", "merchant_id")),
    "ip": ("ip", ("card_id", "device_id", "merchant_id")),
    "merchant": ("merchant_id", ("card_id", "device_id", "country")),
}
MISSING = math.nan


def base_amount(row: Row) -> int:
    """Base minor units, rounded half away from zero; a refund has the other sign."""
    size = int((abs(row["amount_minor"]) * MICRO_RATE[row["currency"]] + 500_000) // 1_000_000)
    return size if row["amount_minor"] >= 0 else -size


def find_poison(row: Row, key: bytes | None, append_ms: int) -> str:
    """Say why a decoded payment may not count, or nothing."""
    lat, lon = row["lat"], row["lon"]
    ids = [row[name] for name in ("transaction_id", "card_id", "customer_id", "merchant_id", "device_id", "ip")]
    checks = {
        "id": any(one is not None and not 0 < len(one.encode()) <= 128 for one in ids),
        "placeholder": any(names_nobody(row[name]) for name in ("transaction_id", "card_id")),
        "key": key != row["card_id"].encode(),
        "currency": row["currency"] not in MICRO_RATE,
        "country": any(not _is_country(row[name]) for name in ("country", "issuer_country")),
        "mcc": not 0 <= row["mcc"] <= 9_999,
        "place": (lat is None) != (lon is None) or not _is_place(lat, lon),
        "past": row["event_time_ms"] < YEAR_2000_MS,
        "future": row["event_time_ms"] > append_ms + FUTURE_MAX,
    }
    wrong = [name for name, is_wrong in checks.items() if is_wrong]
    if not wrong and abs(base_amount(row)) > AMOUNT_MAX:
        return "amount"
    return wrong[0] if wrong else ""


def names_nobody(text: str | None) -> bool:
    """Whether an id is what senders write for none; of those values, what this load may have."""
    said = "" if text is None else "".join(one for one in text.lower() if one.isalnum())
    return text is not None and (said.strip("0") in {"", "null", "none", "nil", "nan", "na", "unknown", "undefined"})


def _is_country(text: str | None) -> bool:
    return text is None or (len(text) == 2 and text.isascii() and text.isalpha() and text.isupper())


def _is_place(lat: float | None, lon: float | None) -> bool:
    return lat is None or lon is None or (-90 <= lat <= 90 and -180 <= lon <= 180)


@dataclass(frozen=True)
class Event:
    """A payment or a refund that counts."""

    partition: int
    offset: int
    append_ms: int
    time_ms: int
    amount: int
    row: Row
    flags: dict[str, bool]
    is_refund: bool
    """Money back to the card."""


def build_event(row: Row, *, partition: int, offset: int, append_ms: int) -> Event:
    amount, issuer = base_amount(row), row["issuer_country"]
    unnamed = [name for name in ("customer_id", "merchant_id", "device_id", "ip") if names_nobody(row[name])]
    row = row | dict.fromkeys(unnamed)
    flags = {
        "declined": row["outcome"] == "DECLINED",
        "online": row["channel"] in ("ECOM", "MOTO"),
        "foreign": issuer is not None and issuer != row["country"],
        "small": amount <= SMALL,
    }
    return Event(partition, offset, append_ms, row["event_time_ms"], amount, row, flags, row["amount_minor"] < 0)


@dataclass
class History:
    """What one partition knows of one entity."""

    newest_ms: int | None = None
    exact: list[Event] = field(default_factory=list)
    tiled: list[Event] = field(default_factory=list)
    ever: list[Event] = field(default_factory=list)
    place: Event | None = None

    def is_late(self, event: Event) -> bool:
        return self.newest_ms is not None and event.time_ms <= self.newest_ms - HORIZON

    def add(self, event: Event) -> None:
        if self.is_late(event):
            return
        self.newest_ms = event.time_ms if self.newest_ms is None else max(self.newest_ms, event.time_ms)
        floor_ms = self.newest_ms - HORIZON
        self.exact = [one for one in self.exact if one.time_ms > floor_ms]
        insort(self.exact, event, key=lambda one: one.time_ms)
        if len(self.exact) > EXACT_EVENTS:
            self.tiled.append(self.exact.pop(0))
        self.ever.append(event)
        if (
            event.row["lat"] is not None
            and not event.is_refund
            and (self.place is None or event.time_ms >= self.place.time_ms)
        ):
            self.place = event

    def in_panes(self, window_ms: int, at_ms: int) -> list[tuple[int, Event]]:
        """Events kept by pane whose pane meets the window, each with its pane's start."""
        pane_ms, found = window_ms // PANES, []
        for one in self.tiled:
            start = one.time_ms // pane_ms * pane_ms
            kept = start + pane_ms > (self.newest_ms or 0) - window_ms
            if kept and start + pane_ms > at_ms - window_ms and start <= at_ms:
                found.append((start, one))
        return found


Window = tuple[list[Event], list[tuple[int, Event]]]
"""What is kept as it was, and what is kept by pane, with its pane's start."""


class Look:
    """An entity as of a time; ``event`` is the one at hand, if there is one."""

    def __init__(self, entity: str, histories: list[History], at_ms: int, event: Event | None) -> None:
        self.entity, self.histories, self.at_ms, self.event = entity, histories, at_ms, event
        self._windows: dict[int, Window] = {}
        self._payments: dict[int, Window] = {}
        fields = ENTITY_FIELDS[entity][1]
        self._fields = {name.removesuffix("_id"): name for name in fields}

    @property
    def payment(self) -> Event | None:
        """The event at hand if it is a payment; a refund is in no window of payments."""
        return None if self.event is None or self.event.is_refund else self.event

    def _window(self, window_ms: int) -> Window:
        if window_ms not in self._windows:
            exact = [e for h in self.histories for e in h.exact if 0 <= self.at_ms - e.time_ms < window_ms]
            paned = [pair for h in self.histories for pair in h.in_panes(window_ms, self.at_ms)]
            self._windows[window_ms] = exact, paned
        return self._windows[window_ms]

    def _window_of_payments(self, window_ms: int) -> Window:
        if window_ms not in self._payments:
            exact, paned = self._window(window_ms)
            payments = [one for one in exact if not one.is_refund]
            self._payments[window_ms] = payments, [(start, one) for start, one in paned if not one.is_refund]
        return self._payments[window_ms]

    def is_exact(self, name: str) -> bool:
        """Whether the documents promise this value without panes or sketches."""
        return not self._window(WINDOWS[name.rsplit("_", 1)[1]])[1]

    def value(self, name: str) -> float:
        """One feature by its name; NaN is missing."""
        _, measure, *aggregate, window = name.split("_")
        return self._compute("_".join(aggregate), measure, WINDOWS[window])

    def distinct(self, measure: str, window_ms: int, others: Sequence[Event] = ()) -> tuple[float, float]:
        """Return how many values of a measure there are, by themselves and by the bitmap, with those of some others."""
        exact, paned = self._window_of_payments(window_ms)
        own = [*exact, *(one for _, one in paned), *([self.payment] if self.payment else [])]
        values = [one.row[self._fields[measure]] for one in (*own, *others)]
        return _distinct(values, coarse=False), _distinct(values, coarse=True)

    def _compute(self, aggregate: str, measure: str, window_ms: int) -> float:
        if aggregate == "speed":
            return self._speed(window_ms)
        if aggregate == "decayed":
            return self._decayed(window_ms)
        if measure == "refund":
            exact, paned = self._window(window_ms)
            events = [*exact, *(one for _, one in paned), *([self.event] if self.event else [])]
            amounts = [-one.amount for one in events if one.is_refund]
            return float(len(amounts) if aggregate == "count" else sum(amounts))
        exact, paned = self._window_of_payments(window_ms)
        others = exact + [one for _, one in paned]
        every = others if self.payment is None else [*others, self.payment]
        if aggregate in _AMOUNTS:
            return _AMOUNTS[aggregate]([one.amount for one in every])
        simple: dict[str, Callable[[], float]] = {
            "count": lambda: float(len(every)),
            "ratio": lambda: sum(e.flags[measure] for e in every) / len(every) if every else MISSING,
            "distinct": lambda: _distinct([e.row[self._fields[measure]] for e in every], coarse=bool(paned)),
            "new": lambda: self._new(self._fields[measure], exact, paned),
            "gap": lambda: self._gap(exact, paned, window_ms),
            "age": lambda: self._age(exact, paned, window_ms),
            "zscore": lambda: self._zscore([one.amount for one in others]),
            "over_min": lambda: self._over_min([one.amount for one in every]),
        }
        return simple[aggregate]()

    def _new(self, name: str, exact: list[Event], paned: list[tuple[int, Event]]) -> float:
        assert self.event is not None
        value = self.event.row[name]
        if value is None:
            return MISSING
        bits = {_bit(e.row[name]) for _, e in paned if e.row[name] is not None}
        return 0.0 if value in {e.row[name] for e in exact} or _bit(value) in bits else 1.0

    def _gap(self, exact: list[Event], paned: list[tuple[int, Event]], window_ms: int) -> float:
        times = [one.time_ms for one in exact]
        times = times or [min(start + window_ms // PANES - 1, self.at_ms) for start, _ in paned]
        return (self.at_ms - max(times)) / 1000 if times else MISSING

    def _age(self, exact: list[Event], paned: list[tuple[int, Event]], window_ms: int) -> float:
        times = [one.time_ms for one in exact] + [max(start, self.at_ms - window_ms) for start, _ in paned]
        if not times:
            return MISSING if self.payment is None else 0.0
        return (self.at_ms - min(times)) / 1000

    def _zscore(self, amounts: list[int]) -> float:
        assert self.event is not None
        if self.event.is_refund or len(set(amounts)) < 2:
            return MISSING
        return (self.event.amount - sum(amounts) / len(amounts)) / _deviation(amounts)

    def _over_min(self, amounts: list[int]) -> float:
        assert self.event is not None
        return MISSING if self.event.is_refund else self.event.amount / max(1, min(amounts))

    def _decayed(self, half_life_ms: int) -> float:
        """On a grid of 64 cells to the half-life, as of the newest event known."""
        ever = [one for h in self.histories for one in h.ever]
        now = self.at_ms * 64 // half_life_ms
        newest = max([*(one.time_ms * 64 // half_life_ms for one in ever), now])
        cells = [one.time_ms * 64 // half_life_ms for one in ever if not one.is_refund]
        cells += [now] if self.payment is not None else []
        return float(sum(0.5 ** ((newest - cell) / 64) for cell in cells))

    def _speed(self, window_ms: int) -> float:
        assert self.event is not None
        known = [h.place for h in self.histories if h.place and h.place.time_ms > (h.newest_ms or 0) - HORIZON]
        row = self.event.row
        if not known or row["lat"] is None or self.event.is_refund:
            return MISSING
        last = max(known, key=lambda one: one.time_ms)
        apart_ms = abs(self.event.time_ms - last.time_ms)
        if apart_ms >= window_ms:
            return MISSING
        a, b = ([math.radians(round(r[k] * 1e5) / 1e5) for k in ("lat", "lon")] for r in (last.row, row))
        chord = math.sin((b[0] - a[0]) / 2) ** 2 + math.cos(a[0]) * math.cos(b[0]) * math.sin((b[1] - a[1]) / 2) ** 2
        return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(chord))) / (max(apart_ms, MINUTE) / HOUR)


def _deviation(amounts: list[int]) -> float:
    n = len(amounts)
    return math.sqrt(n * sum(a * a for a in amounts) - sum(amounts) ** 2) / n


_AMOUNTS: dict[str, Callable[[list[int]], float]] = {
    "sum": lambda amounts: float(sum(amounts)),
    "mean": lambda amounts: sum(amounts) / len(amounts) if amounts else MISSING,
    "std": lambda amounts: _deviation(amounts) if amounts else MISSING,
    "min": lambda amounts: float(min(amounts)) if amounts else MISSING,
    "max": lambda amounts: float(max(amounts)) if amounts else MISSING,
}


def _bit(value: str) -> int:
    """Place of a value in the 256-bit bitmaps: FNV-1a with a finalizer, as the format describes it."""
    word = 0xCBF29CE484222325
    for byte in value.encode():
        word = (word ^ byte) * 0x100000001B3 % 2**64
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD % 2**64
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return ((word ^ word >> 33) >> 32) % 256


def _distinct(values: list[str | None], *, coarse: bool) -> float:
    known = {value for value in values if value is not None}
    if not coarse:
        return float(len(known))
    free = 256 - len({_bit(value) for value in known})
    return float(round(-256 * math.log(free / 256))) if free else 1597.0


class Ids:
    """Which transaction ids were counted lately, per card and partition; ``evidence`` judges copies in several."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, str], list[tuple[int, bytes]]] = {}

    def judge(self, event: Event, body: bytes, elsewhere: str = "") -> str:
        """``duplicate``, ``id_reused``, or nothing; then it counts from now on.

        Args:
            event: the payment.
            body: its bytes without the frame.
            elsewhere: what it is for a copy in another partition, or nothing.
        """
        seen = self._seen.setdefault((event.partition, event.row["card_id"], event.row["transaction_id"]), [])
        for append_ms, before in seen:
            if append_ms > event.append_ms - ID_MEMORY:
                return "duplicate" if before == body else "id_reused"
        if elsewhere:
            return elsewhere
        seen.append((event.append_ms, body))
        return ""


def remembered(labels: Iterable[tuple[int, Row]]) -> Iterator[Row]:
    """Leave out labels of payments that their card's ledger has forgotten; given with their partition, in its order.

    The oldest pane of a window begins up to a pane before it, so the window may still show what the ledger forgot.
    """
    newest: dict[tuple[int, str], int] = {}
    for partition, row in labels:
        card, event_ms = (partition, row["card_id"]), int(row["event_time_ms"])
        if event_ms > newest.get(card, event_ms) - HORIZON - HOLD:
            newest[card] = max(event_ms, newest.get(card, event_ms))
            yield row


def find_risk(labels: Iterable[Row], name: str, entity_id: str, window: str, at_ms: int) -> float:
    """Fraud share in whole panes within ``(at - hold - window, at - hold]``, by the newest label of each fact."""
    newest: dict[tuple[Any, ...], Row] = {}
    for one in labels:
        fact = (one["transaction_id"], one["merchant_id"], one["device_id"], one["event_time_ms"])
        best = newest.get(fact)
        if best is None or _rank(one) > _rank(best):
            newest[fact] = one
    window_ms = WINDOWS[window]
    pane_ms, end_ms, known = window_ms // PANES, at_ms - HOLD, []
    for one in newest.values():
        pane_end = one["event_time_ms"] // pane_ms * pane_ms + pane_ms
        if (
            one[name] == entity_id
            and not names_nobody(entity_id)
            and one["is_fraud"] is not None
            and end_ms - window_ms < pane_end <= end_ms
        ):
            known.append(one["is_fraud"])
    return sum(known) / len(known) if known else MISSING


def _rank(label: Row) -> tuple[int, int]:
    return label["label_time_ms"], {False: 0, True: 1, None: 2}[label["is_fraud"]]
