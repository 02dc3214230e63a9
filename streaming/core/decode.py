"""Bytes of a partial to a ``STATE`` record. The format is drawn in ``layout.py``."""

from __future__ import annotations

from weir.streaming.core.fold import reset_state
from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    DENSE_BITMAP,
    N_ATTRIBUTES,
    N_FLAGS,
    N_LEVELS,
    PANE_COUNT,
    PANE_FLAGS,
    PANE_MAX,
    PANE_MIN,
    PANE_MS,
    PANE_REFUND_SUM,
    PANE_REFUNDS,
    PANE_SQUARES,
    PANE_SUM,
    RING_FLAGS,
    SECTION_DECAYED,
    SECTION_IDS,
    SECTION_PANES,
    SECTION_POSITION,
    VERSION,
)
from weir.streaming.core.panes import Bits, Panes, add_to_pane, claim
from weir.streaming.core.seal import SEAL_BYTES
from weir.streaming.core.varint import Bytes, byte_at, get_u32, get_u64, get_uv, get_zv
from weir.streaming.core.working_memory import Record


@leaf
def _get_ring(data: Bytes, at: int, state: Record) -> int:
    time = state.newest
    for i in range(state.ring_count - 1, -1, -1):
        delta, at = get_uv(data, at)
        time -= delta
        marks = byte_at(data, at)
        state.ring_time[i] = time
        state.ring_flags[i] = marks & RING_FLAGS
        state.ring_amount[i], at = get_zv(data, at + 1)
        for attribute in range(N_ATTRIBUTES):
            if (marks >> (4 + attribute)) & 1 == 0:
                state.ring_hashes[i, attribute], at = get_u32(data, at)
            elif i == state.ring_count - 1:
                state.ring_hashes[i, attribute] = 0
            else:
                state.ring_hashes[i, attribute] = state.ring_hashes[i + 1, attribute]
    return at


@leaf
def _get_bitmap(data: Bytes, at: int, bits: Bits) -> int:
    size = byte_at(data, at)
    at += 1
    if size == DENSE_BITMAP:
        for i in range(BITMAP_BYTES):
            bits[i] = data[at + i]
        return at + BITMAP_BYTES
    for i in range(size):
        bit = byte_at(data, at + i)
        bits[bit >> 3] |= 1 << (bit & 7)
    return at + size


@leaf
def _get_fields(data: Bytes, at: int, pane: Panes, count: int) -> int:
    if count == 0:
        return at
    if count == 1:
        amount, at = get_zv(data, at)
        add_to_pane(pane, amount, byte_at(data, at))
        return at + 1
    pane[PANE_COUNT] = count
    pane[PANE_SUM], at = get_zv(data, at)
    pane[PANE_SQUARES], at = get_uv(data, at)
    pane[PANE_MIN], at = get_zv(data, at)
    spread, at = get_uv(data, at)
    pane[PANE_MAX] = pane[PANE_MIN] + spread
    for flag in range(N_FLAGS):
        pane[PANE_FLAGS + flag], at = get_uv(data, at)
    return at


@leaf
def _get_panes(plan: Record, data: Bytes, at: int, state: Record) -> int:
    for level in range(N_LEVELS):
        if plan.levels[level] == 0:
            continue
        size, at = get_uv(data, at)
        index = state.newest // PANE_MS[level]
        for _ in range(size):
            delta, at = get_uv(data, at)
            index -= delta
            slot = claim(state.pane, state.pane_bits, state.pane_count, level, index)
            pane = state.pane[level, slot]
            marked, at = get_uv(data, at)
            at = _get_fields(data, at, pane, marked >> 1)
            if marked & 1:
                pane[PANE_REFUNDS], at = get_uv(data, at)
                pane[PANE_REFUND_SUM], at = get_uv(data, at)
            for attribute in range(N_ATTRIBUTES):
                if plan.bitmaps[level, attribute] == 1:
                    at = _get_bitmap(data, at, state.pane_bits[level, slot, attribute])
    return at


@leaf
def _get_ids(data: Bytes, at: int, state: Record) -> int:
    size, at = get_uv(data, at)
    offset, at = get_zv(data, at)
    state.ids_count = size
    state.ids_newest = state.newest + offset
    time = state.ids_newest
    for i in range(size - 1, -1, -1):
        delta, at = get_zv(data, at)
        time -= delta
        state.id_time[i] = time
        state.id_hash[i], at = get_u64(data, at)
        state.id_digest[i], at = get_u32(data, at)
    return at


@leaf
def decode(plan: Record, data: Bytes, at: int, end: int, state: Record) -> None:
    """Read the partial in ``data[at:end]``; no bytes is the state of an entity that was never seen.

    Raises:
        ValueError: when the bytes are not a partial of this version; the view must be rebuilt.
    """
    reset_state(state)
    if at == end:
        return
    end -= SEAL_BYTES  # checked where it was read from Redis
    if data[at] != VERSION:
        raise ValueError("expected a partial of this version, found other bytes; rebuild the view from the log")
    state.newest, at = get_zv(data, at + 1)
    state.ring_count = data[at]
    sections = byte_at(data, at + 1)
    at = _get_ring(data, at + 2, state)
    if sections & SECTION_PANES:
        at = _get_panes(plan, data, at, state)
    if sections & SECTION_POSITION:
        delta, at = get_uv(data, at)
        state.position_time = state.newest - delta
        state.lat, at = get_zv(data, at)
        state.lon, at = get_zv(data, at)
    if sections & SECTION_DECAYED:
        state.decayed, at = get_uv(data, at)
    if sections & SECTION_IDS:
        at = _get_ids(data, at, state)
    if at != end:
        raise ValueError("expected a whole partial, found more or fewer bytes; rebuild the view from the log")
