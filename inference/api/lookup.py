"""Live windows of one entity as of now: partials from the view, evaluated by the kernel, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from weir.inference.api.ports import PartialsReader
from weir.infra.redis.partials_reader import Partials
from weir.schemas.stream import Stream
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.states import Reading


def complete_from_ms(stream: Stream, now_ms: int) -> int:
    """Return the append time from which a unit must be complete for every window that ends now."""
    return now_ms - stream.horizon_ms - stream.label_hold_ms


class LookUp(NamedTuple):
    """What is asked for.

    Attributes:
        entity: the name of an entity of the stream.
        entity_id: its id; one that was never seen has empty windows and ``known`` false.
        now_ms: where the windows end, UTC epoch ms.
    """

    entity: str
    entity_id: str
    now_ms: int


def look_up(kernel: Kernel, reader: PartialsReader, entity: str, entity_id: str, *, now_ms: int) -> dict[str, Any]:
    """Return one entity's features; see ``LookUp`` and ``look_up_all``."""
    return look_up_all(kernel, reader, [LookUp(entity, entity_id, now_ms)])[0]


def look_up_all(kernel: Kernel, reader: PartialsReader, asked: Sequence[LookUp]) -> list[dict[str, Any]]:
    """Return entities' features as JSON-ready documents, in order; Redis is asked once.

    Raises:
        Transient: Redis is unreachable.
    """
    # of times that differ by a turn of the event loop the earliest is the strictest
    from_ms = complete_from_ms(kernel.stream, min(each.now_ms for each in asked))
    found = reader.read_many([(each.entity, each.entity_id) for each in asked], from_ms=from_ms)
    windows = kernel.read_all(
        [Reading(each.entity, one.partials, one.labels, each.now_ms) for each, one in zip(asked, found, strict=True)]
    )
    return [_build_answer(*parts) for parts in zip(asked, found, windows, strict=True)]


def _build_answer(asked: LookUp, found: Partials, windows: dict[str, float | None]) -> dict[str, Any]:
    return {
        "entity": asked.entity,
        "id": asked.entity_id,
        "known": bool(found.partials or found.labels),
        "at_ms": asked.now_ms,
        "features": windows,
        "freshness": {
            "newest_event_ms": max((read_newest_ms(partial) for partial in found.partials), default=None),
            "positions": found.positions,
        },
        "complete": found.complete,
        "incomplete_units": found.incomplete_units,
    }


def read_newest_ms(partial: bytes) -> int:
    """Return the newest event time of a partial: a zigzag varint after the version byte (``streaming/core/layout.py``).

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
