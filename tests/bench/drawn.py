"""Payments that are drawn and not simulated: for measuring what does not depend on who pays whom, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

SHOPS = 2_000


def draw_payments(
    dice: np.random.Generator,
    schema: pa.Schema,
    first: int,
    cards: np.ndarray,
    times: np.ndarray,
    **more: Sequence[str],
) -> pa.RecordBatch:
    """Return payments of some cards, in columns.

    Args:
        dice: for what is not given.
        schema: the columns; what is not drawn is null.
        first: number of the first one, in its id.
        cards: number of each one's card.
        times: of each event, UTC epoch ms.
        **more: columns besides.
    """
    n = len(cards)
    columns: dict[str, Any] = {
        "transaction_id": [f"t{first + place}" for place in range(n)],
        "card_id": [f"card-{card}" for card in cards],
        "customer_id": [f"customer-{card // 2}" for card in cards],
        "merchant_id": [f"shop-{shop}" for shop in dice.integers(0, SHOPS, n)],
        "mcc": dice.integers(0, 9_999, n),
        "channel": ["POS"] * n,
        "amount_minor": dice.integers(1, 60_000, n),
        "currency": ["EUR"] * n,
        "country": ["DE"] * n,
        "event_time_ms": times,
        "outcome": ["ACCEPTED"] * n,
        "device_id": [f"device-{card}" for card in cards],
        **more,
    }
    arrays = [
        pa.array(columns[each.name]).cast(each.type) if each.name in columns else pa.nulls(n, each.type)
        for each in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
