"""Payments of as many cards as wanted: one small world over and over, with other names each time.

A world of millions would take minutes and gigabytes to draw, and its variety does not change what the processor does.
Cards, customers, devices and addresses are named after their copy; merchants are everybody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.bench.records import SEED, crowd, encode
from weir.generators.encoding import Encoder
from weir.generators.events import compute_transactions
from weir.generators.habits import draw_payments
from weir.generators.outgoing import Outgoing
from weir.generators.population import Population, build_population
from weir.generators.seeds import rng_for

COPY_CARDS_MAX = 100_000
_RENAMED = ("card_id", "customer_id", "device_id", "ip", "transaction_id")


@dataclass(frozen=True)
class WideWorld:
    """``copies`` of one population."""

    population: Population
    copies: int

    @property
    def cards(self) -> int:
        """How many cards there are, over all copies."""
        return self.copies * self.population.cards

    def draw_each_once(self, now_ms: int) -> Iterator[pa.RecordBatch]:
        """Yield one payment of every card, a copy at a time."""
        cards = np.arange(self.population.cards)
        for copy in range(self.copies):
            yield self._draw(cards, np.full(len(cards), copy), np.full(len(cards), now_ms), f"once-{copy}")

    def draw(self, times_ms: np.ndarray, label: str) -> pa.RecordBatch:
        """Return a payment per moment, of a card drawn from all."""
        rng = rng_for(SEED, "wide", label)
        cards = rng.integers(0, self.population.cards, len(times_ms))
        return self._draw(cards, rng.integers(0, self.copies, len(times_ms)), times_ms, label)

    def _draw(self, cards: np.ndarray, copies: np.ndarray, times_ms: np.ndarray, label: str) -> pa.RecordBatch:
        rng = rng_for(SEED, "wide payments", label)
        events = draw_payments(self.population, rng, cards, times_ms.astype(np.int64))
        payments = crowd(compute_transactions(events, self.population))
        ids = pa.array([f"{label}-{number}" for number in range(payments.num_rows)])
        payments = _set(payments, "transaction_id", ids)
        prefix = pc.cast(pa.array(copies), pa.string())
        for name in _RENAMED:
            payments = _set(payments, name, pc.binary_join_element_wise(prefix, payments[name], "-"))
        return payments


def build_world(cards: int) -> WideWorld:
    """Return a world of about so many cards."""
    size = min(cards, COPY_CARDS_MAX)
    return WideWorld(build_population(SEED, size), max(1, round(cards / size)))


def encode_due(payments: pa.RecordBatch, encoder: Encoder, topic: str) -> Outgoing:
    """Return payments as a block whose records are due at their event times."""
    block = encode(payments, encoder, topic)
    return Outgoing(topic, payments["event_time_ms"].to_numpy().astype(np.float64), block.keys, block.values)


def _set(payments: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    return payments.set_column(payments.schema.get_field_index(name), name, values)
