"""Durations as people write them: ``5m``, ``1h``, ``30d``."""

from __future__ import annotations

import re
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_UNITS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_WRITTEN = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def parse_ms(text: str) -> int:
    """Return a duration in milliseconds, or 0 for what is none.

    >>> [parse_ms(text) for text in ("5m", "30d", "0d", "7 days")]
    [300000, 2592000000, 0, 0]
    """
    found = _WRITTEN.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else 0
