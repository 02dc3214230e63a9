"""The load: an endless seeded stream of payments and labels with everything in it that can go wrong with a record.

Duplicates, reused ids, a dozen kinds of poison, late and out-of-order times, bursts, a busy card, shared devices and
merchants; labels repeated, withdrawn, corrected, out of order, and before their transaction. What each record must
come to is not told to the judge: its oracle finds out from the log.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.contracts import Row, encode

SECOND_MS, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000
SPAN_MS = 20 * DAY_MS
"""The stream's event times run through 20 days and end about now: label risk is held back for 7."""
POISON_SHARE, DUPLICATE_SHARE, REUSE_SHARE, LATE_SHARE, DISORDER_SHARE = 0.03, 0.02, 0.01, 0.01, 0.1
BURST_SHARE, BURST_RECORDS = 0.02, 6
UNKNOWN_SCHEMA_ID = 0x7FFFFFFF
KILLER, HANGER = "killer-", "hanger-"
"""Transaction ids that begin so end the decoder, or hang it, of a worker that was told so (``quirks.fragile``)."""
ASKED = "asked-"
"""Transaction ids that begin so are those that clients ask for (``askers.py``)."""
CURRENCIES = ("USD", "USD", "EUR", "JPY")
COUNTRIES = ("US", "US", "US", "DE", "BR")


@dataclass(frozen=True)
class Sending:
    """One record to send.

    Attributes:
        partition: only where the sender is to miss the key's own.
        sender_ms: the sender's clock; the client's own when ``None``.
    """

    kind: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    sender_ms: int | None = None


@dataclass(frozen=True)
class Shape:
    """What the stream is like.

    Attributes:
        records_max: the stream's event times reach now after so many transactions.
        poison_share: of transactions.
        misplaced_share: of transactions that another partitioner put elsewhere.
        span_ms: how far back the event times begin.
        in_order: whether event times only grow.
    """

    records_max: int = 30_000
    poison_share: float = POISON_SHARE
    misplaced_share: float = 0.0
    partitions: int = 2
    cards: int = 120
    span_ms: int = SPAN_MS
    in_order: bool = False


class Traffic:
    """The stream of one seed."""

    def __init__(self, seed: int, *, now_ms: int, registry_url: str, schema_ids: dict[str, int], shape: Shape) -> None:
        self._random = random.Random(seed)
        self._url, self._ids, self._shape, self._now_ms = registry_url, schema_ids, shape, now_ms
        self._number = 0
        self._recent: deque[Row] = deque(maxlen=400)
        self._sent: deque[Sending] = deque(maxlen=400)
        self._labels: deque[Row] = deque(maxlen=200)
        self._burst: list[str] = []

    def __iter__(self) -> Iterator[Sending]:
        while True:
            yield from self._next()

    def _next(self) -> Iterator[Sending]:
        dice = self._random.random()
        shares = (self._shape.poison_share, DUPLICATE_SHARE, REUSE_SHARE)
        if dice < shares[0]:
            yield self._poison()
        elif dice < sum(shares[:2]) and self._sent:
            yield self._random.choice(self._sent)
        elif dice < sum(shares) and self._recent:
            row = self._random.choice(self._recent)
            yield self._framed(row | {"amount_minor": row["amount_minor"] + 1})
        else:
            yield from self._payment_and_labels()

    def _payment_and_labels(self) -> Iterator[Sending]:
        row = self._payment()
        labelled = self._random.random()
        if labelled < 0.02:  # before its transaction
            yield self._label(row)
        sending = self._framed(row)
        self._recent.append(row)
        self._sent.append(sending)
        yield sending
        if 0.02 <= labelled < 0.25:
            yield self._label(self._random.choice(self._recent))
        if labelled > 0.97 and self._labels:
            yield self._again()

    def _payment(self) -> Row:
        self._number += 1
        pick = self._random
        span_ms = self._shape.span_ms
        time_ms = self._now_ms - span_ms + self._number * (span_ms // self._shape.records_max)
        card = self._card()
        if not self._shape.in_order:
            time_ms -= self._delay_ms()
        located = pick.random() < 0.5
        return {
            "transaction_id": f"tx-{self._number}",
            "card_id": card,
            "customer_id": f"person-{int(card[5:]) // 2}",
            "merchant_id": f"shop-{int(pick.paretovariate(1.0)) % 40}",
            "mcc": pick.choice((5411, 5812, 4829)),
            "channel": pick.choice(("POS", "ATM", "ECOM", "MOTO", "OTHER")),
            "amount_minor": pick.choice(
                (50, 100, 199, 200, 1_000, 2_599, 25_000, -900, -1, pick.randrange(1, 300_000))
            ),
            "currency": pick.choice(CURRENCIES),
            "country": pick.choice(COUNTRIES),
            "event_time_ms": time_ms,
            "outcome": pick.choice(("ACCEPTED", "ACCEPTED", "DECLINED", "UNKNOWN")),
            "device_id": None if pick.random() < 0.3 else f"device-{pick.randrange(60)}",
            "ip": None if pick.random() < 0.5 else f"10.0.0.{pick.randrange(25)}",
            "lat": pick.uniform(-90, 90) if located else None,
            "lon": pick.uniform(-180, 180) if located else None,
            "issuer_country": pick.choice((None, "US", "DE")),
            "entry_mode": None,
        }

    def _delay_ms(self) -> int:
        """How much older than its turn a payment is: late, out of order, or not at all."""
        if self._random.random() < LATE_SHARE:
            return 31 * DAY_MS
        return self._random.randrange(2 * HOUR_MS) if self._random.random() < DISORDER_SHARE else 0

    def _card(self) -> str:
        if self._burst:
            return self._burst.pop()
        card = "card-0" if self._random.random() < 0.03 else f"card-{self._random.randrange(self._shape.cards)}"
        if self._random.random() < BURST_SHARE:
            self._burst = [card] * BURST_RECORDS
        return card

    def _framed(self, row: Row) -> Sending:
        value = encode(self._url, self._ids["transactions"], row)
        partition = None
        if self._random.random() < self._shape.misplaced_share:
            partition = self._random.randrange(self._shape.partitions)
        return Sending("transactions", row["card_id"].encode(), value, partition)

    def _label(self, row: Row) -> Sending:
        pick = self._random
        label = {
            "transaction_id": row["transaction_id"],
            "card_id": row["card_id"],
            "merchant_id": row["merchant_id"],
            "device_id": row["device_id"],
            "event_time_ms": row["event_time_ms"],
            "label_time_ms": row["event_time_ms"] + pick.randrange(1, 20) * HOUR_MS // 4,
            "is_fraud": pick.choice((True, False, False, None)),
            "source": "chargeback",
        }
        self._labels.append(label)
        return self._framed_label(label)

    def _again(self) -> Sending:
        """An earlier label repeated as it was, or with another verdict and time, earlier or later."""
        label = self._random.choice(self._labels)
        if self._random.random() < 0.5:
            shift_ms = self._random.randrange(-5, 6) * HOUR_MS
            label = label | {
                "is_fraud": self._random.choice((True, False, None)),
                "label_time_ms": label["label_time_ms"] + shift_ms,
            }
        return self._framed_label(label)

    def _framed_label(self, label: Row) -> Sending:
        if self._random.random() < 0.02:
            return Sending("labels", label["card_id"].encode(), b"\x00not a label")
        return Sending("labels", label["card_id"].encode(), encode(self._url, self._ids["labels"], label))

    def _poison(self) -> Sending:
        row = self._payment()
        row["transaction_id"] += "-poison"
        key = row["card_id"].encode()
        good = encode(self._url, self._ids["transactions"], row)
        raw = [None, b"", b"\x01" + good[1:], b"\x00garbage", good[:-3], good + b"\x00", _unknown(good)]
        changed: list[Row] = [
            {"amount_minor": -(2**40)}, {"amount_minor": 2**62}, {"currency": "ZZZ"}, {"country": "usa"},
            {"mcc": 12_345}, {"event_time_ms": self._now_ms + DAY_MS}, {"event_time_ms": self._now_ms // 1_000},
            {"transaction_id": ""},
            {"device_id": "d" * 200}, {"card_id": "another"}, {"lat": math.nan, "lon": 1.0}, {"lat": 95.0, "lon": 0.0},
        ]  # fmt: skip
        place = self._random.randrange(len(raw) + len(changed))
        if place < len(raw):
            return Sending("transactions", key, raw[place])
        value = encode(self._url, self._ids["transactions"], row | changed[place - len(raw)])
        return Sending("transactions", key, value)


def _unknown(good: bytes) -> bytes:
    return b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + good[5:]
