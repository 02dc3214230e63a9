"""Panes: what is kept of events that fell off the ring, per level and pane of a thirtieth of the level's window.

``pane`` is int64 (levels, slots, fields), ``bits`` uint8 (levels, slots, attributes, 32), ``count`` the number of
occupied slots per level (0 lets a reader skip the level). Pane number i lives in slot ``i & mask``.

**Cost:** one event touches one pane per level; one look at a window reads at most 31 panes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BITS,
    BITMAP_BYTES,
    FLAG_REFUND,
    INT64_MAX,
    N_ATTRIBUTES,
    N_FLAGS,
    N_LEVELS,
    NEVER,
    PANE_COUNT,
    PANE_FIELDS,
    PANE_FLAGS,
    PANE_INDEX,
    PANE_MAX,
    PANE_MIN,
    PANE_MS,
    PANE_REFUND_SUM,
    PANE_REFUNDS,
    PANE_SQUARES,
    PANE_SUM,
)
from weir.streaming.core.varint import byte_at
from weir.streaming.core.working_memory import Record

Panes = NDArray[np.int64]
Bits = NDArray[np.uint8]
Counts = NDArray[np.int64]


@leaf
def add_saturating(left: int, right: int) -> int:
    """Add two integers that are not negative, stopping at the largest one."""
    return INT64_MAX if left > INT64_MAX - right else left + right


@leaf
def first_kept(plan: Record, level: int, newest: int) -> int:
    """Number of the oldest pane that still overlaps a window of the level, held back or not, as of ``newest``."""
    return (newest - plan.kept_ms[level]) // PANE_MS[level]


@leaf
def set_bit(bits: Bits, value_hash: int) -> None:
    """Mark a value in a 256-bit linear-counting bitmap; a null (0) marks nothing."""
    if value_hash != 0:
        bit = value_hash % BITMAP_BITS
        bits[bit >> 3] |= np.uint8(1 << (bit & 7))


@leaf
def has_bit(bits: Bits, value_hash: int) -> bool:
    """Whether a value's bit is set (a set bit may also be another value's)."""
    bit = value_hash % BITMAP_BITS
    return (byte_at(bits, bit >> 3) >> (bit & 7)) & 1 == 1


@leaf
def claim(pane: Panes, bits: Bits, count: Counts, level: int, index: int) -> int:
    """Return the slot of a pane, emptied if it held an older one; -1 when it holds a newer one."""
    slot = index & (pane.shape[1] - 1)
    held = pane[level, slot, PANE_INDEX]
    if held == index:
        return slot
    if held > index:
        return -1
    if held == NEVER:
        count[level] += 1
    for field in range(PANE_FIELDS):
        pane[level, slot, field] = 0
    for attribute in range(N_ATTRIBUTES):
        for byte in range(BITMAP_BYTES):
            bits[level, slot, attribute, byte] = 0
    pane[level, slot, PANE_INDEX] = index
    pane[level, slot, PANE_MIN] = INT64_MAX
    pane[level, slot, PANE_MAX] = -INT64_MAX
    return slot


@leaf
def clear_panes(pane: Panes, count: Counts) -> None:
    """Empty every level that is in use."""
    for level in range(N_LEVELS):
        if count[level] > 0:
            count[level] = 0
            for slot in range(pane.shape[1]):
                pane[level, slot, PANE_INDEX] = NEVER


@leaf
def add_to_pane(into: NDArray[np.int64], amount: int, flags: int) -> None:
    """Count one event in a pane's fields."""
    if flags & FLAG_REFUND:
        into[PANE_REFUNDS] += 1
        into[PANE_REFUND_SUM] -= amount
        return
    into[PANE_COUNT] += 1
    into[PANE_SUM] += amount  # 9e18 / 1e8 per event: cannot overflow
    into[PANE_SQUARES] = add_saturating(into[PANE_SQUARES], amount * amount)
    into[PANE_MIN] = min(into[PANE_MIN], amount)
    into[PANE_MAX] = max(into[PANE_MAX], amount)
    for flag in range(N_FLAGS):
        into[PANE_FLAGS + flag] += (flags >> flag) & 1


@leaf
def add_pane(into: NDArray[np.int64], other: NDArray[np.int64]) -> None:
    """Merge another pane's fields into a pane's."""
    into[PANE_COUNT] += other[PANE_COUNT]
    into[PANE_SUM] += other[PANE_SUM]
    into[PANE_SQUARES] = add_saturating(into[PANE_SQUARES], other[PANE_SQUARES])
    into[PANE_MIN] = min(into[PANE_MIN], other[PANE_MIN])
    into[PANE_MAX] = max(into[PANE_MAX], other[PANE_MAX])
    into[PANE_REFUNDS] += other[PANE_REFUNDS]
    into[PANE_REFUND_SUM] += other[PANE_REFUND_SUM]
    for flag in range(N_FLAGS):
        into[PANE_FLAGS + flag] += other[PANE_FLAGS + flag]


@leaf
def add_event(plan: Record, target: Record, oldest: int, time: int, event: tuple[int, int, int, int, int]) -> None:
    """Add an event to its pane at every level that keeps it.

    Args:
        plan: which levels and bitmaps are kept.
        target: a ``STATE`` or ``MERGED`` record.
        oldest: the newest event time from which retention is reckoned.
        time: the event's time.
        event: amount, flags, and the three attribute hashes.
    """
    amount, flags, a, b, c = event
    for level in range(N_LEVELS):
        index = time // PANE_MS[level]
        if plan.levels[level] == 0 or index < first_kept(plan, level, oldest):
            continue
        slot = claim(target.pane, target.pane_bits, target.pane_count, level, index)
        if slot < 0:
            continue
        add_to_pane(target.pane[level, slot], amount, flags)
        if flags & FLAG_REFUND:
            continue
        hashes = (a, b, c)
        for attribute in range(N_ATTRIBUTES):
            if plan.bitmaps[level, attribute] == 1:
                set_bit(target.pane_bits[level, slot, attribute], hashes[attribute])
