"""A ``STATE`` record to the bytes of its partial, in the one canonical form. The format is drawn in ``layout.py``."""

from __future__ import annotations

import numpy as np

from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    BITS_IN_BYTE,
    DENSE_BITMAP,
    FLAGS_MAX,
    ID_MASK,
    MEASURE_FIELDS,
    NEVER,
    PANE_COUNT,
    PANE_INDEX,
    PANE_MAX,
    PANE_MEASURES,
    PANE_MIN,
    PANE_REVERSALS,
    PANE_REVERSED,
    PANE_SQUARES,
    PANE_SUM,
    REVERSAL,
    SECTION_DECAYED,
    SECTION_IDS,
    SECTION_PANES,
    SECTION_POSITION,
    SPARSE_BITS,
    VERSION,
)
from weir.streaming.core.panes import Bits, Integers, count_flags, first_kept
from weir.streaming.core.seal import put_seal
from weir.streaming.core.varint import Bytes, byte_at, put_bits, put_u32, put_u64, put_uv, put_zv
from weir.streaming.core.working_memory import Record


@leaf
def compute_size_bound(state: Record) -> int:
    """Return bytes that the state's partial cannot exceed."""
    panes = 0
    for level in range(len(state.pane_count)):
        panes += state.pane_count[level]
    measures, attributes = state.ring_values.shape[1], state.ring_hashes.shape[1]
    event = 14 + 10 * measures + 4 * attributes
    pane = 40 + 40 * measures + 10 * count_flags(state) + (1 + BITMAP_BYTES) * attributes
    return 96 + event * state.ring_count + pane * panes + 22 * state.ids_count


@leaf
def _put_ring(data: Bytes, at: int, state: Record) -> int:
    time, flags, attributes = state.newest, count_flags(state), state.ring_hashes.shape[1]
    newer = -1
    for i in range(state.ring_count - 1, -1, -1):
        slot = (state.ring_start + i) & (len(state.ring_time) - 1)
        at = put_uv(data, at, time - state.ring_time[slot])
        time = state.ring_time[slot]
        kept = state.ring_flags[slot]
        marks_at, marks = at, kept & (REVERSAL - 1) | (kept >> FLAGS_MAX) << (flags + attributes)
        at += (flags + attributes + 8) >> 3
        for measure in range(state.ring_values.shape[1]):
            at = put_zv(data, at, state.ring_values[slot, measure])
        for attribute in range(attributes):
            value = state.ring_hashes[slot, attribute]
            before = 0 if newer < 0 else state.ring_hashes[newer, attribute]
            if value == before:
                marks |= 1 << (flags + attribute)
            else:
                at = put_u32(data, at, value)
        put_bits(data, marks_at, marks, flags + attributes + 1)
        newer = slot
    return at


@leaf
def _count_bits(bits: Bits) -> int:
    total = 0
    for byte in bits:
        total += BITS_IN_BYTE[byte]
    return total


@leaf
def _put_bitmap(data: Bytes, at: int, bits: Bits) -> int:
    size = _count_bits(bits)
    if size >= SPARSE_BITS:
        data[at] = DENSE_BITMAP
        for i in range(BITMAP_BYTES):
            data[at + 1 + i] = bits[i]
        return at + 1 + BITMAP_BYTES
    data[at] = size
    at += 1
    for i in range(BITMAP_BYTES):
        byte = byte_at(bits, i)
        if byte == 0:  # nearly all are
            continue
        for bit in range(8):
            if (byte >> bit) & 1:
                data[at] = 8 * i + bit
                at += 1
    return at


@leaf
def _put_one(data: Bytes, at: int, pane: Integers, measures: int) -> int:
    """Write the one event of a pane."""
    field, flags = PANE_MEASURES, 0
    for _ in range(measures):
        at = put_zv(data, at, pane[field + PANE_SUM])
        field += MEASURE_FIELDS
    for flag in range(len(pane) - field):
        flags |= pane[field + flag] << flag
    return put_bits(data, at, flags, len(pane) - field)


@leaf
def _put_fields(data: Bytes, at: int, pane: Integers, measures: int) -> int:
    if pane[PANE_COUNT] == 0:
        return at
    if pane[PANE_COUNT] == 1:
        return _put_one(data, at, pane, measures)
    field = PANE_MEASURES
    for _ in range(measures):
        at = put_zv(data, at, pane[field + PANE_SUM])
        at = put_uv(data, at, pane[field + PANE_SQUARES])
        at = put_zv(data, at, pane[field + PANE_MIN])
        at = put_uv(data, at, pane[field + PANE_MAX] - pane[field + PANE_MIN])
        field += MEASURE_FIELDS
    for flag in range(field, len(pane)):
        at = put_uv(data, at, pane[flag])
    return at


@leaf
def _count_live(plan: Record, state: Record, level: int) -> int:
    """Panes of the level that the newest event has not pushed out."""
    oldest = first_kept(plan, level, state.newest)
    live = 0
    for slot in range(state.pane.shape[1]):
        live += state.pane[level, slot, PANE_INDEX] >= oldest
    return live


@leaf
def _put_level(plan: Record, data: Bytes, at: int, state: Record, level: int) -> int:
    oldest = first_kept(plan, level, state.newest)
    before = state.newest // plan.pane_ms[level]
    for index in range(before, oldest - 1, -1):
        slot = index & (state.pane.shape[1] - 1)
        if state.pane[level, slot, PANE_INDEX] != index:
            continue
        at = put_uv(data, at, before - index)
        pane = state.pane[level, slot]
        has_reversals = pane[PANE_REVERSALS] > 0
        at = put_uv(data, at, 2 * pane[PANE_COUNT] + has_reversals)
        at = _put_fields(data, at, pane, state.ring_values.shape[1])
        if has_reversals:
            at = put_uv(data, put_uv(data, at, pane[PANE_REVERSALS]), pane[PANE_REVERSED])
        for attribute in range(state.pane_bits.shape[2]):
            if plan.bitmaps[level, attribute] == 1:
                at = _put_bitmap(data, at, state.pane_bits[level, slot, attribute])
        before = index
    return at


@leaf
def _put_panes(plan: Record, data: Bytes, at: int, state: Record) -> int:
    for level in range(len(plan.levels)):
        if plan.levels[level] == 1:
            live = _count_live(plan, state, level) if state.pane_count[level] > 0 else 0
            at = put_uv(data, at, live)
            if live > 0:
                at = _put_level(plan, data, at, state, level)
    return at


@leaf
def _has_panes(plan: Record, state: Record) -> bool:
    for level in range(len(plan.levels)):
        if plan.levels[level] == 1 and state.pane_count[level] > 0 and _count_live(plan, state, level) > 0:
            return True
    return False


@leaf
def _put_ids(data: Bytes, at: int, state: Record) -> int:
    at = put_uv(data, at, state.ids_count)
    at = put_zv(data, at, state.ids_newest - state.newest)
    time = state.ids_newest
    for i in range(state.ids_count - 1, -1, -1):
        slot = (state.ids_start + i) & ID_MASK
        at = put_zv(data, at, time - state.id_time[slot])
        time = state.id_time[slot]
        at = put_u64(data, at, state.id_hash[slot])
        at = put_u32(data, at, state.id_digest[slot])
    return at


@leaf
def encode(plan: Record, state: Record, data: Bytes, at: int, seed: np.uint64) -> int:
    """Write and seal the partial at ``data[at:]``, which has room for ``compute_size_bound``; return where it ends."""
    begin = at
    data[at] = VERSION
    at = put_zv(data, at + 1, state.newest)
    data[at] = state.ring_count
    sections_at = at + 1
    sections = 0
    at = _put_ring(data, at + 2, state)
    if _has_panes(plan, state):
        sections |= SECTION_PANES
        at = _put_panes(plan, data, at, state)
    if state.position_time != NEVER:
        sections |= SECTION_POSITION
        at = put_uv(data, at, state.newest - state.position_time)
        at = put_zv(data, at, state.lat)
        at = put_zv(data, at, state.lon)
    if plan.cell_ms > 0:
        sections |= SECTION_DECAYED
        at = put_uv(data, at, state.decayed)
    if state.ids_count > 0:
        sections |= SECTION_IDS
        at = _put_ids(data, at, state)
    data[sections_at] = sections
    return put_seal(data, begin, at, seed)
