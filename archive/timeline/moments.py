"""Moments of a log, as people name them: a time, how long ago, or the offset of an event. Pure.

A moment stands after every record that was appended until then: what the stream knew, whatever time an event says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused

_PLACE = re.compile(r"(?:(\d{1,9}):)?(\d{1,18})")
_LAST: Final = 1 << 62
Order = tuple[int, int, int]
"""Where a record is among others: its append time, partition and offset."""


@dataclass(frozen=True)
class Moment:
    """A moment that was asked for.

    Attributes:
        at_ms: append time, UTC epoch milliseconds; None until the event of an offset is found.
        offset: of an event, where it was asked for by that.
        partition: of that event; None where it was not said.
    """

    at_ms: int | None = None
    offset: int | None = None
    partition: int | None = None

    @property
    def order(self) -> Order:
        """Where the moment is among records; an event is before its own moment."""
        if self.offset is None:
            return self.at_ms or 0, _LAST, _LAST
        return self.at_ms or 0, self.partition or 0, self.offset


def parse_moment(text: str, now_ms: int) -> Moment:
    """Read a moment.

    Args:
        text: ``2026-11-26T14:03:22Z``, UTC where it has no zone; ``2h``, so long ago; ``5321`` or ``0:5321``, the event
            at an offset, of a partition.
        now_ms: UTC epoch milliseconds.

    Raises:
        Refused: it is none of these.

    >>> parse_moment("1970-01-01 00:00:01", 0).at_ms, parse_moment("2h", 7_200_001).at_ms
    (1000, 1)
    >>> parse_moment("3:14", 0)
    Moment(at_ms=None, offset=14, partition=3)
    """
    if place := _PLACE.fullmatch(text):
        return Moment(offset=int(place[2]), partition=int(place[1]) if place[1] else None)
    if ago := parse_ms(text):
        return Moment(now_ms - ago)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            "expected a time such as 2026-11-26T14:03:22Z, how long ago such as 2h, or an event's OFFSET or "
            f"PARTITION:OFFSET, found {text!r}"
        ) from None
    return Moment(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000))
