"""The log: payments and labels of 45 days with everything in them that state or features depend on.

Nothing of the product is imported, so that neither its generators nor its codec can change what is read here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.golden.dice import Dice
from tests.golden.wire import Row, choose_partition, encode_frame

EXPECTED = Path(__file__).parent / "expected"
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
START_MS = 1_750_000_000_000
DAYS = 45
STEADY = 2_800
"""Payments of every day, about one in 23 minutes."""
SCHEMA_IDS = {"transactions.v1": 1, "transactions.v2": 2, "labels": 3}
UNKNOWN_SCHEMA_ID = 99

CARDS, DEVICES, ADDRESSES, SHOPS = 110, 50, 30, 40
CURRENCIES = (
    "USD", "USD", "EUR", "GBP", "CHF", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "CZK", "TRY", "MXN", "BRL", "INR",
    "JPY", "KRW", "KWD",
)  # fmt: skip
COUNTRIES = ("US", "US", "US", "DE", "BR", "IN", "JP")
AMOUNTS = (0, 1, 50, 199, 200, 201, 1_000, 2_599, 25_000, 3_000_000)
REFUNDS = (-1, -5, -900, -25_000)
ODD_IDS = {
    "card_id": ("karte-\u00e4\u00f6\u00fc", "card:with:colons", "card {t00}", "\u5361-7", "c" * 128),
    "device_id": ("unknown", " Unknown", "N/A", "0", "ff:ff:ff:ff:ff:ff", "d" * 128, "dev:ice \u00e9"),
    "ip": ("0.0.0.0", "127.0.0.1", "localhost", "2001:db8::1"),
    "merchant_id": ("null", "(not set)", "00000000", "shop \u2603"),
    "customer_id": ("-1", "undefined", "person:0"),
}
"""Placeholders of several kinds, ids in other scripts, with separators, and as long as they may be."""


class Entry(NamedTuple):
    """A record as it lies in the log."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Sent:
    """A record on its way: ``misplaced`` by a sender with another partitioner."""

    topic: str
    at_ms: int
    key: bytes
    value: bytes | None
    misplaced: bool = False


class World:
    """Writes the records in the order in which they are appended."""

    def __init__(self, seed: int) -> None:
        self._dice = Dice(seed)
        self._schemas = {name: json.loads((EXPECTED / f"{name}.avsc").read_text()) for name in SCHEMA_IDS}
        self._number, self._told = 0, 0
        self._rows: deque[Row] = deque(maxlen=300)
        self._sent: deque[Sent] = deque(maxlen=300)
        self._waiting: list[tuple[int, int, Row]] = []

    def records(self) -> Iterator[Sent]:
        """Yield every record, append times growing."""
        for at_ms, changes in self._plan():
            yield from self._labels_until(at_ms)
            yield from self._around(at_ms, changes)
        yield from self._labels_until(START_MS + DAYS * DAY_MS)

    def _plan(self) -> list[tuple[int, Row]]:
        """When something is paid, and what is special about it."""
        steady: list[tuple[int, Row]] = [(START_MS + self._dice.below(DAYS * DAY_MS), {}) for _ in range(STEADY)]
        busy = [*self._busy_card(0, day=28, payments=260), *self._busy_card(1, day=44, payments=170)]
        return sorted([*steady, *self._farm(), *busy, *self._testing(), *self._travel()], key=_time_of)

    def _farm(self) -> Iterator[tuple[int, Row]]:
        """One device, one address and one shop, many cards: rings overflow and bitmaps become dense."""
        for number in range(420):
            at_ms = START_MS + 20 * DAY_MS + number * 6 * SECOND_MS
            yield at_ms, {"card_id": f"card-{number * 7 % 97}", "merchant_id": "shop-hot", "device_id": "device-farm",
                          "ip": "10.9.9.9", "customer_id": f"person-{number % 61}"}  # fmt: skip

    def _busy_card(self, card: int, *, day: int, payments: int) -> Iterator[tuple[int, Row]]:
        """A card of one day with many merchants, devices and countries, and refunds among its payments."""
        for number in range(payments):
            at_ms = START_MS + day * DAY_MS + number * 5 * MINUTE_MS
            changed = {"card_id": f"card-{card}", "customer_id": "person-0", "merchant_id": f"shop-{number % 90}",
                       "device_id": f"device-{number % 70}", "country": COUNTRIES[number % 7]}  # fmt: skip
            yield at_ms, changed | ({"amount_minor": -700 - number} if number % 9 == 0 else {})

    def _testing(self) -> Iterator[tuple[int, Row]]:
        """A script tries a card: tiny amounts, most of them refused."""
        for number in range(24):
            yield START_MS + 33 * DAY_MS + number * 8 * SECOND_MS, {
                "card_id": "card-77", "amount_minor": 50, "currency": "USD", "channel": "ECOM",
                "outcome": "ACCEPTED" if number % 5 == 0 else "DECLINED",
            }  # fmt: skip

    def _travel(self) -> Iterator[tuple[int, Row]]:
        """Two terminals that nobody travels between in ten minutes."""
        for trip in range(12):
            for leg, (country, lat, lon) in enumerate((("US", 40.7, -74.0), ("JP", 35.6, 139.7))):
                yield START_MS + 35 * DAY_MS + trip * 5 * HOUR_MS + leg * 10 * MINUTE_MS, {
                    "card_id": f"card-{trip}", "country": country, "lat": lat, "lon": lon, "channel": "POS",
                    "device_id": None,
                }  # fmt: skip

    def _around(self, at_ms: int, changes: Row) -> Iterator[Sent]:
        """A payment, and what else is sent near it: copies, reused ids, records that are wrong."""
        dice = self._dice
        row = self._payment(at_ms, changes)
        if dice.per_mille(15):
            yield self._wrong(at_ms, row)
        sent = self._send(at_ms, row)
        yield sent
        self._rows.append(row)
        self._sent.append(sent)
        if dice.per_mille(25):  # an hour old or weeks: within a day it is a duplicate
            again = dice.pick(self._sent)
            yield Sent(again.topic, at_ms, again.key, again.value)
        if dice.per_mille(15):
            old = dice.pick(self._rows)
            yield self._send(at_ms, old | {"amount_minor": old["amount_minor"] + 1})
        if dice.per_mille(250):
            self._label_later(at_ms, dice.pick(self._rows))

    def _payment(self, at_ms: int, changes: Row) -> Row:
        dice = self._dice
        self._number += 1
        card = dice.below(CARDS)
        located = dice.per_mille(500)
        row: Row = {
            "transaction_id": f"tx-{self._number}",
            "card_id": f"card-{card}",
            "customer_id": f"person-{card // 2}",
            "merchant_id": f"shop-{dice.below(SHOPS) * dice.below(SHOPS) // SHOPS}",
            "mcc": dice.pick((5411, 5812, 4829, 0, 9999)),
            "channel": dice.pick(("POS", "ATM", "ECOM", "MOTO", "OTHER")),
            "amount_minor": dice.pick(AMOUNTS) if dice.per_mille(300) else 1 + dice.below(60_000),
            "currency": dice.pick(CURRENCIES),
            "country": dice.pick(COUNTRIES),
            "event_time_ms": at_ms - self._age_ms(),
            "outcome": dice.pick(("ACCEPTED", "ACCEPTED", "DECLINED", "UNKNOWN")),
            "device_id": None if dice.per_mille(250) else f"device-{dice.below(DEVICES)}",
            "ip": None if dice.per_mille(400) else f"10.0.0.{dice.below(ADDRESSES)}",
            "lat": dice.below(18_000_000) / 1e5 - 90.0 if located else None,
            "lon": dice.below(36_000_000) / 1e5 - 180.0 if located else None,
            "issuer_country": dice.pick((None, "US", "DE")),
            "entry_mode": dice.pick((None, "chip", "keyed")),
        }
        if dice.per_mille(60):
            row["amount_minor"] = dice.pick(REFUNDS)
        for name, odd in ODD_IDS.items():
            if dice.per_mille(20):
                row[name] = dice.pick(odd)
        return row | changes

    def _age_ms(self) -> int:
        """How much older than its append time a payment is: late, out of order, a moment, or ahead of the broker."""
        dice = self._dice
        if dice.per_mille(10):
            return (29 + dice.below(5)) * DAY_MS
        if dice.per_mille(100):
            return dice.below(3 * HOUR_MS)
        return -dice.below(2 * MINUTE_MS) if dice.per_mille(20) else dice.below(3 * SECOND_MS)

    def _send(self, at_ms: int, row: Row) -> Sent:
        name = "transactions.v1" if self._dice.per_mille(100) else "transactions.v2"
        value = encode_frame(SCHEMA_IDS[name], self._schemas[name], row)
        return Sent("transactions", at_ms, row["card_id"].encode(), value, self._dice.per_mille(4))

    def _wrong(self, at_ms: int, row: Row) -> Sent:
        """A record that nobody may count."""
        row = row | {"transaction_id": f"wrong-{self._number}"}
        good = encode_frame(SCHEMA_IDS["transactions.v2"], self._schemas["transactions.v2"], row)
        raw = (None, b"", b"\x01" + good[1:], good[:-3], good + b"\x00", _unknown(good))
        changed: tuple[Row, ...] = (
            {"amount_minor": 2**60}, {"amount_minor": -(2**40)}, {"currency": "ZZZ"}, {"country": "usa"},
            {"mcc": 12_345}, {"event_time_ms": at_ms + DAY_MS}, {"event_time_ms": at_ms // 1_000},
            {"transaction_id": ""}, {"transaction_id": "4111111111111111"}, {"device_id": "d" * 129},
            {"card_id": "another"}, {"card_id": "unknown"}, {"lat": 95.0, "lon": 0.0},
        )  # fmt: skip
        which = self._dice.below(len(raw) + len(changed))
        if which < len(raw):
            return Sent("transactions", at_ms, row["card_id"].encode(), raw[which])
        wrong = row | changed[which - len(raw)]
        value = encode_frame(SCHEMA_IDS["transactions.v2"], self._schemas["transactions.v2"], wrong)
        key = wrong["card_id"] if wrong["card_id"] == "unknown" else row["card_id"]
        return Sent("transactions", at_ms, key.encode(), value)

    def _label_later(self, at_ms: int, row: Row) -> None:
        """Say what a payment turned out to be, and sometimes say it again, take it back, or another thing."""
        dice = self._dice
        label = {name: row[name] for name in ("transaction_id", "card_id", "merchant_id", "device_id", "event_time_ms")}
        for _ in range(1 + dice.pick((0, 0, 0, 1, 2))):
            known_ms = at_ms + HOUR_MS // 2 + dice.below(12 * DAY_MS)
            verdict = dice.pick((True, True, False, False, False, None))
            told = {"label_time_ms": known_ms, "is_fraud": verdict, "source": dice.pick(("chargeback", "analyst"))}
            self._told += 1
            self._waiting.append((known_ms + dice.below(2 * HOUR_MS), self._told, label | told))

    def _labels_until(self, at_ms: int) -> Iterator[Sent]:
        due = sorted(one for one in self._waiting if one[0] <= at_ms)
        self._waiting = [one for one in self._waiting if one[0] > at_ms]
        for known_ms, _, label in due:
            key = label["card_id"].encode()
            if self._dice.per_mille(15):
                yield Sent("labels", known_ms, key, b"\x00no label")
            value = encode_frame(SCHEMA_IDS["labels"], self._schemas["labels"], label)
            yield Sent("labels", known_ms, key, value, self._dice.per_mille(10))


def build_log(partitions: int, *, seed: int = 20_251_126) -> list[Entry]:
    """Return the log of both topics in the order of their append times; offsets have gaps, as markers leave them."""
    dice, ends = Dice(seed + 1), {(topic, p): 0 for topic in ("transactions", "labels") for p in range(partitions)}
    log = []
    for sent in World(seed).records():
        home = choose_partition(sent.key, partitions)
        partition = (home + 1) % partitions if sent.misplaced else home
        offset = ends[sent.topic, partition]
        ends[sent.topic, partition] = offset + 1 + dice.per_mille(50)
        log.append(Entry(sent.topic, partition, offset, sent.at_ms, sent.key, sent.value))
    return log


def _time_of(planned: tuple[int, Any]) -> int:
    return planned[0]


def _unknown(good: bytes) -> bytes:
    return b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + good[5:]
