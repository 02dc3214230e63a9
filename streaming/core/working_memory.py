"""Working memory of the kernel: one record of each kind, reused for every entity of a batch.

Records, not objects: compiled functions take one argument and read ``state.newest`` or ``view.count[level]``. How many
measures, flags, attributes and levels there are is in the records' types, built for the shape of a stream, so compiled
loops over them have constant lengths; what else a stream declares is in the plan. Two streams of one shape share the
machine code.

Nothing here outlives a call except as stale memory that the next decode overwrites.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.interpreted import INTERPRETED, NamedRecord
from weir.streaming.core.jit import SOURCE_STAMP
from weir.streaming.core.layout import BITMAP_BYTES, ID_SLOTS, MEASURE_FIELDS, MERGED_RING, NEVER, PANE_MEASURES

Record = Any
"""A NumPy record of one of the types below; NumPy's own typing does not know its fields."""
Records = NDArray[Any]
"""An array of them."""

TABLE_SLOTS = 4 * MERGED_RING
MAX_OPS = 64
MAX_VIEWS = 4
"""Different holds of one entity's features, none included: each is another look at the entity per event."""
LABEL_LEVELS = 3
LABEL_SLOTS = 512
"""Panes of one risk level within window and hold: 240 for one day held back seven, doubled for skew."""


@dataclass(frozen=True)
class Shape:
    """How much of each there is; at least one, since compiled code knows no empty arrays.

    Attributes:
        measures: values that windows add up.
        flags: conditions that windows count.
        attributes: values told apart, the most of any entity.
        levels: different windows.
        ring_slots: room for an entity's newest events, a power of two.
        pane_slots: room for the panes of a level, a power of two.
    """

    measures: int
    flags: int
    attributes: int
    levels: int
    ring_slots: int
    pane_slots: int

    @property
    def pane_fields(self) -> int:
        """How many integers a pane has."""
        return PANE_MEASURES + MEASURE_FIELDS * self.measures + self.flags


Fields = list[tuple[Any, ...]]


def _build_type(fields: Fields) -> np.dtype[Any]:
    return np.dtype(fields, align=True)


def _list_plan(shape: Shape) -> Fields:
    """What one entity kind keeps and computes; built from the declarations by ``plans.build_plan``.

    ``levels``: 1 where panes are kept. ``kept_ms``: how far back they are. ``bitmaps``: 1 where an attribute's values
    are told apart in panes. ``estimated``: 1 where distinct values of an attribute are counted, so that the ring's bits
    join the panes'. ``attribute_level``: longest level at which an attribute is looked at, -1 for none.
    ``attribute_field``: its row among the batch's hashes, -1 for none. ``recent``: events kept exactly.
    ``ops``: (aggregate, level, subject, column) per feature, by hold: those up to ``view_end[0]`` hold nothing back,
    those up to ``view_end[1]`` hold back ``view_hold_ms[1]``, and so on.
    """
    levels, attributes = shape.levels, shape.attributes
    return [
        (SOURCE_STAMP, "i8"),
        ("level_ms", "i8", (levels,)),
        ("pane_ms", "i8", (levels,)),
        ("levels", "i8", (levels,)),
        ("kept_ms", "i8", (levels,)),
        ("bitmaps", "i8", (levels, attributes)),
        ("estimated", "i8", (levels, attributes)),
        ("attribute_level", "i8", (attributes,)),
        ("attribute_field", "i8", (attributes,)),
        ("recent", "i8"),
        ("horizon_ms", "i8"),
        ("has_position", "i8"),
        ("cell_ms", "i8"),
        ("has_ids", "i8"),
        ("id_horizon_ms", "i8"),
        ("reversal_measure", "i8"),
        ("ops", "i8", (MAX_OPS, 4)),
        ("n_views", "i8"),
        ("view_hold_ms", "i8", (MAX_VIEWS,)),
        ("view_end", "i8", (MAX_VIEWS,)),
        ("n_label_levels", "i8"),
        ("label_level_ms", "i8", (LABEL_LEVELS,)),
        ("label_hold_ms", "i8"),
    ]


def _list_row(shape: Shape) -> Fields:
    """The event at hand. ``present`` is 1 for an event, ``reversal`` for a reversal; a live look-up has neither."""
    return [
        ("time", "i8"),
        ("append_time", "i8"),
        ("values", "i8", (shape.measures,)),
        ("flags", "i8"),
        ("hashes", "i8", (shape.attributes,)),
        ("lat", "i8"),
        ("lon", "i8"),
        ("id_hash", "i8"),
        ("digest", "i8"),
        ("present", "i8"),
        ("reversal", "i8"),
    ]


def _list_events(shape: Shape, ring_slots: int, pane_slots: int) -> Fields:
    """Events as they are, and by pane; pane i is in slot i mod ``pane_slots``."""
    return [
        ("ring_count", "i8"),
        ("ring_time", "i8", (ring_slots,)),
        ("ring_values", "i8", (ring_slots, shape.measures)),
        ("ring_flags", "i8", (ring_slots,)),
        ("ring_hashes", "i8", (ring_slots, shape.attributes)),
        ("pane_count", "i8", (shape.levels,)),
        ("pane", "i8", (shape.levels, pane_slots, shape.pane_fields)),
        ("pane_bits", "u1", (shape.levels, pane_slots, shape.attributes, BITMAP_BYTES)),
        ("position_time", "i8"),
        ("lat", "i8"),
        ("lon", "i8"),
        ("decayed", "i8"),
    ]


def _list_state(shape: Shape) -> Fields:
    """One decoded partial. Ring and ids are circular, oldest at ``_start``."""
    return [
        ("newest", "i8"),
        ("ring_start", "i8"),
        *_list_events(shape, shape.ring_slots, shape.pane_slots),
        ("ids_start", "i8"),
        ("ids_count", "i8"),
        ("ids_newest", "i8"),
        ("id_time", "i8", (ID_SLOTS,)),
        ("id_hash", "i8", (ID_SLOTS,)),
        ("id_digest", "i8", (ID_SLOTS,)),
    ]


def _list_merged(shape: Shape) -> Fields:
    """The other partitions' partials of one entity, added up; fixed during a batch.

    They may be ahead of or behind ours by about a window before their panes contend for a slot.
    """
    return [*_list_events(shape, MERGED_RING, 2 * shape.pane_slots), ("decayed_cell", "i8")]


def _list_view(shape: Shape) -> Fields:
    """All events of the entity but the one at hand, per window ending at its time."""
    levels, attributes = shape.levels, shape.attributes
    return [
        ("count", "i8", (levels,)),
        ("sum", "i8", (levels, shape.measures)),
        ("squares", "i8", (levels, shape.measures)),
        ("min", "i8", (levels, shape.measures)),
        ("max", "i8", (levels, shape.measures)),
        ("flags", "i8", (levels, shape.flags)),
        ("oldest", "i8", (levels,)),
        ("distinct", "i8", (levels, attributes)),
        ("newest", "i8"),
        ("seen_level", "i8", (attributes,)),
        ("seen_in_panes", "i8", (levels, attributes)),
        ("reversals", "i8", (levels,)),
        ("reversed", "i8", (levels,)),
        ("coarse", "i8", (levels,)),
        ("pane_newest", "i8", (levels,)),
        ("bits", "u1", (levels, attributes, BITMAP_BYTES)),
        ("generation", "i8"),
        ("mask", "i8"),
        ("table_stamp", "i8", (attributes, TABLE_SLOTS)),
        ("table_hash", "i8", (attributes, TABLE_SLOTS)),
        ("table_level", "i8", (attributes, TABLE_SLOTS)),
    ]


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
"""Label counts of one entity by pane of the events' time."""


@dataclass(frozen=True)
class Types:
    """The record types of one shape."""

    plan: np.dtype[Any]
    row: np.dtype[Any]
    state: np.dtype[Any]
    merged: np.dtype[Any]
    view: np.dtype[Any]


@lru_cache(maxsize=64)
def build_types(shape: Shape) -> Types:
    """Return the record types of a shape."""
    kinds = (_list_plan, _list_row, _list_state, _list_merged, _list_view)
    return Types(*(_build_type(kind(shape)) for kind in kinds))


class Memory(NamedTuple):
    """Working memory for one call of the kernel, about 1.5 MB for payments; arrays of one record each.

    Compiled code takes its records out: handing one over by itself costs 2 us, ten times as much as an array of it.
    """

    own: Records
    other: Records
    merged: Records
    window: Records
    risk: Records
    row: Records


def build_records(kind: np.dtype[Any]) -> Records:
    """Return an array of one zeroed record; with compiled code off, one whose fields Python can name."""
    return np.zeros(1, dtype=(NamedRecord, kind) if INTERPRETED else kind)


def build_record(kind: np.dtype[Any]) -> Record:
    """Return one zeroed record."""
    return build_records(kind)[0]


def build_memory(types: Types) -> Memory:
    """Return fresh working memory in which every pane is marked empty."""
    kinds = (types.state, types.state, types.merged, types.view, RISK, types.row)
    memory = Memory(*map(build_records, kinds))
    for records in (memory.own, memory.other, memory.merged):
        records["pane"][:, :, :, 0] = NEVER
    return memory
