"""Adding up the partials of the other partitions for a shared entity, once per entity and batch.

Rings are put side by side, panes added, the newest position wins (the first partition's on a tie), decayed counts are
brought to the latest cell and added. Panes that no row of the batch can see are left out, so that two partitions
contend for a slot only when a batch's rows of one entity span more than a window; the newer pane then wins.

**Cost:** the length of the partials.
"""

from __future__ import annotations

from weir.streaming.core.fold import compute_decayed
from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    MERGED_RING,
    NEVER,
    NO_COORDINATE,
    PANE_INDEX,
)
from weir.streaming.core.panes import add_event, add_pane, claim, clear_panes, first_kept
from weir.streaming.core.working_memory import Record


@leaf
def reset_merged(merged: Record) -> None:
    """Start with no other partition."""
    merged.ring_count = 0
    merged.position_time = NEVER
    merged.lat = NO_COORDINATE
    merged.lon = NO_COORDINATE
    merged.decayed = 0
    merged.decayed_cell = NEVER
    clear_panes(merged)


@leaf
def _merge_ring(plan: Record, merged: Record, other: Record) -> None:
    for i in range(other.ring_count):
        source = (other.ring_start + i) & (len(other.ring_time) - 1)
        values, hashes = other.ring_values[source], other.ring_hashes[source]
        if merged.ring_count == MERGED_RING:
            time, flags = other.ring_time[source], other.ring_flags[source]
            add_event(plan, merged, other.newest, time, values, flags, hashes)
            continue
        to = merged.ring_count
        merged.ring_time[to] = other.ring_time[source]
        merged.ring_flags[to] = other.ring_flags[source]
        for measure in range(len(values)):
            merged.ring_values[to, measure] = values[measure]
        for attribute in range(len(hashes)):
            merged.ring_hashes[to, attribute] = hashes[attribute]
        merged.ring_count += 1


@leaf
def _merge_pane(merged: Record, other: Record, level: int, source: int) -> None:
    index = other.pane[level, source, PANE_INDEX]
    slot = claim(merged, level, index)
    if slot < 0:
        return
    add_pane(merged.pane[level, slot], other.pane[level, source], other.ring_values.shape[1])
    for attribute in range(other.pane_bits.shape[2]):
        for byte in range(BITMAP_BYTES):
            merged.pane_bits[level, slot, attribute, byte] |= other.pane_bits[level, source, attribute, byte]


@leaf
def _merge_panes(plan: Record, merged: Record, other: Record, time_min: int, time_max: int) -> None:
    for level in range(len(other.pane_count)):
        if other.pane_count[level] == 0:
            continue
        oldest = first_kept(plan, level, time_min)
        newest = time_max // plan.pane_ms[level]
        for source in range(other.pane.shape[1]):
            index = other.pane[level, source, PANE_INDEX]
            if oldest <= index <= newest:
                _merge_pane(merged, other, level, source)


@leaf
def _merge_decayed(plan: Record, merged: Record, other: Record) -> None:
    cell = other.newest // plan.cell_ms
    if merged.decayed_cell == NEVER:
        merged.decayed = other.decayed
        merged.decayed_cell = cell
        return
    latest = max(cell, merged.decayed_cell)
    merged.decayed = compute_decayed(merged.decayed, latest - merged.decayed_cell)
    merged.decayed += compute_decayed(other.decayed, latest - cell)
    merged.decayed_cell = latest


@leaf
def merge_partial(plan: Record, merged: Record, other: Record, time_min: int, time_max: int) -> None:
    """Add another partition's decoded partial.

    Args:
        plan: what the entity kind keeps.
        merged: the sum so far.
        other: the partial to add.
        time_min: earliest event time, in ms, at which the sum will be looked at.
        time_max: latest such time.
    """
    if other.newest == NEVER:
        return
    _merge_ring(plan, merged, other)
    _merge_panes(plan, merged, other, time_min, time_max)
    if other.position_time > merged.position_time:
        merged.position_time = other.position_time
        merged.lat = other.lat
        merged.lon = other.lon
    if plan.cell_ms > 0:
        _merge_decayed(plan, merged, other)
