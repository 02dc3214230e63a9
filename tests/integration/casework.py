"""Cases of tests: a desk whose clock ticks and that knows some decisions, and what the follower reads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from weir.cases.case import Review
from weir.cases.desk import Desk
from weir.cases.intake import Intake
from weir.infra.database.engine import open_database
from weir.infra.settings import Settings
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

NOW_MS = 1_767_268_800_000
BURST_MS = 60_000
DAY_MS = 86_400_000
STREAM = payments.full_name


def build_desk(settings: Settings, stream: Stream = payments, known: Iterable[Review] = ()) -> Desk:
    """Return a desk of a stream's cases; every look at its clock is a millisecond later."""
    ticks = iter(range(NOW_MS, NOW_MS + 1_000))
    find = {each.event_id: each for each in known}.get
    return Desk(partial(open_database, settings), stream, lambda: next(ticks), find=find, burst_ms=BURST_MS)


def review(
    event_id: str = "t1",
    key: str = "c1",
    event_ms: int = NOW_MS,
    loss: float = 10.0,
    *,
    label: bool = True,
    **decision: Any,
) -> Review:
    """Return a decision that a person looks at; more fields of it by their names."""
    fields = {"transaction_id": event_id, "card_id": key, "merchant_id": "m", "device_id": None, "event_time_ms": 5}
    said = {"transaction_id": event_id, **decision}
    return Review(key, event_id, event_ms, event_ms + 40, loss, said, fields if label else None)


def take(intake: Intake, *reviews: Review, end: int = 1) -> int:
    """Have the follower keep decisions; return how many are new."""
    return intake.take(reviews, {0: end})
