"""What a partial is: the state of one entity, as seen by one input partition, as bytes.

Everything is an integer. ``uv`` is an unsigned LEB128 varint, ``zv`` the same after zigzag, ``u8/u32/u64`` are
little-endian. An entity that was never seen is the empty string.

Its size depends on the stream's *shape*: M measures, F flags, A attributes (the most that one of its entities has), at
least one of each. A reversal is an event that takes something back, such as a refund; a stream need not have any, nor a
position. A partial is written once, like this::

    u8  version
    zv  newest event time in ms; every time below is relative to it
    u8  number of events in the ring
    u8  sections that follow the ring: 1 panes, 2 position, 4 decayed count, 8 ids
    RING      newest to oldest; per event
              uv  ms before the previous (newer) one
              marks, (F + A + 1) bits in as few bytes as hold them, lowest first: F flags; A times "the attribute is
                  the previous event's", then it takes no bytes; a reversal
              zv  value of each of M measures
              u32 hash of each of A attributes where not the same; 0 is null
    PANES     per level that a declared feature of this entity needs, shortest window first
              uv  number of panes; per pane, newest to oldest
              uv  panes before the previous one (before the newest event's pane for the first)
              uv  2 n + (1 if reversals follow), n events that are none
                  n = 1: zv value of each measure, flags in as few bytes as hold F bits
                  n > 1: per measure zv sum, uv sum of squares (saturating), zv min, uv max - min; then uv events with
                  each of the flags
              uv  reversals, uv the sum of their sizes by one measure; where there are any
              bitmap per attribute that a declared distinct count or novelty needs at this level:
                  u8 number of set bits if below 32, then their positions, u8 each; else 255 and 32 bytes
    POSITION  uv ms before newest, zv latitude, zv longitude in 1e-5 degrees
    DECAYED   uv count in units of 2**-20, as of the newest event's cell
    IDS       uv number, zv newest append time - newest event time; per id, newest in the log first
              zv ms of append time before the previous one, u64 id hash, u32 digest of the body
    u32 seal: a checksum bound to whose partial this is (``seal.py``)

Payments have one measure, four flags and three attributes: an event's marks are one byte, bit 7 a refund.

Invariants:
    The ring holds the newest K events (``recent`` of the entity) by (event time, then log order). An event that falls
    off it is added to its pane at every level that still keeps that pane; each event is in the ring or in panes, never
    in both.
    A pane of a level with window W is kept while its end is after newest - W - the longest hold of a feature of this
    entity and level. Ring events at or before newest - H go.
    Only the newest event time, never a clock, decides what is forgotten: the bytes are a function of the records alone.
    ``decode`` then ``encode`` gives the same bytes, so they do not depend on how the log was cut into batches.

Exactness: an event leaves the ring when K newer ones are in it, whatever its age, and is then known by pane. A window
ending at t is exact if none of the panes that overlap it holds an event: so while the entity has at most K events per
partition after t - W - W/30, and always where all of its events in H fit into the ring. Beyond, the pane that holds
t - W counts whole: what is counted too much is at most the events of one pane (a thirtieth of the window) before the
window's start, and never too little. An event out of order sees its own pane whole, events after it included; so does
the end of a held window, since t - hold is inside a pane. Distinct counts then come from 256-bit linear counting (a
few percent up to some 200 values, saturating near 1,600).

Risk partials (from labels) and ledgers are described in ``labels.py``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

VERSION: Final = 2

PANES_PER_WINDOW: Final = 30
"""A busy entity falls back to panes of ``window / 30``; only the trailing edge is coarse, by one pane."""


def compute_pane_slots(window_ms: int, hold_ms: int) -> int:
    """Return slots for the panes that overlap a window and its hold.

    31 panes overlap a window of 30. A power of two makes the slot of a pane its number's low bits.

    >>> compute_pane_slots(30_000, 0), compute_pane_slots(30_000, 7_000)
    (32, 64)
    """
    live = (window_ms + hold_ms) // (window_ms // PANES_PER_WINDOW) + 1
    return 1 << live.bit_length()


PANE_SLOTS_MAX: Final = 1_024
"""A short window held back for long would have more: they take memory and time in every look-up."""
MERGED_RING: Final = 2_048
"""Ring events of other partitions kept apart per entity; beyond (64 busy partitions) they are merged by pane."""
ID_SLOTS: Final = 4_096
"""Ids remembered per key; beyond 4,096 events of one key within the horizon the oldest is forgotten first."""
ID_MASK: Final = ID_SLOTS - 1

FLAGS_MAX: Final = 16
REVERSAL: Final = 1 << FLAGS_MAX
"""The bit above all flags. Not counted like them: it says whose windows an event belongs to. A value may round to 0, so
it is kept."""
PACKED_FLAGS: Final = 4
"""Up to this many flags are counted in one integer."""

BITMAP_BITS: Final = 256
BITMAP_BYTES: Final = BITMAP_BITS // 8
BITS_IN_BYTE: Final = np.array([value.bit_count() for value in range(256)], dtype=np.int64)
SPARSE_BITS: Final = 32
"""Below 32 set bits a bitmap is a list of positions, which is shorter than its 32 bytes."""
DENSE_BITMAP: Final = 255

PANE_INDEX: Final = 0
PANE_COUNT: Final = 1
PANE_REVERSALS: Final = 2
PANE_REVERSED: Final = 3
PANE_MEASURES: Final = 4
"""Where the measures' fields begin, ``MEASURE_FIELDS`` for each; the counts of the flags follow."""
PANE_SUM: Final = 0
PANE_SQUARES: Final = 1
PANE_MIN: Final = 2
PANE_MAX: Final = 3
MEASURE_FIELDS: Final = 4

SECTION_PANES: Final = 1
SECTION_POSITION: Final = 2
SECTION_DECAYED: Final = 4
SECTION_IDS: Final = 8

NEVER: Final = -(1 << 62)
"""A time before every time, and the number of no pane."""
INT64_MAX: Final = (1 << 63) - 1
NO_COORDINATE: Final = -(1 << 31)

CELLS_PER_HALF_LIFE: Final = 64
DECAY_ONE: Final = 1 << 20
"""One event; 2**-20 is far below what a float32 feature shows."""
DECAY_MAX: Final = 1 << 38
"""Saturation at 262,144 events within a half-life keeps value times factor inside 63 bits."""
FACTOR_BITS: Final = 24
DECAY_FACTORS: Final = np.array(
    [round((1 << FACTOR_BITS) * 2.0 ** (-cell / CELLS_PER_HALF_LIFE)) for cell in range(CELLS_PER_HALF_LIFE)],
    dtype=np.int64,
)

COUNTED: Final = 0
DUPLICATE: Final = 1
ID_REUSED: Final = 2
