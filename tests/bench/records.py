"""The payments that every contender reads: 200,000 cards, and a tenth of the events on the ten busiest merchants.

Everyday payments of the generators' world over the days that end now, cut to size. They are spread over thousands of
merchants; real streams have a few giants, which are the hard case for state that is shared between partitions, so a
tenth of the payments are moved to ten of them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.payments import DAY_MS
from weir.generators.encoding import Encoder
from weir.generators.events import compute_transactions, concat
from weir.generators.habits import draw_day
from weir.generators.outgoing import Outgoing
from weir.generators.plan import PAYMENTS_PER_DAY
from weir.generators.population import build_population

SEED = 5
BUSY_MERCHANTS, BUSY_SHARE = 10, 0.1
_OPEN_SHARE = 0.8
"""Of the payments that a world's cards would make, if none of them were closed for a season."""


def draw_payments(cards: int, records: int, *, now_ms: int, seed: int = SEED) -> pa.RecordBatch:
    """Return the last ``records`` payments of a world before ``now_ms``, in event-time order.

    Raises:
        ValueError: the world made fewer.
    """
    population = build_population(seed, cards)
    today = now_ms // DAY_MS
    days = range(today - int(records / (cards * PAYMENTS_PER_DAY * _OPEN_SHARE)) - 1, today + 1)
    events = concat(draw_day(population, day, PAYMENTS_PER_DAY) for day in days).in_time_order()
    payments = compute_transactions(events.between(days.start * DAY_MS, now_ms), population)
    if payments.num_rows < records:
        raise ValueError(f"expected {records} payments of {cards} cards, found {payments.num_rows}")
    return crowd(payments.slice(payments.num_rows - records), seed=seed)


def crowd(payments: pa.RecordBatch, *, seed: int = SEED) -> pa.RecordBatch:
    """Move a tenth of the payments to ten merchants."""
    rng = np.random.default_rng(seed)
    names = pa.array([f"mer_busy_{number}" for number in range(BUSY_MERCHANTS)])
    moved = pa.array(rng.random(payments.num_rows) < BUSY_SHARE)
    busy = names.take(pa.array(rng.integers(0, BUSY_MERCHANTS, payments.num_rows)))
    column = payments.schema.get_field_index("merchant_id")
    return payments.set_column(column, "merchant_id", pc.if_else(moved, busy, payments["merchant_id"]))


def encode(payments: pa.RecordBatch, encoder: Encoder, topic: str) -> Outgoing:
    """Return the payments as one block that is due at once."""
    return Outgoing(
        topic=topic,
        due_ms=np.zeros(payments.num_rows),
        keys=pc.cast(payments["card_id"], pa.binary()).to_pylist(),
        values=list(encoder.encode(payments)),
    )
