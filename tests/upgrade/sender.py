"""A sender that knows nothing of ours: plain payments and labels, and records that end as dead letters."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from tests.golden.dice import Dice
from tests.golden.wire import Row, encode_frame
from tests.upgrade.deployment import read_env

DAY_MS, SPAN_DAYS = 86_400_000, 35
"""The payments' own times run through 35 days and end about now: windows, panes and held labels have something."""
CARDS, DEVICES, SHOPS = 3_000, 900, 300
_DELIVER_SECONDS_MAX = 60.0
Sending = tuple[str, bytes, bytes]


class Sender:
    """Writes by the schemas that stood in the registry when it was made, as a sender does that is never touched."""

    def __init__(self, home: Path, schemas: dict[str, tuple[int, Row]] | None = None) -> None:
        addresses = read_env(home)
        self._servers = addresses["WEIR_KAFKA__BOOTSTRAP_SERVERS"]
        self.schemas = schemas or {
            kind: _read_newest(addresses["WEIR_REGISTRY__URL"], f"{kind}-value") for kind in ("transactions", "labels")
        }

    def send(self, records: Iterable[Sending]) -> int:
        """Publish and wait for the broker; return how many there were."""
        producer = Producer({"bootstrap.servers": self._servers, "linger.ms": 20, "partitioner": "murmur2_random",
                             "acks": "all", "queue.buffering.max.messages": 200_000})  # fmt: skip
        failed: list[str] = []

        def delivered(error: Any, _: object) -> None:
            if error is not None:
                failed.append(error.str())

        sent = list(records)
        for topic, key, value in sent:
            producer.produce(topic, value, key, on_delivery=delivered)
            producer.poll(0)
        assert producer.flush(_DELIVER_SECONDS_MAX) == 0
        assert failed == []
        return len(sent)

    def payments(self, first: int, count: int, *, total: int) -> Iterator[Sending]:
        """Yield payments by number, each with an id of its own; some are labelled."""
        now_ms = int(time.time() * 1_000)
        for number in range(first, first + count):
            row = build_payment(number, now_ms - SPAN_DAYS * DAY_MS * max(0, total - number) // total)
            yield self._frame("transactions", row)
            if number % 20 == 0:
                yield self._frame("labels", _build_label(row, number))

    def repairable(self, first: int, count: int) -> Iterator[Sending]:
        """Yield payments with a country that nobody knows: dead letters until somebody corrects it."""
        now_ms = int(time.time() * 1_000)
        for number in range(first, first + count):
            yield self._frame("transactions", build_payment(number, now_ms) | {"country": "usa"})

    @staticmethod
    def garbage(first: int, count: int) -> Iterator[Sending]:
        """Yield what nobody can read."""
        for number in range(first, first + count):
            yield "transactions", f"card-{number % CARDS}".encode(), b"\x00garbage"

    def _frame(self, kind: str, row: Row) -> Sending:
        schema_id, schema = self.schemas[kind]
        return kind, row["card_id"].encode(), encode_frame(schema_id, schema, row)


def build_payment(number: int, time_ms: int) -> Row:
    """Return a payment, the same for a number but for its time."""
    dice = Dice(number)
    card = dice.below(CARDS)
    return {
        "transaction_id": f"tx-{number}",
        "card_id": f"card-{card}",
        "customer_id": f"person-{card // 2}",
        "merchant_id": f"shop-{dice.below(SHOPS)}",
        "mcc": dice.pick((5411, 5812, 4829)),
        "channel": dice.pick(("POS", "ATM", "ECOM")),
        "amount_minor": -500 if dice.per_mille(30) else 1 + dice.below(90_000),
        "currency": dice.pick(("USD", "EUR", "JPY")),
        "country": dice.pick(("US", "DE", "BR")),
        "event_time_ms": time_ms,
        "outcome": dice.pick(("ACCEPTED", "ACCEPTED", "DECLINED")),
        "device_id": None if dice.per_mille(300) else f"device-{dice.below(DEVICES)}",
        "ip": None if dice.per_mille(500) else f"10.0.{dice.below(4)}.{1 + dice.below(200)}",
        "lat": None,
        "lon": None,
        "issuer_country": dice.pick((None, "US")),
        "entry_mode": None,
    }


def _build_label(row: Row, number: int) -> Row:
    told = {name: row[name] for name in ("transaction_id", "card_id", "merchant_id", "device_id", "event_time_ms")}
    return told | {"label_time_ms": row["event_time_ms"], "is_fraud": number % 60 == 0, "source": "analyst"}


def _read_newest(registry: str, subject: str) -> tuple[int, Any]:
    with urllib.request.urlopen(f"{registry}/subjects/{subject}/versions/latest", timeout=10) as answer:
        found = json.load(answer)
    return int(found["id"]), json.loads(found["schema"])
