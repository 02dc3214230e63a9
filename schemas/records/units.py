"""Which times can be a payment's, and in which unit a number probably is that cannot be right. Pure: no clock.

A time is epoch milliseconds everywhere. Others write seconds, days, microseconds or nanoseconds; each of those,
read as milliseconds, is a time decades too early or thousands of years too late. So a bound on both sides finds a
wrong unit, and dividing by each known unit names it. The units cannot be confused: between 2000 and now no number is
a plausible time in two of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EARLIEST_TIME_MS = 946_684_800_000
"""2000-01-01: no payment that is still to be decided, and no history a model learns from, is older. Epoch seconds,
days and small counters read as milliseconds are all below it."""
LATEST_TIME_MS = 253_402_300_799_999
"""The end of the year 9999, the last time that can be written as a date."""

_POWERS = (5, 6, 7)
"""Positions are often written as integers: degrees times ten to one of these."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: dict[str, tuple[int, int]] = {
    "seconds": (1_000, 1),
    "days": (24 * 60 * 60 * 1_000, 1),
    "microseconds": (1, 1_000),
    "nanoseconds": (1, 1_000_000),
}
"""How a number of each unit becomes milliseconds: times, divided by."""


def name_unit(found: int, *, latest_ms: int) -> str:
    """Say in which unit a number would be a plausible time; empty when there is none.

    Args:
        found: not a plausible time in milliseconds.
        latest_ms: the last plausible time, UTC epoch ms.

    >>> name_unit(1_795_644_788, latest_ms=1_795_700_000_000)
    'it would be 2026-11-25 as seconds; expected milliseconds'
    >>> name_unit(7, latest_ms=1_795_700_000_000)
    ''
    """
    for unit, (times, divided_by) in _UNITS.items():
        time_ms = found * times // divided_by
        if EARLIEST_TIME_MS <= time_ms <= min(latest_ms, LATEST_TIME_MS):
            return f"it would be {_moment(time_ms):%Y-%m-%d} as {unit}; expected milliseconds"
    return ""


def name_scale(lat: float | None, lon: float | None) -> str:
    """Say which power of ten makes degrees of two numbers that are out of range; empty when none does.

    >>> name_scale(525_200_000.0, 134_050_000.0)
    'it looks like degrees times 10^7; expected degrees'
    """
    if lat is None or lon is None or not (lat.is_integer() and lon.is_integer()):
        return ""
    fitting = (power for power in _POWERS if abs(lat) <= 90 * 10**power and abs(lon) <= 180 * 10**power)
    return next((f"it looks like degrees times 10^{power}; expected degrees" for power in fitting), "")


def format_time(time_ms: int) -> str:
    """Return a time as people read it, or the number where no calendar reaches it.

    >>> format_time(1_795_644_788_123), format_time(-(1 << 63))
    ('2026-11-25T22:13:08.123Z', '-9223372036854775808')
    """
    if not 0 <= time_ms <= LATEST_TIME_MS:
        return str(time_ms)
    return _moment(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time_ms)
