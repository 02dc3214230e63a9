"""Times as other files have them: in other units and from other starts, local, or as text of a stated form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

from weir.infra.user_files.values import Instant, parse_time, to_milliseconds
from weir.schemas.errors import Refused

UNITS: dict[str, Decimal] = {
    "ns": Decimal("0.000001"),
    "us": Decimal("0.001"),
    "ms": Decimal(1),
    "s": Decimal(1_000),
    "min": Decimal(60_000),
    "h": Decimal(3_600_000),
    "d": Decimal(86_400_000),
}
"""Milliseconds in each."""
_QUANTITY = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_DURATION = re.compile(r"([0-9]{1,6})\s*(s|min|h|d)")


@dataclass(frozen=True)
class TimeForm:
    """How a time is written.

    Attributes:
        unit: of a number; None for epoch milliseconds or ISO 8601.
        base_ms: what numbers count from, UTC epoch milliseconds.
        zone: of times without an offset.
        text: a form as ``datetime.strptime`` reads it.
    """

    unit: str | None = None
    base_ms: int = 0
    zone: tzinfo | None = None
    text: str | None = None

    def parse(self, found: object) -> int | None:
        """Return UTC epoch milliseconds, digits below cut, or None for what is no such time."""
        if isinstance(found, Instant):
            return parse_time(found, self.zone)  # the column has its own unit
        if self.text is not None:
            return self._parse_text(str(found))
        return parse_time(found, self.zone) if self.unit is None else self._parse_number(self.unit, found)

    def _parse_text(self, found: str) -> int | None:
        try:
            return to_milliseconds(datetime.strptime(found, self.text or ""), self.zone)  # noqa: DTZ007 - see zone
        except (ValueError, OverflowError):
            return None

    def _parse_number(self, unit: str, found: object) -> int | None:
        text = format(found, "f") if isinstance(found, Decimal) else str(found)
        if isinstance(found, bool) or not _QUANTITY.fullmatch(text):
            return None
        return self.base_ms + int((Decimal(text) * UNITS[unit]) // 1)


def find_zone(name: str) -> tzinfo:
    """Return a time zone.

    Raises:
        Refused: this machine knows none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise Refused(f'expected a time zone such as "UTC" or "Europe/Berlin", found {name!r}') from None


def parse_duration(text: str) -> int:
    """Return milliseconds.

    Raises:
        Refused: it is no duration.

    >>> parse_duration("7d")
    604800000
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise Refused(f'expected a duration such as "7d" or "12h", found {text!r}')
    return int(int(found[1]) * UNITS[found[2]])


def parse_base(text: str, zone: tzinfo | None) -> int:
    """Return the moment that numbers count from, UTC epoch milliseconds.

    Raises:
        Refused: it is no ISO 8601 time.
    """
    found = parse_time(text, zone)
    if found is None:
        raise Refused(f'expected base as an ISO 8601 time such as "2026-01-01T00:00:00Z", found {text!r}')
    return found
