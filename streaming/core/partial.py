"""A partial as plain Python objects: a second reader of the bytes, for inspection and to check the compiled one.

It shares the format's drawing in ``layout.py`` with the compiled codec, and no code.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from weir.streaming.core.layout import (
    BITMAP_BYTES,
    DENSE_BITMAP,
    SECTION_DECAYED,
    SECTION_IDS,
    SECTION_PANES,
    SECTION_POSITION,
    VERSION,
)
from weir.streaming.core.seal import SEAL_BYTES
from weir.streaming.core.working_memory import Record, Shape


@dataclass(frozen=True)
class RecentEvent:
    """One event of the ring, a value per measure; hashes are 0 where the attribute was null."""

    time_ms: int
    values: tuple[int, ...]
    flags: int
    hashes: tuple[int, ...]
    is_reversal: bool = False


@dataclass(frozen=True)
class Sums:
    """What is kept of one measure of several events."""

    total: int = 0
    squares: int = 0
    least: int = 0
    most: int = 0


@dataclass(frozen=True)
class Pane:
    """What is kept of the events of one pane that are no longer in the ring; reversals are apart."""

    index: int
    count: int
    sums: tuple[Sums, ...]
    flag_counts: tuple[int, ...]
    bitmaps: dict[int, frozenset[int]]
    reversals: int = 0
    reversed_total: int = 0


@dataclass(frozen=True)
class Partial:
    """A decoded partial; ``ring`` is newest first, ``panes`` by window in ms, ``ids`` newest first."""

    newest_ms: int
    ring: tuple[RecentEvent, ...]
    panes: dict[int, tuple[Pane, ...]] = field(default_factory=dict)
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


def _bytes_of(bits: int) -> int:
    return -(-bits // 8)


def _read_ring(reader: _Reader, shape: Shape, newest_ms: int, size: int) -> tuple[RecentEvent, ...]:
    ring: list[RecentEvent] = []
    before, time_ms = (0,) * shape.attributes, newest_ms
    repeats, last = shape.flags, shape.flags + shape.attributes
    for _ in range(size):
        time_ms -= reader.uv()
        marks = reader.take(_bytes_of(last + 1))
        values = tuple(reader.zv() for _ in range(shape.measures))
        before = tuple(was if marks >> repeats + i & 1 else reader.take(4) for i, was in enumerate(before))
        ring.append(RecentEvent(time_ms, values, marks % 2**shape.flags, before, is_reversal=bool(marks >> last)))
    return tuple(ring)


def _read_bitmap(reader: _Reader) -> frozenset[int]:
    size = reader.take(1)
    if size == DENSE_BITMAP:
        bits = reader.take(BITMAP_BYTES)
        return frozenset(bit for bit in range(8 * BITMAP_BYTES) if bits >> bit & 1)
    return frozenset(reader.take(1) for _ in range(size))


def _read_pane(reader: _Reader, shape: Shape, index: int, attributes: list[int]) -> Pane:
    count, has_reversals = divmod(reader.uv(), 2)
    sums, flag_counts = _read_events(reader, shape, count)
    reversals, reversed_total = (reader.uv(), reader.uv()) if has_reversals else (0, 0)
    bitmaps = {attribute: _read_bitmap(reader) for attribute in attributes}
    return Pane(index, count, sums, flag_counts, bitmaps, reversals, reversed_total)


def _read_events(reader: _Reader, shape: Shape, count: int) -> tuple[tuple[Sums, ...], tuple[int, ...]]:
    """What is kept of each measure, and events with each flag."""
    if count == 0:
        return (Sums(),) * shape.measures, (0,) * shape.flags
    if count == 1:
        values = [reader.zv() for _ in range(shape.measures)]
        flags = reader.take(_bytes_of(shape.flags))
        return tuple(Sums(v, v * v, v, v) for v in values), tuple(flags >> i & 1 for i in range(shape.flags))
    sums = []
    for _ in range(shape.measures):
        total, squares, least = reader.zv(), reader.uv(), reader.zv()
        sums.append(Sums(total, squares, least, least + reader.uv()))
    return tuple(sums), tuple(reader.uv() for _ in range(shape.flags))


def _read_panes(reader: _Reader, plan: Record, shape: Shape, newest_ms: int) -> dict[int, tuple[Pane, ...]]:
    levels = {}
    for level in np.flatnonzero(plan["levels"]).tolist():
        attributes = np.flatnonzero(plan["bitmaps"][level]).tolist()
        index, panes = newest_ms // int(plan["pane_ms"][level]), []
        for _ in range(reader.uv()):
            index -= reader.uv()
            panes.append(_read_pane(reader, shape, index, attributes))
        levels[int(plan["level_ms"][level])] = tuple(panes)
    return levels


def _read_ids(reader: _Reader, newest_ms: int) -> tuple[tuple[int, int, int], ...]:
    size = reader.uv()
    append_ms, ids = newest_ms + reader.zv(), []
    for _ in range(size):
        append_ms -= reader.zv()
        ids.append((append_ms, reader.take(8), reader.take(4)))
    return tuple(ids)


def decode_partial(plan: Record, shape: Shape, data: bytes) -> Partial | None:
    """Read a partial of the entity kind that a plan is of; None for one that was never seen.

    Raises:
        ValueError: when the bytes are not exactly one partial of this version.
    """
    if not data:
        return None
    reader = _Reader(data)
    if (version := reader.take(1)) != VERSION:
        raise ValueError(f"expected version {VERSION}, found {version}")
    newest_ms, size, sections = reader.zv(), reader.take(1), reader.take(1)
    partial = Partial(
        newest_ms=newest_ms,
        ring=_read_ring(reader, shape, newest_ms, size),
        panes=_read_panes(reader, plan, shape, newest_ms) if sections & SECTION_PANES else {},
        position=(newest_ms - reader.uv(), reader.zv(), reader.zv()) if sections & SECTION_POSITION else None,
        decayed=reader.uv() if sections & SECTION_DECAYED else None,
        ids=_read_ids(reader, newest_ms) if sections & SECTION_IDS else (),
    )
    if reader.at + SEAL_BYTES != len(data):
        raise ValueError(f"expected {len(data) - SEAL_BYTES} bytes before the seal, read {reader.at}")
    return partial
