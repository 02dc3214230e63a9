"""The compiled loop over entities and their rows. ``kernel.py`` is its face; here are the arrays it takes.

For each entity of one kind: decode its partial, add up the other partitions' and the labels', then for each of its rows
in log order judge (keys only), look, evaluate and fold, and encode. Entities do not see one another, except that the
key's pass comes first and its verdicts say which rows count.

**Cost:** see ``fold`` and ``view``; memory is one scratch for all entities, plus the bytes going in and out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.aggregates import evaluate
from weir.streaming.core.decode import decode
from weir.streaming.core.encode import compute_size_bound, encode
from weir.streaming.core.fold import find_verdict, fold_row, remember_id
from weir.streaming.core.jit import entry, leaf, long_entry
from weir.streaming.core.layout import COUNTED, FLAGS_MAX, NEVER, NO_COORDINATE
from weir.streaming.core.merge import merge_partial, reset_merged
from weir.streaming.core.risk import Changes, decode_risk, fold_change, reset_risk
from weir.streaming.core.view import look
from weir.streaming.core.working_memory import Memory, Record, Records


class Columns(NamedTuple):
    """The batch, one value per row; per measure, shape (measures, rows); per field told apart, shape (fields, rows)."""

    time: NDArray[np.int64]
    append_time: NDArray[np.int64]
    values: NDArray[np.int64]
    flags: NDArray[np.uint32]
    lat: NDArray[np.int32]
    lon: NDArray[np.int32]
    id_hash: NDArray[np.int64]
    digest: NDArray[np.uint32]
    hashes: NDArray[np.uint32]


class Groups(NamedTuple):
    """Rows of entity e are ``order[starts[e]:starts[e + 1]]``, in log order; ``seeds[e]`` is its seal's."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    seeds: NDArray[np.uint64]


class Partials(NamedTuple):
    """Byte strings end to end.

    String k is ``data[offsets[k]:offsets[k + 1]]``; entity e has the strings ``first[e]`` to ``first[e + 1] - 1``.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    first: NDArray[np.int64]


class Machine(NamedTuple):
    """The records of working memory, see ``working_memory.Memory``."""

    own: Record
    other: Record
    merged: Record
    window: Record
    risk: Record
    row: Record


class Results(NamedTuple):
    """What a pass writes, one per row: verdict, lateness for the key, features."""

    verdicts: NDArray[np.uint8]
    late: NDArray[np.bool_]
    features: NDArray[np.float32]


@entry
def group_rows(codes: NDArray[np.int32], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort rows by entity, keeping log order within each; rows without the entity are left out."""
    starts = np.zeros(size + 1, dtype=np.int64)
    for code in codes:
        if code >= 0:
            starts[code + 1] += 1
    for entity in range(size):
        starts[entity + 1] += starts[entity]
    order = np.empty(starts[size], dtype=np.int64)
    at = starts[:size].copy()
    for row in range(len(codes)):
        if codes[row] >= 0:
            order[at[codes[row]]] = row
            at[codes[row]] += 1
    return order, starts


@leaf
def _load_row(plan: Record, columns: Columns, i: int, row: Record) -> None:
    row.time = columns.time[i]
    row.append_time = columns.append_time[i]
    for measure in range(len(row.values)):
        row.values[measure] = columns.values[measure, i]
    row.flags = columns.flags[i]
    row.reversal = row.flags >> FLAGS_MAX
    row.lat = (
        NO_COORDINATE if row.reversal == 1 else columns.lat[i]
    )  # a reversal need not be made by who made the event
    row.lon = NO_COORDINATE if row.reversal == 1 else columns.lon[i]
    row.id_hash = columns.id_hash[i]
    row.digest = columns.digest[i]
    for attribute in range(len(row.hashes)):
        field = plan.attribute_field[attribute]
        row.hashes[attribute] = columns.hashes[field, i] if field >= 0 else 0
    row.present = 1 - row.reversal


@leaf
def _gather(
    plan: Record, machine: Machine, others: Partials, labels: Partials, entity: int, span: tuple[int, int]
) -> None:
    """Add up the other partitions' partials and the label partials of one entity."""
    reset_merged(machine.merged)
    for k in range(others.first[entity], others.first[entity + 1]):
        decode(plan, others.data, others.offsets[k], others.offsets[k + 1], machine.other)
        merge_partial(plan, machine.merged, machine.other, span[0], span[1])
    reset_risk(machine.risk)
    for k in range(labels.first[entity], labels.first[entity + 1]):
        decode_risk(plan, labels.data, labels.offsets[k], labels.offsets[k + 1], machine.risk)


@leaf
def _time_span(columns: Columns, groups: Groups, entity: int) -> tuple[int, int]:
    least = columns.time[groups.order[groups.starts[entity]]]
    most = least
    for k in range(groups.starts[entity], groups.starts[entity + 1]):
        least = min(least, columns.time[groups.order[k]])
        most = max(most, columns.time[groups.order[k]])
    return least, most


@leaf
def _judge_by_others(
    plan: Record,
    machine: Machine,
    columns: Columns,
    rows: NDArray[np.int64],
    others: Partials,
    entity: int,
    results: Results,
) -> None:
    """Judge a key's rows by the ids that other units remember of it."""
    for k in range(others.first[entity], others.first[entity + 1]):
        decode(plan, others.data, others.offsets[k], others.offsets[k + 1], machine.other)
        for i in rows:
            if results.verdicts[i] == COUNTED:
                _load_row(plan, columns, i, machine.row)
                results.verdicts[i] = find_verdict(plan, machine.other, machine.row)


@leaf
def _judge(plan: Record, machine: Machine, i: int, results: Results, judging: bool) -> bool:
    """Whether the row counts; for keys, decide it."""
    if plan.has_ids == 1:
        if judging and results.verdicts[i] == COUNTED:
            results.verdicts[i] = find_verdict(plan, machine.own, machine.row)
        if results.verdicts[i] == COUNTED:
            remember_id(plan, machine.own, machine.row)
    return results.verdicts[i] == COUNTED


@leaf
def _compute_features(plan: Record, machine: Machine, out: NDArray[np.float32]) -> None:
    """Look at the entity as of the row, then as of each hold before it, and write the features of each look."""
    row, window = machine.row, machine.window
    present, reversal, begin = row.present, row.reversal, 0
    for view in range(plan.n_views):
        hold_ms, end = plan.view_hold_ms[view], plan.view_end[view]
        if hold_ms > 0:  # the event at hand is no part of a window that ended before it
            row.present, row.reversal = 0, 0
        if end > begin:
            look(plan, window, machine.own, machine.merged, row, row.time - hold_ms)
            evaluate(plan, window, machine.own, machine.merged, machine.risk, row, (begin, end), out)
        begin = end
    row.present, row.reversal = present, reversal


@leaf
def _apply_known(plan: Record, risk: Record, changes: Changes, span: tuple[int, int], clock: int) -> int:
    """Count the label changes of ``span`` that were known at a time; return where the next one is."""
    at, end = span
    while at < end and changes.known[at] <= clock:
        fold_change(plan, risk, changes, at)
        at += 1
    return at


@leaf
def _run_entity(
    plan: Record,
    machine: Machine,
    columns: Columns,
    rows: NDArray[np.int64],
    changes: Changes,
    span: tuple[int, int],
    results: Results,
    live: bool,
) -> bool:
    """Take an entity's rows in log order; return whether any counted."""
    counted = False
    change = span[0]
    for i in rows:
        if change < span[1]:
            change = _apply_known(plan, machine.risk, changes, (change, span[1]), changes.clock[i])
        _load_row(plan, columns, i, machine.row)
        if not _judge(plan, machine, i, results, live):
            continue
        counted = True
        if live:
            _compute_features(plan, machine, results.features[i])
        is_late = fold_row(plan, machine.own, machine.row)
        if plan.has_ids == 1:
            results.late[i] = is_late
    return counted


@leaf
def make_room(data: NDArray[np.uint8], used: int, needed: int) -> NDArray[np.uint8]:
    """Return the buffer, or a larger copy, with room for ``needed`` bytes after ``used``."""
    if used + needed <= len(data):
        return data
    larger = np.empty(2 * (used + needed), dtype=np.uint8)
    larger[:used] = data[:used]
    return larger


@long_entry
def run_pass(
    plans: Records,
    memory: Memory,
    columns: Columns,
    groups: Groups,
    own: Partials,
    shared: tuple[Partials, Partials, Changes],
    results: Results,
    live: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Take one entity kind through a batch.

    Args:
        plans: what the kind keeps and computes, an array of one.
        memory: working memory.
        columns: the batch.
        groups: its rows by entity.
        own: one partial per entity.
        shared: the other partitions' partials, the label partials, and what labels changed while the rows passed.
        results: written in place.
        live: judge and compute features; without it every row counts and only bytes come out.

    Returns:
        The new partials, end to end, and their offsets.
    """
    plan = plans[0]
    # here, and not in a function of its own: compiled functions return no records
    machine = Machine(memory.own[0], memory.other[0], memory.merged[0], memory.window[0], memory.risk[0], memory.row[0])
    size = len(groups.starts) - 1
    out = np.empty(len(own.data) + 64 * (len(groups.order) + 1), dtype=np.uint8)
    offsets = np.zeros(size + 1, dtype=np.int64)
    at = 0
    for entity in range(size):
        begin, end = own.offsets[entity], own.offsets[entity + 1]
        rows = groups.order[groups.starts[entity] : groups.starts[entity + 1]]
        decode(plan, own.data, begin, end, machine.own)
        if live and len(rows) > 0:
            _gather(plan, machine, shared[0], shared[1], entity, _time_span(columns, groups, entity))
            if plan.has_ids == 1:
                _judge_by_others(plan, machine, columns, rows, shared[0], entity, results)
        span = shared[2].first[entity], shared[2].end[entity]
        counted = _run_entity(plan, machine, columns, rows, shared[2], span, results, live)
        if counted and machine.own.newest != NEVER:
            out = make_room(out, at, compute_size_bound(machine.own))
            at = encode(plan, machine.own, out, at, groups.seeds[entity])
        else:
            out = make_room(out, at, end - begin)
            out[at : at + end - begin] = own.data[begin:end]
            at += end - begin
        offsets[entity + 1] = at
    return out[:at], offsets


@entry
def evaluate_at(
    plans: Records,
    memory: Memory,
    others: Partials,
    labels: Partials,
    at_ms: int,
    out: NDArray[np.float32],
) -> None:
    """Compute an entity's windows as of a time, with no event at hand."""
    plan = plans[0]
    # here, and not in a function of its own: compiled functions return no records
    machine = Machine(memory.own[0], memory.other[0], memory.merged[0], memory.window[0], memory.risk[0], memory.row[0])
    decode(plan, others.data, 0, 0, machine.own)
    _gather(plan, machine, others, labels, 0, (at_ms, at_ms))
    machine.row.time = at_ms
    machine.row.present = 0
    machine.row.reversal = 0
    machine.row.hashes[:] = 0
    _compute_features(plan, machine, out)
