"""What was read of a unit at once: where it stands, whether it can be believed, and partials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weir.infra.redis.unit import DROPPING, Position, Unit, UnreadablePosition, parse_position

UNREADABLE = b"\0"
"""What stands for a value that is no partial for sure: an empty one, or one of another Redis type."""
BEFORE_PARTIALS = 3
"""Keys that are read before a unit's partials: its position, the view that follows the log, the mark."""


@dataclass(frozen=True)
class Loaded:
    """Partials read together with their unit's position.

    Attributes:
        moved_on: another view of the group is the one that follows the log now, so this one lacks what came since.
        suspect: why the unit has to be built again from the log, so that nothing of it counts; empty where it need not.
        dropping: the unit is being deleted, or the process that deleted it died meanwhile.
        other_types: keys that read as absent and hold a value of another Redis type, where ``load_checked`` asked.
    """

    position: Position | None
    partials: list[bytes]
    moved_on: bool = False
    suspect: str = ""
    dropping: bool = False
    other_types: Sequence[str] = ()


def build_loaded(unit: Unit, raw: Sequence[bytes | None], view: str) -> Loaded:
    """Make something of a position, the view that follows the log, the mark, and partials.

    Args:
        unit: whose.
        raw: what Redis answered, in this order.
        view: the name of the view that is read.
    """
    ours = view.encode()
    moved_on = raw[1] not in {None, ours}
    marked, _, reason = (raw[2] or b"").partition(b" ")
    suspect = reason.decode(errors="replace") if marked == ours else ""
    position = None
    try:
        position = parse_position(raw[0], unit)
    except UnreadablePosition as error:
        suspect = suspect or str(error)
    partials = [b"" if value is None else value or UNREADABLE for value in raw[BEFORE_PARTIALS:]]
    return Loaded(None if suspect else position, partials, moved_on, suspect, (raw[0] or b"").startswith(DROPPING))
