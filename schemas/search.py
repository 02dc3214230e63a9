"""What is asked of past decisions, and the place of a decision in the order in which they are answered. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from weir.schemas.wanted import Wanted

LIMIT: Final = 50
LIMIT_MAX: Final = 200
DAYS: Final = 30
DAYS_MAX: Final = 366
MS_MAX: Final = (1 << 63) - 1
CURSOR: Final = r"[0-9a-f]{1,15}\.[0-9a-f]{1,7}\.[0-9a-f]{1,15}"


class Place(NamedTuple):
    """Where a decision is; places are ordered as decisions were appended.

    What is archived later, joined with others or erased changes no place.
    """

    append_ms: int
    partition: int
    offset: int


@dataclass(frozen=True)
class Search:
    """Which decisions, newest first.

    Attributes:
        first_ms: append time of the oldest one, UTC epoch ms.
        end_ms: and of the first one that is too new.
        limit: how many at most.
        after: only those before this place: the last one of the page before.
        request_id: only those on events that the HTTP request of this id published.
    """

    wanted: Wanted = field(default_factory=Wanted)
    first_ms: int = 0
    end_ms: int = MS_MAX
    limit: int = LIMIT
    after: Place | None = None
    request_id: str | None = None


def write_cursor(place: Place) -> str:
    """Return a place as the text that the next page is asked for by.

    >>> write_cursor(Place(1_767_268_800_000, 3, 10_452))
    '19b796dd600.3.28d4'
    """
    return ".".join(f"{each:x}" for each in place)


def read_cursor(text: str) -> Place | None:
    """Return the place that a cursor names, or nothing for another text.

    >>> read_cursor("19b796dd600.3.28d4"), read_cursor("19b796dd600")
    (Place(append_ms=1767268800000, partition=3, offset=10452), None)
    """
    return Place(*(int(each, 16) for each in text.split("."))) if re.fullmatch(CURSOR, text) else None
