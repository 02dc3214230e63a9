"""Looking at an entity as of one event: every event but the one at hand, per window ending at its time.

Events of the ring go to the bucket of the shortest window that holds them; prefix sums over the windows follow. An
event's attribute values are kept in a hash table with the shortest window they were seen in, so distinct counts are a
prefix sum too. Panes, if the entity has any, are added per level. Nothing later than the event's time is counted from
rings; of panes, the one that holds the event's time counts whole.

**Cost:** a few ns per ring event and attribute; up to 31 panes per level for a busy entity.
"""

from __future__ import annotations

import numpy as np

from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    INT64_MAX,
    MEASURE_FIELDS,
    NEVER,
    PACKED_FLAGS,
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
from weir.streaming.core.panes import Bits, Integers, Panes, add_saturating, first_kept, has_bit, set_bit
from weir.streaming.core.working_memory import TABLE_SLOTS, Record

LANE_BITS = 16
LANE_MASK = (1 << LANE_BITS) - 1
FLAG_LANES = np.array(
    [
        sum(((flags >> flag) & 1) << (LANE_BITS * flag) for flag in range(PACKED_FLAGS))
        for flags in range(1 << PACKED_FLAGS)
    ],
    dtype=np.int64,
)
"""Flags -> four counters in one integer: a ring's events are counted with one addition each, while they fit."""


@leaf
def _reset(view: Record, ring_events: int) -> None:
    view.newest = NEVER
    view.generation += 1
    mask = 64
    while mask < 2 * ring_events and mask < TABLE_SLOTS:
        mask *= 2
    view.mask = mask - 1
    for level in range(len(view.count)):
        view.count[level] = 0
        for measure in range(view.sum.shape[1]):
            view.sum[level, measure] = 0
            view.squares[level, measure] = 0
            view.min[level, measure] = INT64_MAX
            view.max[level, measure] = -INT64_MAX
        view.oldest[level] = INT64_MAX
        view.reversals[level] = 0
        view.reversed[level] = 0
        view.coarse[level] = 0
        view.pane_newest[level] = NEVER
        for flag in range(view.flags.shape[1]):
            view.flags[level, flag] = 0
        for attribute in range(view.distinct.shape[1]):
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
def _add_sums(view: Record, level: int, measure: int, sums: tuple[int, int, int, int]) -> None:
    """Add the sum, sum of squares, smallest and largest value of some events."""
    view.sum[level, measure] += sums[0]
    view.squares[level, measure] = add_saturating(view.squares[level, measure], sums[1])
    view.min[level, measure] = min(view.min[level, measure], sums[2])
    view.max[level, measure] = max(view.max[level, measure], sums[3])


@leaf
def _read_sums(view: Record, level: int, measure: int) -> tuple[int, int, int, int]:
    total, squares = view.sum[level, measure], view.squares[level, measure]
    return total, squares, view.min[level, measure], view.max[level, measure]


@leaf
def _level_of(plan: Record, age_ms: int) -> int:
    level = 0
    while age_ms >= plan.level_ms[level]:
        level += 1
    return level


@leaf
def _add_ring_event(
    plan: Record, view: Record, at_ms: int, time: int, values: Integers, flags: int, hashes: Integers
) -> None:
    age_ms = at_ms - time
    if age_ms < 0 or age_ms >= plan.level_ms[-1]:
        return
    level = _level_of(plan, age_ms)
    if flags & REVERSAL:
        view.reversals[level] += 1
        view.reversed[level] += abs(values[plan.reversal_measure])
        return
    view.count[level] += 1
    for measure in range(len(values)):
        value = values[measure]
        _add_sums(view, level, measure, (value, value * value, value, value))
    view.oldest[level] = min(view.oldest[level], time)
    view.newest = max(view.newest, time)
    for flag in range(view.flags.shape[1]):
        view.flags[level, flag] += (flags >> flag) & 1
    for attribute in range(len(hashes)):
        if hashes[attribute] != 0 and level <= plan.attribute_level[attribute]:
            _mark_seen(view, attribute, hashes[attribute], level)


@leaf
def _add_merged_ring(plan: Record, view: Record, merged: Record, at_ms: int) -> None:
    for at in range(merged.ring_count):
        values, hashes = merged.ring_values[at], merged.ring_hashes[at]
        _add_ring_event(plan, view, at_ms, merged.ring_time[at], values, merged.ring_flags[at], hashes)


@leaf
def _add_bucket(view: Record, level: int, count: int, flags: int, oldest: int) -> None:
    """Count what the own ring has between two window ends."""
    view.count[level] += count
    view.oldest[level] = min(view.oldest[level], oldest)
    if view.flags.shape[1] <= PACKED_FLAGS:
        for flag in range(view.flags.shape[1]):
            view.flags[level, flag] += (flags >> (LANE_BITS * flag)) & LANE_MASK


@leaf
def _add_more(view: Record, own: Record, level: int, measure: int, span: tuple[int, int]) -> None:
    """Add a measure after the first of the ring's events from the newest of a span down to just before its oldest."""
    total, squares, least, most = 0, 0, INT64_MAX, -INT64_MAX
    for i in range(span[0], span[1], -1):
        at = (own.ring_start + i) & (len(own.ring_time) - 1)
        if not own.ring_flags[at] & REVERSAL:
            value = own.ring_values[at, measure]
            total += value
            squares = add_saturating(squares, value * value)
            least, most = min(least, value), max(most, value)
    _add_sums(view, level, measure, (total, squares, least, most))


@leaf
def _mark_own_ring(plan: Record, view: Record, own: Record, at_ms: int) -> None:
    """Note the attribute values of the own ring, newest first; a run of one value is looked up once."""
    mask, levels = len(own.ring_time) - 1, len(view.count)
    for attribute in range(own.ring_hashes.shape[1]):
        longest = plan.attribute_level[attribute]
        before, level = np.int64(0), 0
        for i in range(own.ring_count - 1 if longest >= 0 else -1, -1, -1):
            at = (own.ring_start + i) & mask
            age_ms = at_ms - own.ring_time[at]
            value_hash = own.ring_hashes[at, attribute]
            if age_ms < 0 or value_hash == before or own.ring_flags[at] & REVERSAL:
                continue
            while level < levels and age_ms >= plan.level_ms[level]:
                level += 1
            if level > longest:
                break
            before = value_hash
            if value_hash != 0:
                _mark_seen(view, attribute, value_hash, level)


@leaf
def _count_flags(view: Record, level: int, flags: int) -> int:
    """Count an event's flags, or return their lanes to be added up where they are few."""
    if view.flags.shape[1] <= PACKED_FLAGS:
        return FLAG_LANES[flags]
    for flag in range(view.flags.shape[1]):
        view.flags[level, flag] += (flags >> flag) & 1
    return 0


@leaf
def _add_own_ring(plan: Record, view: Record, own: Record, at_ms: int) -> None:
    """Add the own ring, newest first, one bucket at a time: it is in order, so the sums stay in registers."""
    i, mask = own.ring_count - 1, len(own.ring_time) - 1
    while i >= 0 and own.ring_time[(own.ring_start + i) & mask] > at_ms:
        i -= 1
    for level in range(len(view.count)):
        count, total, squares, least, most, flags, oldest, newest = 0, 0, 0, INT64_MAX, -INT64_MAX, 0, INT64_MAX, i
        while i >= 0:
            at = (own.ring_start + i) & mask
            if at_ms - own.ring_time[at] >= plan.level_ms[level]:
                break
            value = own.ring_values[at, 0]
            i -= 1
            if own.ring_flags[at] & REVERSAL:
                view.reversals[level] += 1
                view.reversed[level] += abs(own.ring_values[at, plan.reversal_measure])
                continue
            count += 1
            total += value
            squares = add_saturating(squares, value * value)
            least, most = min(least, value), max(most, value)
            flags += _count_flags(view, level, own.ring_flags[at])
            view.newest = max(view.newest, own.ring_time[at])
            oldest = own.ring_time[at]
        if count > 0:
            _add_bucket(view, level, count, flags, oldest)
            _add_sums(view, level, 0, (total, squares, least, most))
            for measure in range(1, view.sum.shape[1]):
                _add_more(view, own, level, measure, (newest, i))


@leaf
def _accumulate_levels(view: Record) -> None:
    """Turn buckets into windows: a window holds its own bucket and all shorter ones."""
    for level in range(1, len(view.count)):
        view.count[level] += view.count[level - 1]
        for measure in range(view.sum.shape[1]):
            _add_sums(view, level, measure, _read_sums(view, level - 1, measure))
        view.oldest[level] = min(view.oldest[level], view.oldest[level - 1])
        for flag in range(view.flags.shape[1]):
            view.flags[level, flag] += view.flags[level - 1, flag]
        view.reversals[level] += view.reversals[level - 1]
        view.reversed[level] += view.reversed[level - 1]
        for attribute in range(view.distinct.shape[1]):
            view.distinct[level, attribute] += view.distinct[level - 1, attribute]


@leaf
def _mark_own(plan: Record, view: Record, row: Record) -> None:
    """Note the shortest window in which each of the row's own values was seen before it."""
    for attribute in range(len(row.hashes)):
        view.seen_level[attribute] = len(view.count)
        value_hash = row.hashes[attribute]
        if value_hash != 0 and plan.attribute_level[attribute] >= 0:
            slot = _find(view, attribute, value_hash)
            if view.table_stamp[attribute, slot] == view.generation:
                view.seen_level[attribute] = view.table_level[attribute, slot]


@leaf
def _add_pane_fields(plan: Record, view: Record, level: int, pane: Integers, at_ms: int) -> None:
    view.count[level] += pane[PANE_COUNT]
    at = PANE_MEASURES
    for measure in range(view.sum.shape[1]):
        sums = pane[at + PANE_SUM], pane[at + PANE_SQUARES], pane[at + PANE_MIN], pane[at + PANE_MAX]
        _add_sums(view, level, measure, sums)
        at += MEASURE_FIELDS
    for flag in range(view.flags.shape[1]):
        view.flags[level, flag] += pane[at + flag]
    pane_ms = plan.pane_ms[level]
    starts_ms = pane[PANE_INDEX] * pane_ms
    view.oldest[level] = min(view.oldest[level], max(starts_ms, at_ms - plan.level_ms[level]))
    view.pane_newest[level] = max(view.pane_newest[level], min(starts_ms + pane_ms - 1, at_ms))


@leaf
def _begin_coarse(view: Record, level: int) -> None:
    if view.coarse[level] == 0:
        view.coarse[level] = 1
        for attribute in range(view.bits.shape[1]):
            for byte in range(BITMAP_BYTES):
                view.bits[level, attribute, byte] = 0


@leaf
def _add_level(plan: Record, view: Record, level: int, oldest: int, at_ms: int, panes: Panes, bits: Bits) -> None:
    mask = panes.shape[1] - 1
    first = max(oldest, (at_ms - plan.level_ms[level]) // plan.pane_ms[level])
    for index in range(first, at_ms // plan.pane_ms[level] + 1):
        slot = index & mask
        if panes[level, slot, PANE_INDEX] != index:
            continue
        view.reversals[level] += panes[level, slot, PANE_REVERSALS]
        view.reversed[level] += panes[level, slot, PANE_REVERSED]
        if panes[level, slot, PANE_COUNT] == 0:
            continue
        _begin_coarse(view, level)
        _add_pane_fields(plan, view, level, panes[level, slot], at_ms)
        for attribute in range(view.bits.shape[1]):
            if plan.bitmaps[level, attribute] == 1:
                for byte in range(BITMAP_BYTES):
                    view.bits[level, attribute, byte] |= bits[level, slot, attribute, byte]


@leaf
def _add_panes(plan: Record, view: Record, own: Record, merged: Record, at_ms: int) -> None:
    for level in range(len(plan.levels)):
        if own.pane_count[level] > 0:
            oldest = first_kept(plan, level, own.newest)
            _add_level(plan, view, level, oldest, at_ms, own.pane, own.pane_bits)
        if merged.pane_count[level] > 0:
            _add_level(plan, view, level, NEVER, at_ms, merged.pane, merged.pane_bits)


@leaf
def _add_ring_bits(bits: Bits, window_ms: int, attribute: int, own: Record, merged: Record, at_ms: int) -> None:
    for i in range(own.ring_count):
        at = (own.ring_start + i) & (len(own.ring_time) - 1)
        if 0 <= at_ms - own.ring_time[at] < window_ms and not own.ring_flags[at] & REVERSAL:
            set_bit(bits, own.ring_hashes[at, attribute])
    for at in range(merged.ring_count):
        if 0 <= at_ms - merged.ring_time[at] < window_ms and not merged.ring_flags[at] & REVERSAL:
            set_bit(bits, merged.ring_hashes[at, attribute])


@leaf
def _add_coarse_bits(plan: Record, view: Record, own: Record, merged: Record, at_ms: int) -> None:
    for level in range(len(plan.levels)):
        for attribute in range(view.bits.shape[1]):
            if view.coarse[level] == 1 and plan.estimated[level, attribute] == 1:
                _add_ring_bits(view.bits[level, attribute], plan.level_ms[level], attribute, own, merged, at_ms)


@leaf
def _mark_own_in_panes(plan: Record, view: Record, row: Record) -> None:
    """Note where the row's own values may be in panes, before the ring's bits join them."""
    for level in range(len(plan.levels)):
        for attribute in range(len(row.hashes)):
            view.seen_in_panes[level, attribute] = 0
            value_hash = row.hashes[attribute]
            if view.coarse[level] == 1 and plan.bitmaps[level, attribute] == 1 and value_hash != 0:
                view.seen_in_panes[level, attribute] = has_bit(view.bits[level, attribute], value_hash)


@leaf
def look(plan: Record, view: Record, own: Record, merged: Record, row: Record, at_ms: int) -> None:
    """Fill the view for a time, the row's or one before it: all other events of the entity, per window."""
    _reset(view, own.ring_count + merged.ring_count)
    _add_own_ring(plan, view, own, at_ms)
    _mark_own_ring(plan, view, own, at_ms)
    _add_merged_ring(plan, view, merged, at_ms)
    _mark_own(plan, view, row)
    _accumulate_levels(view)
    _add_panes(plan, view, own, merged, at_ms)
    _mark_own_in_panes(plan, view, row)
    _add_coarse_bits(plan, view, own, merged, at_ms)
