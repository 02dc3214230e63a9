"""Stateless values: what is read from the transaction alone. To add one: a line here and in ``schemas/features.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from weir.schemas.features import HOUR_MS
from weir.streaming.core.events import EventBatch
from weir.streaming.core.layout import FLAG_DECLINED, FLAG_FOREIGN, FLAG_ONLINE, FLAG_REFUND

VALUES: Final[Mapping[str, Callable[[EventBatch], NDArray[Any]]]] = {
    "amount": lambda events: events.amount_minor,
    "hour": lambda events: events.event_time_ms % (24 * HOUR_MS) / HOUR_MS,
    "is_online": lambda events: events.flags & FLAG_ONLINE > 0,
    "is_declined": lambda events: events.flags & FLAG_DECLINED > 0,
    "is_foreign": lambda events: events.flags & FLAG_FOREIGN > 0,
    "is_refund": lambda events: events.flags & FLAG_REFUND > 0,
    "mcc": lambda events: events.mcc,
}
"""Measure -> its value of every row."""
