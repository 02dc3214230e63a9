"""Live windows of one entity as of now: partials from the view, evaluated by the kernel, and how far to trust them."""

from __future__ import annotations

from typing import Any

from inference.ports import PartialsReader
from schemas.features import ENTITIES, HORIZON_MS, LABEL_HOLD_MS, Entity
from streaming.core import kernel

KNOWN_ENTITIES: tuple[str, ...] = tuple(str(spec.entity) for spec in ENTITIES)


def complete_from_ms(now_ms: int) -> int:
    """Return the append time from which a unit must be complete for every window that ends now."""
    return now_ms - HORIZON_MS - LABEL_HOLD_MS


def look_up(reader: PartialsReader, entity: str, entity_id: str, *, now_ms: int) -> dict[str, Any]:
    """Return an entity's features as a JSON-ready document.

    Args:
        reader: of partials.
        entity: one of ``KNOWN_ENTITIES``.
        entity_id: its id; one that was never seen has empty windows and ``known`` false.
        now_ms: where the windows end, UTC epoch ms.

    Raises:
        Transient: Redis is away.
    """
    found = reader.read_many([(entity, entity_id)], from_ms=complete_from_ms(now_ms))[0]
    return {
        "entity": entity,
        "id": entity_id,
        "known": bool(found.partials or found.labels),
        "at_ms": now_ms,
        "features": kernel.read(Entity(entity), found.partials, found.labels, now_ms),
        "freshness": {
            "newest_event_ms": max((read_newest_ms(partial) for partial in found.partials), default=None),
            "positions": found.positions,
        },
        "complete": found.complete,
        "incomplete_units": found.incomplete_units,
    }


def read_newest_ms(partial: bytes) -> int:
    """Return the newest event time of a partial: a zigzag varint after the version byte (``streaming.core.layout``).

    >>> read_newest_ms(bytes([1, 0xD0, 0x0F]))
    1000
    """
    value = shift = 0
    for byte in partial[1:]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return (value >> 1) ^ -(value & 1)
