"""Folding one counted event into an entity's state. This alone decides the bytes; features only look.

Order of the steps: late or not, forget by the event's time, ring (or panes), position, decayed count.
"""

from __future__ import annotations

from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    CELLS_PER_HALF_LIFE,
    DECAY_FACTORS,
    DECAY_MAX,
    DECAY_ONE,
    FACTOR_BITS,
    ID_MASK,
    ID_SLOTS,
    NEVER,
    NO_COORDINATE,
)
from weir.streaming.core.panes import add_event, clear_panes
from weir.streaming.core.working_memory import Record


@leaf
def reset_state(state: Record) -> None:
    """Make a record the state of an entity that was never seen."""
    state.newest = NEVER
    state.ring_start = 0
    state.ring_count = 0
    state.position_time = NEVER
    state.lat = NO_COORDINATE
    state.lon = NO_COORDINATE
    state.decayed = 0
    state.ids_start = 0
    state.ids_count = 0
    state.ids_newest = NEVER
    clear_panes(state)


@leaf
def compute_decayed(value: int, cells: int) -> int:
    """Let a fixed-point count fade over a number of cells, 64 to the half-life.

    Integers only, so that every machine gets the same bytes.
    """
    halvings = cells // CELLS_PER_HALF_LIFE
    if halvings >= 40:  # DECAY_MAX is 2**38: nothing is left
        return 0
    return ((value * DECAY_FACTORS[cells % CELLS_PER_HALF_LIFE]) >> FACTOR_BITS) >> halvings


@leaf
def is_late(plan: Record, state: Record, time: int) -> bool:
    """Whether an event is at or before the entity's newest event less the horizon."""
    return state.newest != NEVER and time <= state.newest - plan.horizon_ms


@leaf
def _place(state: Record, row: Record, before: int) -> None:
    """Put the row into the ring before its ``before`` newest events; there is room."""
    mask = len(state.ring_time) - 1
    for i in range(before):  # the events after it move one slot up, newest first
        to = (state.ring_start + state.ring_count - i) & mask
        source = (to - 1) & mask
        state.ring_time[to] = state.ring_time[source]
        state.ring_flags[to] = state.ring_flags[source]
        for measure in range(len(row.values)):
            state.ring_values[to, measure] = state.ring_values[source, measure]
        for attribute in range(len(row.hashes)):
            state.ring_hashes[to, attribute] = state.ring_hashes[source, attribute]
    at = (state.ring_start + state.ring_count - before) & mask
    state.ring_time[at] = row.time
    state.ring_flags[at] = row.flags
    for measure in range(len(row.values)):
        state.ring_values[at, measure] = row.values[measure]
    for attribute in range(len(row.hashes)):
        state.ring_hashes[at, attribute] = row.hashes[attribute]
    state.ring_count += 1


@leaf
def _evict_oldest(plan: Record, state: Record) -> None:
    at = state.ring_start
    time, values, hashes = state.ring_time[at], state.ring_values[at], state.ring_hashes[at]
    add_event(plan, state, state.newest, time, values, state.ring_flags[at], hashes)
    state.ring_start = (at + 1) & (len(state.ring_time) - 1)
    state.ring_count -= 1


@leaf
def _insert(plan: Record, state: Record, row: Record) -> None:
    """Ring if the row is among the newest, else panes."""
    if state.ring_count == plan.recent:
        if row.time < state.ring_time[state.ring_start]:
            add_event(plan, state, state.newest, row.time, row.values, row.flags, row.hashes)
            return
        _evict_oldest(plan, state)
    before, mask = 0, len(state.ring_time) - 1
    while before < state.ring_count:
        if state.ring_time[(state.ring_start + state.ring_count - 1 - before) & mask] <= row.time:
            break
        before += 1
    _place(state, row, before)


@leaf
def _fold_decayed(plan: Record, state: Record, row: Record, newest_before: int) -> None:
    cell = row.time // plan.cell_ms
    weight = DECAY_ONE * row.present
    if newest_before != NEVER:
        ahead = cell - newest_before // plan.cell_ms
        if ahead >= 0:
            state.decayed = compute_decayed(state.decayed, ahead)
        else:
            weight = compute_decayed(weight, -ahead)
    state.decayed = min(DECAY_MAX, state.decayed + weight)


@leaf
def _fold_position(plan: Record, state: Record, row: Record) -> None:
    if row.lat != NO_COORDINATE and row.time >= state.position_time:
        state.position_time = row.time
        state.lat = row.lat
        state.lon = row.lon
    if state.position_time <= state.newest - plan.horizon_ms:
        state.position_time = NEVER


@leaf
def fold_row(plan: Record, state: Record, row: Record) -> bool:
    """Count the row in the state; return whether it is late, which changes nothing.

    **Cost:** constant; an event in order writes one ring slot and, on a full ring, one pane per level.
    """
    if is_late(plan, state, row.time):
        return True
    newest_before = state.newest
    state.newest = max(state.newest, row.time)
    while state.ring_count > 0 and state.ring_time[state.ring_start] <= state.newest - plan.horizon_ms:
        state.ring_start = (state.ring_start + 1) & (len(state.ring_time) - 1)
        state.ring_count -= 1
    _insert(plan, state, row)
    if plan.has_position == 1:
        _fold_position(plan, state, row)
    if plan.cell_ms > 0:
        _fold_decayed(plan, state, row, newest_before)
    return False


@leaf
def find_verdict(plan: Record, state: Record, row: Record) -> int:
    """Look for the row's id: 0 not seen, 1 seen with the same body, 2 seen with another body."""
    for i in range(state.ids_count):
        at = (state.ids_start + i) & ID_MASK
        if state.id_hash[at] == row.id_hash and state.id_time[at] > row.append_time - plan.id_horizon_ms:
            return 1 if state.id_digest[at] == row.digest else 2
    return 0


@leaf
def remember_id(plan: Record, state: Record, row: Record) -> None:
    """Keep a counted row's id for the duplicate horizon of append time, a late row's too."""
    state.ids_newest = max(state.ids_newest, row.append_time)
    while state.ids_count > 0 and (
        state.id_time[state.ids_start] <= state.ids_newest - plan.id_horizon_ms or state.ids_count == ID_SLOTS
    ):
        state.ids_start = (state.ids_start + 1) & ID_MASK
        state.ids_count -= 1
    at = (state.ids_start + state.ids_count) & ID_MASK
    state.id_time[at] = row.append_time
    state.id_hash[at] = row.id_hash
    state.id_digest[at] = row.digest
    state.ids_count += 1
