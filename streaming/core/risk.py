"""Delayed-label risk: how many events of an entity were labelled, and how many of them fraud, by pane.

A risk partial is folded from the ``labels`` topic alone (``labels.py``)::

    u8 version, zv newest event time in ms
    per risk level, shortest first: uv number of panes; per pane, newest to oldest:
        uv panes before the previous one (before the newest event's pane for the first), uv labelled, uv fraud
    u32 seal

A pane is kept while its end is after newest - window - hold. Empty panes are not written. Panes that are not kept are
not looked at either, so it does not matter when they were forgotten.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import NEVER, PANES_PER_WINDOW, VERSION
from weir.streaming.core.seal import SEAL_BYTES, put_seal
from weir.streaming.core.varint import Bytes, get_uv, get_zv, put_uv, put_zv
from weir.streaming.core.working_memory import LABEL_LEVELS, LABEL_SLOTS, Record

PANES: Final = PANES_PER_WINDOW
RISK_SIZE_BOUND: Final = 16 + SEAL_BYTES + LABEL_LEVELS * (2 + LABEL_SLOTS * 30)
"""Bytes that a risk partial cannot exceed."""


class Changes(NamedTuple):
    """What labels changed, for each position of an entity kind in the order in which they became known.

    Position e has the changes ``first[e]`` to ``end[e] - 1``; ``clock`` is the stream's time at each row of the batch.
    """

    clock: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    known: NDArray[np.int64]
    time: NDArray[np.int64]
    count_change: NDArray[np.int8]
    fraud_change: NDArray[np.int8]


NO_CLOCK: Final = np.zeros(0, dtype=np.int64)
"""Where no row is at hand."""
_NO_CHANGE: Final = np.zeros(0, dtype=np.int8)


def build_no_changes(size: int) -> Changes:
    """Return no change for any of a number of positions."""
    none = np.zeros(size, dtype=np.int64)
    return Changes(NO_CLOCK, none, none, NO_CLOCK, NO_CLOCK, _NO_CHANGE, _NO_CHANGE)


@leaf
def reset_risk(risk: Record) -> None:
    """Start with no label."""
    risk.generation += 1
    risk.newest = NEVER


@leaf
def first_kept_label(plan: Record, level: int, newest: int) -> int:
    """Number of the oldest pane that may still be looked at."""
    window_ms = plan.label_level_ms[level]
    return (newest - window_ms - plan.label_hold_ms) // (window_ms // PANES)


@leaf
def add_labels(risk: Record, level: int, index: int, count: int, fraud: int) -> None:
    """Add to a pane's counts; a pane older than the one in its slot is out of every window and is left out."""
    slot = index & (LABEL_SLOTS - 1)
    if risk.stamp[level, slot] != risk.generation or risk.index[level, slot] < index:
        risk.stamp[level, slot] = risk.generation
        risk.index[level, slot] = index
        risk.count[level, slot] = 0
        risk.fraud[level, slot] = 0
    if risk.index[level, slot] == index:
        risk.count[level, slot] += count
        risk.fraud[level, slot] += fraud


@leaf
def fold_change(plan: Record, risk: Record, changes: Changes, i: int) -> None:
    """Count what one label changed."""
    risk.newest = max(risk.newest, changes.time[i])
    if changes.count_change[i] == 0 and changes.fraud_change[i] == 0:
        return
    for level in range(plan.n_label_levels):
        index = changes.time[i] // (plan.label_level_ms[level] // PANES)
        if index >= first_kept_label(plan, level, risk.newest):
            add_labels(risk, level, index, changes.count_change[i], changes.fraud_change[i])


@leaf
def decode_risk(plan: Record, data: Bytes, at: int, end: int, risk: Record) -> None:
    """Add the partial in ``data[at:end]``.

    Raises:
        ValueError: when the bytes are not a risk partial of this version.
    """
    if at == end:
        return
    if data[at] != VERSION:
        raise ValueError("expected a risk partial of this version, found other bytes; rebuild the view from the log")
    newest, at = get_zv(data, at + 1)
    risk.newest = max(risk.newest, newest)
    for level in range(plan.n_label_levels):
        index = newest // (plan.label_level_ms[level] // PANES)
        size, at = get_uv(data, at)
        for _ in range(size):
            delta, at = get_uv(data, at)
            count, at = get_uv(data, at)
            fraud, at = get_uv(data, at)
            index -= delta
            add_labels(risk, level, index, count, fraud)


@leaf
def _is_live(risk: Record, level: int, index: int) -> bool:
    slot = index & (LABEL_SLOTS - 1)
    held = risk.stamp[level, slot] == risk.generation and risk.index[level, slot] == index
    return held and risk.count[level, slot] > 0


@leaf
def encode_risk(plan: Record, risk: Record, data: Bytes, at: int, seed: np.uint64) -> int:
    """Write and seal a risk partial; ``data`` has room for ``RISK_SIZE_BOUND`` bytes."""
    begin = at
    data[at] = VERSION
    at = put_zv(data, at + 1, risk.newest)
    for level in range(plan.n_label_levels):
        before = risk.newest // (plan.label_level_ms[level] // PANES)
        oldest = first_kept_label(plan, level, risk.newest)
        size = 0
        for index in range(before, oldest - 1, -1):
            size += _is_live(risk, level, index)
        at = put_uv(data, at, size)
        for index in range(before, oldest - 1, -1):
            if _is_live(risk, level, index):
                slot = index & (LABEL_SLOTS - 1)
                at = put_uv(data, at, before - index)
                at = put_uv(data, at, risk.count[level, slot])
                at = put_uv(data, at, risk.fraud[level, slot])
                before = index
    return put_seal(data, begin, at, seed)


@leaf
def compute_risk(plan: Record, risk: Record, level: int, at_ms: int) -> float:
    """Fraud share of events in whole panes within (at - hold - window, at - hold]; NaN if none is labelled."""
    if risk.newest == NEVER:
        return math.nan
    end = (at_ms - plan.label_hold_ms) // (plan.label_level_ms[level] // PANES)
    count = 0
    fraud = 0
    for index in range(max(end - PANES, first_kept_label(plan, level, risk.newest)), end):
        slot = index & (LABEL_SLOTS - 1)
        if risk.stamp[level, slot] == risk.generation and risk.index[level, slot] == index:
            count += risk.count[level, slot]
            fraud += risk.fraud[level, slot]
    return fraud / count if count > 0 else math.nan
