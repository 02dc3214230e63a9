"""Fixed working memory of the kernel: one record of each kind, reused for every entity of a batch.

Records, not objects: compiled functions take one argument and read ``state.newest`` or ``view.count[level]``.
Nothing here outlives a call except as stale memory that the next decode overwrites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from weir.streaming.core.interpreted import INTERPRETED, NamedRecord
from weir.streaming.core.jit import SOURCE_STAMP
from weir.streaming.core.layout import (
    BITMAP_BYTES,
    ID_SLOTS,
    MERGED_RING,
    MERGED_SLOTS,
    N_ATTRIBUTES,
    N_FLAGS,
    N_LEVELS,
    NEVER,
    PANE_FIELDS,
    PANE_SLOTS,
    RING_SLOTS,
)

Record = Any
"""A NumPy record of one of the types below; NumPy's own typing does not know its fields."""

TABLE_SLOTS = 4 * MERGED_RING
MAX_OPS = 64
MAX_VIEWS = 4
"""Different holds of one entity's features, none included: each is another look at the entity per event."""
LABEL_LEVELS = 3
LABEL_SLOTS = 512
"""Panes of one risk level within window and hold: 240 for one day held back seven, doubled for skew."""

PLAN = np.dtype(
    [
        (SOURCE_STAMP, "i8"),
        ("levels", "i8", (N_LEVELS,)),
        ("bitmaps", "i8", (N_LEVELS, N_ATTRIBUTES)),
        ("estimated", "i8", (N_LEVELS, N_ATTRIBUTES)),
        ("attribute_level", "i8", (N_ATTRIBUTES,)),
        ("recent", "i8"),
        ("kept_ms", "i8", (N_LEVELS,)),
        ("has_position", "i8"),
        ("cell_ms", "i8"),
        ("has_ids", "i8"),
        ("ops", "i8", (MAX_OPS, 4)),
        ("n_views", "i8"),
        ("view_hold_ms", "i8", (MAX_VIEWS,)),
        ("view_end", "i8", (MAX_VIEWS,)),
        ("n_label_levels", "i8"),
        ("label_level_ms", "i8", (LABEL_LEVELS,)),
    ],
    align=True,
)
"""What one entity kind keeps and computes; built from the declarations by ``plans.build_plan``.

``levels``: 1 where panes are kept. ``bitmaps``: 1 where an attribute's values are told apart in panes.
``estimated``: 1 where distinct values of an attribute are counted, so that the ring's bits join the panes'.
``attribute_level``: longest level at which an attribute is looked at, -1 for none. ``recent``: events kept exactly.
``kept_ms``: how far back panes are kept. ``ops``: (aggregate, level, measure, column) per feature, by hold: those up to
``view_end[0]`` hold nothing back, those up to ``view_end[1]`` hold back ``view_hold_ms[1]``, and so on.
"""

ROW = np.dtype(
    [
        ("time", "i8"),
        ("append_time", "i8"),
        ("amount", "i8"),
        ("flags", "i8"),
        ("hashes", "i8", (N_ATTRIBUTES,)),
        ("lat", "i8"),
        ("lon", "i8"),
        ("id_hash", "i8"),
        ("digest", "i8"),
        ("present", "i8"),
        ("refund", "i8"),
    ],
    align=True,
)
"""The event at hand. ``present`` is 1 for a payment, ``refund`` for a refund; a live look-up has neither."""

STATE = np.dtype(
    [
        ("newest", "i8"),
        ("ring_start", "i8"),
        ("ring_count", "i8"),
        ("ring_time", "i8", (RING_SLOTS,)),
        ("ring_amount", "i8", (RING_SLOTS,)),
        ("ring_flags", "i8", (RING_SLOTS,)),
        ("ring_hashes", "i8", (RING_SLOTS, N_ATTRIBUTES)),
        ("pane_count", "i8", (N_LEVELS,)),
        ("pane", "i8", (N_LEVELS, PANE_SLOTS, PANE_FIELDS)),
        ("pane_bits", "u1", (N_LEVELS, PANE_SLOTS, N_ATTRIBUTES, BITMAP_BYTES)),
        ("position_time", "i8"),
        ("lat", "i8"),
        ("lon", "i8"),
        ("decayed", "i8"),
        ("ids_start", "i8"),
        ("ids_count", "i8"),
        ("ids_newest", "i8"),
        ("id_time", "i8", (ID_SLOTS,)),
        ("id_hash", "i8", (ID_SLOTS,)),
        ("id_digest", "i8", (ID_SLOTS,)),
    ],
    align=True,
)
"""One decoded partial. Ring and ids are circular, oldest at ``_start``; pane i is in slot i mod ``PANE_SLOTS``."""

MERGED = np.dtype(
    [
        ("ring_count", "i8"),
        ("ring_time", "i8", (MERGED_RING,)),
        ("ring_amount", "i8", (MERGED_RING,)),
        ("ring_flags", "i8", (MERGED_RING,)),
        ("ring_hashes", "i8", (MERGED_RING, N_ATTRIBUTES)),
        ("pane_count", "i8", (N_LEVELS,)),
        ("pane", "i8", (N_LEVELS, MERGED_SLOTS, PANE_FIELDS)),
        ("pane_bits", "u1", (N_LEVELS, MERGED_SLOTS, N_ATTRIBUTES, BITMAP_BYTES)),
        ("position_time", "i8"),
        ("lat", "i8"),
        ("lon", "i8"),
        ("decayed", "i8"),
        ("decayed_cell", "i8"),
    ],
    align=True,
)
"""The other partitions' partials of one entity, added up; fixed during a batch."""

VIEW = np.dtype(
    [
        ("count", "i8", (N_LEVELS,)),
        ("sum", "i8", (N_LEVELS,)),
        ("squares", "i8", (N_LEVELS,)),
        ("min", "i8", (N_LEVELS,)),
        ("max", "i8", (N_LEVELS,)),
        ("flags", "i8", (N_LEVELS, N_FLAGS)),
        ("oldest", "i8", (N_LEVELS,)),
        ("distinct", "i8", (N_LEVELS, N_ATTRIBUTES)),
        ("newest", "i8"),
        ("seen_level", "i8", (N_ATTRIBUTES,)),
        ("seen_in_panes", "i8", (N_LEVELS, N_ATTRIBUTES)),
        ("refunds", "i8", (N_LEVELS,)),
        ("refund_sum", "i8", (N_LEVELS,)),
        ("coarse", "i8", (N_LEVELS,)),
        ("pane_newest", "i8", (N_LEVELS,)),
        ("bits", "u1", (N_LEVELS, N_ATTRIBUTES, BITMAP_BYTES)),
        ("generation", "i8"),
        ("mask", "i8"),
        ("table_stamp", "i8", (N_ATTRIBUTES, TABLE_SLOTS)),
        ("table_hash", "i8", (N_ATTRIBUTES, TABLE_SLOTS)),
        ("table_level", "i8", (N_ATTRIBUTES, TABLE_SLOTS)),
    ],
    align=True,
)
"""All events of the entity but the one at hand, per window ending at its time."""

RISK = np.dtype(
    [
        ("generation", "i8"),
        ("stamp", "i8", (LABEL_LEVELS, LABEL_SLOTS)),
        ("index", "i8", (LABEL_LEVELS, LABEL_SLOTS)),
        ("count", "i8", (LABEL_LEVELS, LABEL_SLOTS)),
        ("fraud", "i8", (LABEL_LEVELS, LABEL_SLOTS)),
        ("newest", "i8"),
    ],
    align=True,
)
"""Label counts of one entity by pane of the transactions' event time."""


@dataclass(frozen=True)
class Scratch:
    """Working memory for one call of the kernel, about 1.5 MB."""

    own: Record
    other: Record
    merged: Record
    view: Record
    risk: Record
    row: Record


def build_record(kind: np.dtype[Any]) -> Record:
    """Return one zeroed record; with compiled code off, one whose fields Python can name."""
    return np.zeros(1, dtype=(NamedRecord, kind) if INTERPRETED else kind)[0]


def build_scratch() -> Scratch:
    """Return fresh working memory in which every pane is marked empty."""
    scratch = Scratch(*(build_record(kind) for kind in (STATE, STATE, MERGED, VIEW, RISK, ROW)))
    for record in (scratch.own, scratch.other, scratch.merged):
        record["pane"][:, :, 0] = NEVER
    return scratch
