"""Bytes of a partial to a ``STATE`` record. The format is drawn in ``layout.py``."""

from __future__ import annotations

from weir.streaming.core.fold import reset_state
from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    DENSE_BITMAP,
    FLAGS_MAX,
    MEASURE_FIELDS,
    PANE_COUNT,
    PANE_MAX,
    PANE_MEASURES,
    PANE_MIN,
    PANE_REVERSALS,
    PANE_REVERSED,
    PANE_SQUARES,
    PANE_SUM,
    SECTION_DECAYED,
    SECTION_IDS,
    SECTION_PANES,
    SECTION_POSITION,
    VERSION,
)
from weir.streaming.core.panes import Bits, Integers, claim, count_flags
from weir.streaming.core.seal import SEAL_BYTES
from weir.streaming.core.varint import Bytes, byte_at, get_bits, get_u32, get_u64, get_uv, get_zv
from weir.streaming.core.working_memory import Record


@leaf
def _get_ring(data: Bytes, at: int, state: Record) -> int:
    time, flags, attributes = state.newest, count_flags(state), state.ring_hashes.shape[1]
    for i in range(state.ring_count - 1, -1, -1):
        delta, at = get_uv(data, at)
        time -= delta
        marks, at = get_bits(data, at, flags + attributes + 1)
        state.ring_time[i] = time
        state.ring_flags[i] = marks & ((1 << flags) - 1) | (marks >> (flags + attributes)) << FLAGS_MAX
        for measure in range(state.ring_values.shape[1]):
            state.ring_values[i, measure], at = get_zv(data, at)
        for attribute in range(attributes):
            if (marks >> (flags + attribute)) & 1 == 0:
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
def _get_one(data: Bytes, at: int, pane: Integers, measures: int) -> int:
    """Read the one event of a pane into its fields, which are empty."""
    pane[PANE_COUNT] = 1
    field = PANE_MEASURES
    for _ in range(measures):
        value, at = get_zv(data, at)
        pane[field + PANE_SUM] = value
        pane[field + PANE_SQUARES] = value * value
        pane[field + PANE_MIN] = value
        pane[field + PANE_MAX] = value
        field += MEASURE_FIELDS
    flags, at = get_bits(data, at, len(pane) - field)
    for flag in range(len(pane) - field):
        pane[field + flag] = (flags >> flag) & 1
    return at


@leaf
def _get_fields(data: Bytes, at: int, pane: Integers, count: int, measures: int) -> int:
    if count == 0:
        return at
    if count == 1:
        return _get_one(data, at, pane, measures)
    pane[PANE_COUNT] = count
    field = PANE_MEASURES
    for _ in range(measures):
        pane[field + PANE_SUM], at = get_zv(data, at)
        pane[field + PANE_SQUARES], at = get_uv(data, at)
        pane[field + PANE_MIN], at = get_zv(data, at)
        spread, at = get_uv(data, at)
        pane[field + PANE_MAX] = pane[field + PANE_MIN] + spread
        field += MEASURE_FIELDS
    for flag in range(field, len(pane)):
        pane[flag], at = get_uv(data, at)
    return at


@leaf
def _get_level(plan: Record, data: Bytes, at: int, state: Record, level: int) -> int:
    size, at = get_uv(data, at)
    index = state.newest // plan.pane_ms[level]
    for _ in range(size):
        delta, at = get_uv(data, at)
        index -= delta
        slot = claim(state, level, index)
        pane = state.pane[level, slot]
        marked, at = get_uv(data, at)
        at = _get_fields(data, at, pane, marked >> 1, state.ring_values.shape[1])
        if marked & 1:
            pane[PANE_REVERSALS], at = get_uv(data, at)
            pane[PANE_REVERSED], at = get_uv(data, at)
        for attribute in range(state.pane_bits.shape[2]):
            if plan.bitmaps[level, attribute] == 1:
                at = _get_bitmap(data, at, state.pane_bits[level, slot, attribute])
    return at


@leaf
def _get_panes(plan: Record, data: Bytes, at: int, state: Record) -> int:
    for level in range(len(plan.levels)):
        if plan.levels[level] == 1:
            at = _get_level(plan, data, at, state, level)
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
