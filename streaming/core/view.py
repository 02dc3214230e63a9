"""Looking at an entity as of one event: every event but the one at hand, per window ending at its time.

Events of the ring go to the bucket of the shortest window that holds them; prefix sums over the windows follow. An
event's attribute values are kept in a hash table with the shortest window they were seen in, so distinct counts are a
prefix sum too. Panes, if the entity has any, are added per level. Nothing later than the event's time is counted from
rings; of panes, the one that holds the event's time counts whole.

**Cost:** a few ns per ring event and attribute; up to 31 panes per level for a busy entity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    FLAG_REFUND,
    INT64_MAX,
    LEVEL_MS,
    LONGEST_MS,
    N_ATTRIBUTES,
    N_FLAGS,
    N_LEVELS,
    NEVER,
    PANE_COUNT,
    PANE_FLAGS,
    PANE_INDEX,
    PANE_MAX,
    PANE_MIN,
    PANE_MS,
    PANE_REFUND_SUM,
    PANE_REFUNDS,
    PANE_SQUARES,
    PANE_SUM,
    RING_MASK,
)
from weir.streaming.core.panes import Bits, Panes, add_saturating, first_kept, has_bit, set_bit
from weir.streaming.core.working_memory import TABLE_SLOTS, Record

LANE_BITS = 16
LANE_MASK = (1 << LANE_BITS) - 1
FLAG_LANES = np.array(
    [sum(((flags >> flag) & 1) << (LANE_BITS * flag) for flag in range(N_FLAGS)) for flags in range(1 << N_FLAGS)],
    dtype=np.int64,
)
"""Flags -> four counters in one integer: a ring's events are counted with one addition each."""


@leaf
def _reset(view: Record, ring_events: int) -> None:
    view.newest = NEVER
    view.generation += 1
    mask = 64
    while mask < 2 * ring_events and mask < TABLE_SLOTS:
        mask *= 2
    view.mask = mask - 1
    for level in range(N_LEVELS):
        view.count[level] = 0
        view.sum[level] = 0
        view.squares[level] = 0
        view.min[level] = INT64_MAX
        view.max[level] = -INT64_MAX
        view.oldest[level] = INT64_MAX
        view.refunds[level] = 0
        view.refund_sum[level] = 0
        view.coarse[level] = 0
        view.pane_newest[level] = NEVER
        for flag in range(N_FLAGS):
            view.flags[level, flag] = 0
        for attribute in range(N_ATTRIBUTES):
            view.distinct[level, attribute] = 0


@leaf
def _find(view: Record, attribute: int, value_hash: int) -> int:
    """Slot of the value in the table, or the free slot where it belongs; the table is never full."""
    slot = value_hash & view.mask
    while view.table_stamp[attribute, slot] == view.generation and view.table_hash[attribute, slot] != value_hash:
        slot = (slot + 1) & view.mask
    return slot


@leaf
def _mark_seen(view: Record, attribute: int, value_hash: int, level: int) -> None:
    slot = _find(view, attribute, value_hash)
    if view.table_stamp[attribute, slot] != view.generation:
        view.table_stamp[attribute, slot] = view.generation
        view.table_hash[attribute, slot] = value_hash
        view.table_level[attribute, slot] = level
        view.distinct[level, attribute] += 1
    elif level < view.table_level[attribute, slot]:
        view.distinct[view.table_level[attribute, slot], attribute] -= 1
        view.table_level[attribute, slot] = level
        view.distinct[level, attribute] += 1


@leaf
def _level_of(age_ms: int) -> int:
    level = 0
    while age_ms >= LEVEL_MS[level]:
        level += 1
    return level


@leaf
def _add_ring_event(
    plan: Record, view: Record, at_ms: int, time: int, amount: int, flags: int, hashes: NDArray[np.int64]
) -> None:
    age_ms = at_ms - time
    if age_ms < 0 or age_ms >= LONGEST_MS:
        return
    level = _level_of(age_ms)
    if flags & FLAG_REFUND:
        view.refunds[level] += 1
        view.refund_sum[level] -= amount
        return
    view.count[level] += 1
    view.sum[level] += amount
    view.squares[level] = add_saturating(view.squares[level], amount * amount)
    view.min[level] = min(view.min[level], amount)
    view.max[level] = max(view.max[level], amount)
    view.oldest[level] = min(view.oldest[level], time)
    view.newest = max(view.newest, time)
    for flag in range(N_FLAGS):
        view.flags[level, flag] += (flags >> flag) & 1
    for attribute in range(N_ATTRIBUTES):
        if hashes[attribute] != 0 and level <= plan.attribute_level[attribute]:
            _mark_seen(view, attribute, hashes[attribute], level)


@leaf
def _add_merged_ring(plan: Record, view: Record, merged: Record, at_ms: int) -> None:
    for at in range(merged.ring_count):
        hashes = merged.ring_hashes[at]
        _add_ring_event(plan, view, at_ms, merged.ring_time[at], merged.ring_amount[at], merged.ring_flags[at], hashes)


@leaf
def _add_bucket(view: Record, level: int, sums: tuple[int, int, int, int, int], flags: int, oldest: int) -> None:
    """Add what the own ring has between two window ends."""
    view.count[level] += sums[0]
    view.sum[level] += sums[1]
    view.squares[level] = add_saturating(view.squares[level], sums[2])
    view.min[level] = min(view.min[level], sums[3])
    view.max[level] = max(view.max[level], sums[4])
    view.oldest[level] = min(view.oldest[level], oldest)
    for flag in range(N_FLAGS):
        view.flags[level, flag] += (flags >> (LANE_BITS * flag)) & LANE_MASK


@leaf
def _mark_own_ring(plan: Record, view: Record, own: Record, at_ms: int) -> None:
    """Note the attribute values of the own ring, newest first; a run of one value is looked up once."""
    for attribute in range(N_ATTRIBUTES):
        longest = plan.attribute_level[attribute]
        before, level = np.int64(0), 0
        for i in range(own.ring_count - 1 if longest >= 0 else -1, -1, -1):
            at = (own.ring_start + i) & RING_MASK
            age_ms = at_ms - own.ring_time[at]
            value_hash = own.ring_hashes[at, attribute]
            if age_ms < 0 or value_hash == before or own.ring_flags[at] & FLAG_REFUND:
                continue
            while level < N_LEVELS and age_ms >= LEVEL_MS[level]:
                level += 1
            if level > longest:
                break
            before = value_hash
            if value_hash != 0:
                _mark_seen(view, attribute, value_hash, level)


@leaf
def _add_own_ring(view: Record, own: Record, at_ms: int) -> None:
    """Add the own ring, newest first, one bucket at a time: it is in order, so the sums stay in registers."""
    i = own.ring_count - 1
    while i >= 0 and own.ring_time[(own.ring_start + i) & RING_MASK] > at_ms:
        i -= 1
    for level in range(N_LEVELS):
        count, total, squares, least, most, flags, oldest = 0, 0, 0, INT64_MAX, -INT64_MAX, 0, INT64_MAX
        while i >= 0:
            at = (own.ring_start + i) & RING_MASK
            if at_ms - own.ring_time[at] >= LEVEL_MS[level]:
                break
            amount = own.ring_amount[at]
            i -= 1
            if own.ring_flags[at] & FLAG_REFUND:
                view.refunds[level] += 1
                view.refund_sum[level] -= amount
                continue
            count += 1
            total += amount
            squares += amount * amount  # at most 256 amounts of at most 1e8: no overflow
            least, most = min(least, amount), max(most, amount)
            flags += FLAG_LANES[own.ring_flags[at]]
            view.newest = max(view.newest, own.ring_time[at])
            oldest = own.ring_time[at]
        if count > 0:
            _add_bucket(view, level, (count, total, squares, least, most), flags, oldest)


@leaf
def _accumulate_levels(view: Record) -> None:
    """Turn buckets into windows: a window holds its own bucket and all shorter ones."""
    for level in range(1, N_LEVELS):
        view.count[level] += view.count[level - 1]
        view.sum[level] += view.sum[level - 1]
        view.squares[level] = add_saturating(view.squares[level], view.squares[level - 1])
        view.min[level] = min(view.min[level], view.min[level - 1])
        view.max[level] = max(view.max[level], view.max[level - 1])
        view.oldest[level] = min(view.oldest[level], view.oldest[level - 1])
        for flag in range(N_FLAGS):
            view.flags[level, flag] += view.flags[level - 1, flag]
        view.refunds[level] += view.refunds[level - 1]
        view.refund_sum[level] += view.refund_sum[level - 1]
        for attribute in range(N_ATTRIBUTES):
            view.distinct[level, attribute] += view.distinct[level - 1, attribute]


@leaf
def _mark_own(plan: Record, view: Record, row: Record) -> None:
    """Note the shortest window in which each of the row's own values was seen before it."""
    for attribute in range(N_ATTRIBUTES):
        view.seen_level[attribute] = N_LEVELS
        value_hash = row.hashes[attribute]
        if value_hash != 0 and plan.attribute_level[attribute] >= 0:
            slot = _find(view, attribute, value_hash)
            if view.table_stamp[attribute, slot] == view.generation:
                view.seen_level[attribute] = view.table_level[attribute, slot]


@leaf
def _add_pane_fields(view: Record, level: int, pane: NDArray[np.int64], at_ms: int) -> None:
    view.count[level] += pane[PANE_COUNT]
    view.sum[level] += pane[PANE_SUM]
    view.squares[level] = add_saturating(view.squares[level], pane[PANE_SQUARES])
    view.min[level] = min(view.min[level], pane[PANE_MIN])
    view.max[level] = max(view.max[level], pane[PANE_MAX])
    for flag in range(N_FLAGS):
        view.flags[level, flag] += pane[PANE_FLAGS + flag]
    starts_ms = pane[PANE_INDEX] * PANE_MS[level]
    view.oldest[level] = min(view.oldest[level], max(starts_ms, at_ms - LEVEL_MS[level]))
    view.pane_newest[level] = max(view.pane_newest[level], min(starts_ms + PANE_MS[level] - 1, at_ms))


@leaf
def _begin_coarse(view: Record, level: int) -> None:
    if view.coarse[level] == 0:
        view.coarse[level] = 1
        for attribute in range(N_ATTRIBUTES):
            for byte in range(BITMAP_BYTES):
                view.bits[level, attribute, byte] = 0


@leaf
def _add_level(plan: Record, view: Record, level: int, oldest: int, at_ms: int, panes: Panes, bits: Bits) -> None:
    mask = panes.shape[1] - 1
    first = max(oldest, (at_ms - LEVEL_MS[level]) // PANE_MS[level])
    for index in range(first, at_ms // PANE_MS[level] + 1):
        slot = index & mask
        if panes[level, slot, PANE_INDEX] != index:
            continue
        view.refunds[level] += panes[level, slot, PANE_REFUNDS]
        view.refund_sum[level] += panes[level, slot, PANE_REFUND_SUM]
        if panes[level, slot, PANE_COUNT] == 0:
            continue
        _begin_coarse(view, level)
        _add_pane_fields(view, level, panes[level, slot], at_ms)
        for attribute in range(N_ATTRIBUTES):
            if plan.bitmaps[level, attribute] == 1:
                for byte in range(BITMAP_BYTES):
                    view.bits[level, attribute, byte] |= bits[level, slot, attribute, byte]


@leaf
def _add_panes(plan: Record, view: Record, own: Record, merged: Record, at_ms: int) -> None:
    for level in range(N_LEVELS):
        if own.pane_count[level] > 0:
            oldest = first_kept(plan, level, own.newest)
            _add_level(plan, view, level, oldest, at_ms, own.pane, own.pane_bits)
        if merged.pane_count[level] > 0:
            _add_level(plan, view, level, NEVER, at_ms, merged.pane, merged.pane_bits)


@leaf
def _add_ring_bits(view: Record, level: int, attribute: int, own: Record, merged: Record, at_ms: int) -> None:
    bits = view.bits[level, attribute]
    for i in range(own.ring_count):
        at = (own.ring_start + i) & RING_MASK
        if 0 <= at_ms - own.ring_time[at] < LEVEL_MS[level] and not own.ring_flags[at] & FLAG_REFUND:
            set_bit(bits, own.ring_hashes[at, attribute])
    for at in range(merged.ring_count):
        if 0 <= at_ms - merged.ring_time[at] < LEVEL_MS[level] and not merged.ring_flags[at] & FLAG_REFUND:
            set_bit(bits, merged.ring_hashes[at, attribute])


@leaf
def _add_coarse_bits(plan: Record, view: Record, own: Record, merged: Record, at_ms: int) -> None:
    for level in range(N_LEVELS):
        for attribute in range(N_ATTRIBUTES):
            if view.coarse[level] == 1 and plan.estimated[level, attribute] == 1:
                _add_ring_bits(view, level, attribute, own, merged, at_ms)


@leaf
def _mark_own_in_panes(plan: Record, view: Record, row: Record) -> None:
    """Note where the row's own values may be in panes, before the ring's bits join them."""
    for level in range(N_LEVELS):
        for attribute in range(N_ATTRIBUTES):
            view.seen_in_panes[level, attribute] = 0
            value_hash = row.hashes[attribute]
            if view.coarse[level] == 1 and plan.bitmaps[level, attribute] == 1 and value_hash != 0:
                view.seen_in_panes[level, attribute] = has_bit(view.bits[level, attribute], value_hash)


@leaf
def look(plan: Record, view: Record, own: Record, merged: Record, row: Record, at_ms: int) -> None:
    """Fill the view for a time, the row's or one before it: all other events of the entity, per window."""
    _reset(view, own.ring_count + merged.ring_count)
    _add_own_ring(view, own, at_ms)
    _mark_own_ring(plan, view, own, at_ms)
    _add_merged_ring(plan, view, merged, at_ms)
    _mark_own(plan, view, row)
    _accumulate_levels(view)
    _add_panes(plan, view, own, merged, at_ms)
    _mark_own_in_panes(plan, view, row)
    _add_coarse_bits(plan, view, own, merged, at_ms)
