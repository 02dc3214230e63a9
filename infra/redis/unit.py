"""A unit of state, and its position: how far the log has been folded into it, as a value that carries its own check."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from weir.schemas.errors import Refused

DROPPING = b"dropping"
"""What a position begins with while its unit is deleted."""
_POSITION = re.compile(rb"((?:[0-9]{1,19} ){5,6})([0-9a-f]{8})")


class Unit(NamedTuple):
    """One input partition as a unit of atomicity.

    Attributes:
        kind: ``t`` for transactions, ``l`` for labels.
        partition: of the input topic.
    """

    kind: str
    partition: int

    @property
    def tag(self) -> str:
        """Return the hash tag's content.

        >>> Unit("t", 3).tag
        't03'
        """
        return f"{self.kind}{self.partition:02d}"


@dataclass(frozen=True)
class Position:
    """How far a unit has been folded, and from when it is complete.

    Attributes:
        partitions: of the input, under which every key counted here belongs here; 0 when some key does not.
        known_bytes: length of the list of known ids.
        erasures: how often a partial was taken out of the unit for good. What was folded before the last time may hold
            what it took out, and is not written any more.
    """

    applied: int
    since_ms: int = 0
    target: int = 0
    partitions: int = 0
    known_bytes: int = 0
    erasures: int = 0

    @property
    def rebuilding(self) -> bool:
        """True while a rebuild has not yet reached what was there before."""
        return self.applied < self.target

    def is_complete(self, from_ms: int) -> bool:
        """True when everything after ``from_ms`` (append time) is in the unit."""
        return not self.rebuilding and self.since_ms <= from_ms


class UnreadablePosition(Refused):
    """Somebody else wrote a unit's position, so what is next to it is not to be trusted either."""


def format_position(position: Position, unit: Unit) -> bytes:
    """Write a position with its check; without erasures it is as releases wrote it that know of none.

    >>> format_position(Position(12), Unit("t", 3))
    b'12 0 0 0 0 e220e20a'
    """
    numbers = (position.applied, position.since_ms, position.target, position.partitions, position.known_bytes)
    text = b"%d %d %d %d %d " % numbers + (b"%d " % position.erasures if position.erasures else b"")
    return text + b"%08x" % _check_of(text, unit)


def _check_of(text: bytes, unit: Unit) -> int:
    return crc32(text, crc32(unit.tag.encode()))


def parse_position(raw: bytes | None, unit: Unit) -> Position | None:
    """Read a unit's position value; ``None`` where there is none, or none any more.

    Raises:
        UnreadablePosition: it is no position of this unit. To take it for absent would be a guess.

    >>> parse_position(format_position(Position(12), Unit("t", 3)), Unit("t", 3))
    Position(applied=12, since_ms=0, target=0, partitions=0, known_bytes=0, erasures=0)
    """
    if raw is None or raw.startswith(DROPPING):
        return None
    found = _POSITION.fullmatch(raw)
    if found is None or int(found[2], 16) != _check_of(found[1], unit):
        raise UnreadablePosition(
            f"redis: expected the position of unit {unit.tag} with its check, found {raw[:40]!r}: not written by us; "
            "its processor builds the unit again from the log"
        )
    return Position(*map(int, found[1].split()))
