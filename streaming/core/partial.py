"""A partial as plain Python objects: a second reader of the bytes, for inspection and to check the compiled one.

It shares the format's drawing in ``layout.py`` with the compiled codec, and no code.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weir.schemas.features import Entity
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    DENSE_BITMAP,
    FLAGS,
    LEVELS,
    N_ATTRIBUTES,
    PANE_MS,
    SECTION_DECAYED,
    SECTION_IDS,
    SECTION_PANES,
    SECTION_POSITION,
    VERSION,
)
from weir.streaming.core.plans import PLANS
from weir.streaming.core.seal import SEAL_BYTES


@dataclass(frozen=True)
class RecentEvent:
    """One event of the ring; hashes are 0 where the attribute was null; a refund's amount is not above 0."""

    time_ms: int
    amount_minor: int
    flags: int
    hashes: tuple[int, int, int]
    is_refund: bool = False


@dataclass(frozen=True)
class Pane:
    """What is kept of the events of one pane that are no longer in the ring; ``count`` is of payments."""

    index: int
    count: int
    total: int
    squares: int
    least: int
    most: int
    flag_counts: tuple[int, ...]
    bitmaps: dict[int, frozenset[int]]
    refunds: int = 0
    refund_total: int = 0


@dataclass(frozen=True)
class Partial:
    """A decoded partial; ``ring`` is newest first, ``panes`` by window name, ``ids`` newest first."""

    newest_ms: int
    ring: tuple[RecentEvent, ...]
    panes: dict[str, tuple[Pane, ...]] = field(default_factory=dict)
    position: tuple[int, int, int] | None = None
    decayed: int | None = None
    ids: tuple[tuple[int, int, int], ...] = ()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> int:
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "little")

    def uv(self) -> int:
        value = shift = 0
        while (byte := self.take(1)) >= 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def zv(self) -> int:
        value = self.uv()
        return value // 2 if value % 2 == 0 else -(value // 2) - 1


def _read_ring(reader: _Reader, newest_ms: int, size: int) -> tuple[RecentEvent, ...]:
    ring: list[RecentEvent] = []
    before, time_ms = (0, 0, 0), newest_ms
    for _ in range(size):
        time_ms -= reader.uv()
        marks = reader.take(1)
        amount = reader.zv()
        hashes = tuple(before[i] if marks >> (4 + i) & 1 else reader.take(4) for i in range(N_ATTRIBUTES))
        before = (hashes[0], hashes[1], hashes[2])
        ring.append(RecentEvent(time_ms, amount, marks & 15, before, is_refund=marks >= 128))
    return tuple(ring)


def _read_bitmap(reader: _Reader) -> frozenset[int]:
    size = reader.take(1)
    if size == DENSE_BITMAP:
        bits = reader.take(BITMAP_BYTES)
        return frozenset(bit for bit in range(8 * BITMAP_BYTES) if bits >> bit & 1)
    return frozenset(reader.take(1) for _ in range(size))


def _read_pane(reader: _Reader, index: int, attributes: list[int]) -> Pane:
    count, has_refunds = divmod(reader.uv(), 2)
    total, squares, least, most, flag_counts = _read_payments(reader, count)
    refunds, refund_total = (reader.uv(), reader.uv()) if has_refunds else (0, 0)
    bitmaps = {attribute: _read_bitmap(reader) for attribute in attributes}
    return Pane(index, count, total, squares, least, most, flag_counts, bitmaps, refunds, refund_total)


def _read_payments(reader: _Reader, count: int) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Sum, sum of squares, smallest, largest, and payments with each flag."""
    if count == 0:
        return 0, 0, 0, 0, (0,) * len(FLAGS)
    total = reader.zv()
    if count == 1:
        flags = reader.take(1)
        return total, total * total, total, total, tuple(flags >> i & 1 for i in range(len(FLAGS)))
    squares, least = reader.uv(), reader.zv()
    most = least + reader.uv()
    return total, squares, least, most, tuple(reader.uv() for _ in FLAGS)


def _read_panes(reader: _Reader, entity: Entity, newest_ms: int) -> dict[str, tuple[Pane, ...]]:
    plan, levels = PLANS[entity], {}
    for level, name in enumerate(LEVELS):
        if not plan["levels"][level]:
            continue
        attributes = [i for i in range(N_ATTRIBUTES) if plan["bitmaps"][level][i]]
        index, panes = newest_ms // int(PANE_MS[level]), []
        for _ in range(reader.uv()):
            index -= reader.uv()
            panes.append(_read_pane(reader, index, attributes))
        levels[name] = tuple(panes)
    return levels


def _read_ids(reader: _Reader, newest_ms: int) -> tuple[tuple[int, int, int], ...]:
    size = reader.uv()
    append_ms, ids = newest_ms + reader.zv(), []
    for _ in range(size):
        append_ms -= reader.zv()
        ids.append((append_ms, reader.take(8), reader.take(4)))
    return tuple(ids)


def decode_partial(entity: Entity, data: bytes) -> Partial | None:
    """Read a partial of an entity kind; None for one that was never seen.

    Raises:
        ValueError: when the bytes are not exactly one partial of this version.

    >>> decode_partial(Entity.CARD, b"") is None
    True
    """
    if not data:
        return None
    reader = _Reader(data)
    if (version := reader.take(1)) != VERSION:
        raise ValueError(f"expected version {VERSION}, found {version}")
    newest_ms, size, sections = reader.zv(), reader.take(1), reader.take(1)
    partial = Partial(
        newest_ms=newest_ms,
        ring=_read_ring(reader, newest_ms, size),
        panes=_read_panes(reader, entity, newest_ms) if sections & SECTION_PANES else {},
        position=(newest_ms - reader.uv(), reader.zv(), reader.zv()) if sections & SECTION_POSITION else None,
        decayed=reader.uv() if sections & SECTION_DECAYED else None,
        ids=_read_ids(reader, newest_ms) if sections & SECTION_IDS else (),
    )
    if reader.at + SEAL_BYTES != len(data):
        raise ValueError(f"expected {len(data) - SEAL_BYTES} bytes before the seal, read {reader.at}")
    return partial
