"""Payments as columns, before they have names: what every habit and scenario draws, and how it becomes Arrow.

An event refers to cards, merchants and the rest by number. ``compute_transactions`` turns numbers into the Avro
fields of ``transactions`` v2; ``compute_truth`` keeps what only the simulator knows. The truth is never a field of
the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from weir.generators import seeds
from weir.generators.geography import CATEGORIES, CITIES, ENTRY_MODES
from weir.generators.seeds import Bools, Floats, Hashes, Ints
from weir.schemas.currencies import micro_rate

if TYPE_CHECKING:
    from weir.generators.population import Population

Codes = npt.NDArray[np.int8]
OUTCOMES = ("ACCEPTED", "DECLINED", "UNKNOWN")
SCENARIOS = (
    "",
    "card_testing",
    "account_takeover",
    "impossible_travel",
    "compromised_merchant",
    "device_farm",
    "bust_out",
    "low_and_slow",
    "holiday_travel",
    "shared_device",
    "flash_sale",
    "annual_purchase",
    "small_payments",
    "kiosk",
)
"""Names of what an event is part of; the empty name is everyday life. The first seven are fraud."""
TRUTH_SCHEMA = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("is_fraud", pa.bool_()),
        ("scenario", pa.string()),
        ("actor_id", pa.int64()),
        ("step", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Events:
    """Columns of equal length, one row a payment, in no promised order.

    Attributes:
        time_ms: event time.
        card, merchant: positions in the population.
        device, ip: any number, -1 for none; see ``seeds.device_strings``.
        amount_usd: in dollars; the amount in the merchant's currency is rounded from it.
        lat, lon: degrees, NaN for none.
        entry: position in ``ENTRY_MODES``.
        declined: the terminal's own refusal.
        scenario: position in ``SCENARIOS``.
        actor, step: who acts in the scenario, and which of its payments this is; 0 in everyday life.
        fraud: the truth.
        id_high, id_low: what the transaction id is made of; unique.
    """

    time_ms: Ints
    card: Ints
    merchant: Ints
    device: Ints
    ip: Ints
    amount_usd: Floats
    lat: Floats
    lon: Floats
    entry: Codes
    declined: Bools
    scenario: Codes
    actor: Ints
    step: Ints
    fraud: Bools
    id_high: Hashes
    id_low: Hashes

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: Ints | Bools | slice) -> Events:
        """Return the given rows, in that order."""
        return Events(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def between(self, from_ms: int, to_ms: int) -> Events:
        """Return the rows of [from, to)."""
        return self.take((self.time_ms >= from_ms) & (self.time_ms < to_ms))

    def in_time_order(self) -> Events:
        """Return all rows by event time; rows of one millisecond keep their order."""
        return self.take(np.argsort(self.time_ms, kind="stable"))

    def as_part_of(self, scenario: str, actor: int, *, fraud: bool) -> Events:
        """Return the rows as one actor's, the steps numbered in time order."""
        count = len(self)
        rows = self.in_time_order()
        return replace(
            rows,
            scenario=np.full(count, SCENARIOS.index(scenario), dtype=np.int8),
            actor=np.full(count, actor, dtype=np.int64),
            step=np.arange(count, dtype=np.int64),
            fraud=np.full(count, fraud),
        )

    def with_ids(self, key: np.uint64, first: int = 0) -> Events:
        """Return the rows with ids counted from ``first`` under a key that nothing else uses."""
        low = np.arange(first, first + len(self), dtype=np.uint64)
        return replace(self, id_high=np.full(len(self), key, dtype=np.uint64), id_low=low)


def concat(parts: Iterable[Events]) -> Events:
    """Join columns; no parts give no rows."""
    kept = [part for part in parts if len(part)] or [no_events()]
    return Events(
        **{field.name: np.concatenate([getattr(part, field.name) for part in kept]) for field in fields(Events)}
    )


def no_events() -> Events:
    """Return zero rows."""
    ints, floats = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    codes, bools, hashes = np.empty(0, dtype=np.int8), np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.uint64)
    return Events(
        ints, ints, ints, ints, ints, floats, floats, floats, codes, bools, codes, ints, ints, bools, hashes, hashes
    )


_RATES = np.array([micro_rate(city.currency) for city in CITIES], dtype=np.float64)
_CURRENCIES = pa.array([city.currency for city in CITIES])
_COUNTRIES = pa.array([city.country for city in CITIES])
_MCCS = pa.array([category.mcc for category in CATEGORIES], pa.int32())
_CHANNELS = pa.array([category.channel for category in CATEGORIES])
_LARGEST_USD = 20_000.0
"""No payment of the simulated world exceeds it; far below what validation calls absurd."""


def compute_amount_minor(events: Events, population: Population) -> Ints:
    """Return amounts in minor units of each merchant's currency, at least one unit."""
    rate = _RATES[population.merchant_city[events.merchant]] / 1_000_000
    return np.maximum(1, np.rint(np.minimum(events.amount_usd, _LARGEST_USD) * 100 / rate)).astype(np.int64)


def compute_ids(events: Events) -> pa.Array:
    """Return the transaction ids."""
    return seeds.uuid_strings(events.id_high, events.id_low)


def compute_transactions(events: Events, population: Population) -> pa.RecordBatch:
    """Return the rows as a record batch with the fields of ``transactions`` v2, in their order."""
    city = pa.array(population.merchant_city[events.merchant])
    category = pa.array(population.merchant_category[events.merchant])
    home = pa.array(population.card_city[events.card])
    columns = {
        "transaction_id": compute_ids(events),
        "card_id": population.card_names.take(pa.array(events.card)),
        "customer_id": population.customer_names.take(pa.array(population.card_customer[events.card])),
        "merchant_id": population.merchant_names.take(pa.array(events.merchant)),
        "mcc": _MCCS.take(category),
        "channel": _CHANNELS.take(category),
        "amount_minor": pa.array(compute_amount_minor(events, population)),
        "currency": _CURRENCIES.take(city),
        "country": _COUNTRIES.take(city),
        "event_time_ms": pa.array(events.time_ms),
        "outcome": pa.array(OUTCOMES).take(pa.array(events.declined.astype(np.int8))),
        "device_id": _nullable(events.device, seeds.device_strings(population.seed, events.device)),
        "ip": _nullable(events.ip, seeds.ip_strings(events.ip)),
        "lat": pa.array(events.lat, mask=np.isnan(events.lat)),
        "lon": pa.array(events.lon, mask=np.isnan(events.lon)),
        "issuer_country": _COUNTRIES.take(home),
        "entry_mode": pa.array(ENTRY_MODES).take(pa.array(events.entry)),
    }
    return pa.RecordBatch.from_pydict(columns)


def _nullable(codes: Ints, texts: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(codes >= 0), texts, pa.scalar(None, pa.string()))


def compute_truth(events: Events) -> pa.RecordBatch:
    """Return what only the simulator knows: transaction_id, is_fraud, scenario, actor_id, step."""
    columns = [
        compute_ids(events),
        pa.array(events.fraud),
        pa.array(SCENARIOS).take(pa.array(events.scenario)),
        pa.array(events.actor),
        pa.array(events.step.astype(np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRUTH_SCHEMA)
