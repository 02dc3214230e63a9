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
    INT64_MAX,
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
)
from weir.streaming.core.varint import byte_at
from weir.streaming.core.working_memory import Record

Panes = NDArray[np.int64]
Bits = NDArray[np.uint8]
Integers = NDArray[np.int64]


@leaf
def add_saturating(left: int, right: int) -> int:
    """Add two integers that are not negative, stopping at the largest one."""
    return INT64_MAX if left > INT64_MAX - right else left + right


@leaf
def first_kept(plan: Record, level: int, newest: int) -> int:
    """Number of the oldest pane that still overlaps a window of the level, held back or not, as of ``newest``."""
    return (newest - plan.kept_ms[level]) // plan.pane_ms[level]


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
def count_flags(target: Record) -> int:
    """Return how many flags a ``STATE`` or ``MERGED`` record counts."""
    return target.pane.shape[2] - PANE_MEASURES - MEASURE_FIELDS * target.ring_values.shape[1]


@leaf
def claim(target: Record, level: int, index: int) -> int:
    """Return the slot of a pane, emptied if it held an older one; -1 when it holds a newer one.

    Args:
        target: a ``STATE`` or ``MERGED`` record.
        level: whose pane.
        index: the pane's number.
    """
    pane, bits = target.pane, target.pane_bits
    slot = index & (pane.shape[1] - 1)
    held = pane[level, slot, PANE_INDEX]
    if held == index:
        return slot
    if held > index:
        return -1
    if held == NEVER:
        target.pane_count[level] += 1
    for field in range(pane.shape[2]):
        pane[level, slot, field] = 0
    for attribute in range(bits.shape[2]):
        for byte in range(BITMAP_BYTES):
            bits[level, slot, attribute, byte] = 0
    pane[level, slot, PANE_INDEX] = index
    for measure in range(target.ring_values.shape[1]):
        pane[level, slot, PANE_MEASURES + MEASURE_FIELDS * measure + PANE_MIN] = INT64_MAX
        pane[level, slot, PANE_MEASURES + MEASURE_FIELDS * measure + PANE_MAX] = -INT64_MAX
    return slot


@leaf
def clear_panes(target: Record) -> None:
    """Empty every level that is in use."""
    for level in range(len(target.pane_count)):
        if target.pane_count[level] > 0:
            target.pane_count[level] = 0
            for slot in range(target.pane.shape[1]):
                target.pane[level, slot, PANE_INDEX] = NEVER


@leaf
def add_to_pane(plan: Record, into: Integers, values: Integers, flags: int) -> None:
    """Count one event in a pane's fields."""
    if flags & REVERSAL:
        into[PANE_REVERSALS] += 1
        into[PANE_REVERSED] += abs(values[plan.reversal_measure])
        return
    into[PANE_COUNT] += 1
    at = PANE_MEASURES
    for measure in range(len(values)):
        value = values[measure]
        into[at + PANE_SUM] += value  # 9e18 / 2e9 per event: cannot overflow
        into[at + PANE_SQUARES] = add_saturating(into[at + PANE_SQUARES], value * value)
        into[at + PANE_MIN] = min(into[at + PANE_MIN], value)
        into[at + PANE_MAX] = max(into[at + PANE_MAX], value)
        at += MEASURE_FIELDS
    for flag in range(len(into) - PANE_MEASURES - MEASURE_FIELDS * len(values)):
        into[at + flag] += (flags >> flag) & 1


@leaf
def add_pane(into: Integers, other: Integers, measures: int) -> None:
    """Merge another pane's fields into a pane's."""
    into[PANE_COUNT] += other[PANE_COUNT]
    into[PANE_REVERSALS] += other[PANE_REVERSALS]
    into[PANE_REVERSED] += other[PANE_REVERSED]
    at = PANE_MEASURES
    for _ in range(measures):
        into[at + PANE_SUM] += other[at + PANE_SUM]
        into[at + PANE_SQUARES] = add_saturating(into[at + PANE_SQUARES], other[at + PANE_SQUARES])
        into[at + PANE_MIN] = min(into[at + PANE_MIN], other[at + PANE_MIN])
        into[at + PANE_MAX] = max(into[at + PANE_MAX], other[at + PANE_MAX])
        at += MEASURE_FIELDS
    for flag in range(PANE_MEASURES + MEASURE_FIELDS * measures, len(into)):
        into[flag] += other[flag]


@leaf
def add_event(
    plan: Record, target: Record, oldest: int, time: int, values: Integers, flags: int, hashes: Integers
) -> None:
    """Add an event to its pane at every level that keeps it.

    Args:
        plan: which levels and bitmaps are kept.
        target: a ``STATE`` or ``MERGED`` record.
        oldest: the newest event time from which retention is reckoned.
        time: the event's time.
        values: of its measures.
        flags: its flags, and whether it is a reversal.
        hashes: of its attributes.
    """
    for level in range(len(plan.levels)):
        if plan.levels[level] == 0:
            continue
        index = time // plan.pane_ms[level]
        if index < first_kept(plan, level, oldest):
            continue
        slot = claim(target, level, index)
        if slot < 0:
            continue
        add_to_pane(plan, target.pane[level, slot], values, flags)
        if flags & REVERSAL:
            continue
        for attribute in range(len(hashes)):
            if plan.bitmaps[level, attribute] == 1:
                set_bit(target.pane_bits[level, slot, attribute], hashes[attribute])
