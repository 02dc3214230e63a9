"""Stateless values: what is read from the transaction alone. To add one: a line here and in ``schemas/features.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from weir.schemas.features import HOUR_MS
from weir.streaming.core.events import FLAGS, EventBatch
from weir.streaming.core.layout import REVERSAL


def _has(flag: str) -> Callable[[EventBatch], NDArray[Any]]:
    bit = 1 << FLAGS.index(flag)
    return lambda events: events.flags & bit > 0


VALUES: Final[Mapping[str, Callable[[EventBatch], NDArray[Any]]]] = {
    "amount": lambda events: events.values[0],
    "hour": lambda events: events.event_time_ms % (24 * HOUR_MS) / HOUR_MS,
    "is_online": _has("online"),
    "is_declined": _has("declined"),
    "is_foreign": _has("foreign"),
    "is_refund": lambda events: events.flags & REVERSAL > 0,
    "mcc": lambda events: events.mcc,
}
"""Measure -> its value of every row."""
