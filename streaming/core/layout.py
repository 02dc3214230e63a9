"""What a partial is: the state of one entity, as seen by one input partition, as bytes.

Everything is an integer. ``uv`` is an unsigned LEB128 varint, ``zv`` the same after zigzag, ``u8/u32/u64`` are
little-endian. An entity that was never seen is the empty string. A partial is written once, like this::

    u8  version
    zv  newest event time in ms; every time below is relative to it
    u8  number of events in the ring
    u8  sections that follow the ring: 1 panes, 2 position, 4 decayed count, 8 ids
    RING      newest to oldest; per event
              uv  ms before the previous (newer) one
              u8  bits 0-3 flags; bits 4-6 "attribute a, b, c is the previous event's", then it takes no bytes;
                  bit 7 a refund
              zv  amount in base minor units, not above 0 for a refund
              u32 hash of attribute a, b, c where not the same; 0 is null
    PANES     per level that a declared feature of this entity needs, shortest window first
              uv  number of panes; per pane, newest to oldest
              uv  panes before the previous one (before the newest event's pane for the first)
              uv  2 n + (1 if refunds follow), n payments; n = 1: zv amount, u8 flags; n > 1: zv sum, uv sum of
                  squares (saturating), zv min, uv max - min, uv payments with each of the four flags
              uv  refunds, uv their sum with its sign turned; where there are any
              bitmap per attribute that a declared distinct count or novelty needs at this level:
                  u8 number of set bits if below 32, then their positions, u8 each; else 255 and 32 bytes
    POSITION  uv ms before newest, zv latitude, zv longitude in 1e-5 degrees
    DECAYED   uv count in units of 2**-20, as of the newest event's cell
    IDS       uv number, zv newest append time - newest event time; per id, newest in the log first
              zv ms of append time before the previous one, u64 id hash, u32 digest of the body
    u32 seal: a checksum bound to whose partial this is (``seal.py``)

Invariants:
    The ring holds the newest K events (``EntitySpec.recent``) by (event time, then log order). An event that falls off
    it is added to its pane at every level that still keeps that pane; each event is in the ring or in panes, never
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

from weir.schemas.features import (
    DUPLICATE_HORIZON_MS,
    ENTITIES,
    FEATURES,
    HORIZON_MS,
    LABEL_HOLD_MS,
    PANES_PER_WINDOW,
    WINDOWS_MS,
    Aggregate,
    Entity,
)

VERSION: Final = 2

LEVELS: Final[tuple[str, ...]] = tuple(sorted(WINDOWS_MS, key=WINDOWS_MS.__getitem__))
N_LEVELS: Final = len(LEVELS)
LEVEL_MS: Final = np.array([WINDOWS_MS[name] for name in LEVELS], dtype=np.int64)
PANE_MS: Final = LEVEL_MS // PANES_PER_WINDOW
LONGEST_MS: Final = int(LEVEL_MS[-1])
HORIZON: Final = HORIZON_MS
HOLD: Final = LABEL_HOLD_MS
ID_HORIZON: Final = DUPLICATE_HORIZON_MS

RING_SLOTS: Final = 1 << (max(spec.recent for spec in ENTITIES) - 1).bit_length()
RING_MASK: Final = RING_SLOTS - 1


def longest_hold_ms(entity: Entity, level: str) -> int:
    """Return by how much the features of an entity hold back a window at most; label risk has panes of its own.

    >>> longest_hold_ms(Entity.CARD, "1h")
    0
    """
    of_level = (f for f in FEATURES if f.entity is entity and f.window == level and f.aggregate is not Aggregate.RISK)
    return max((feature.hold_ms for feature in of_level), default=0)


def compute_pane_slots(window_ms: int, hold_ms: int) -> int:
    """Return slots for the panes that overlap a window and its hold.

    31 panes overlap a window of 30. A power of two makes the slot of a pane its number's low bits.

    >>> compute_pane_slots(WINDOWS_MS["30d"], 0), compute_pane_slots(WINDOWS_MS["30d"], WINDOWS_MS["7d"])
    (32, 64)
    """
    live = (window_ms + hold_ms) // (window_ms // PANES_PER_WINDOW) + 1
    return 1 << live.bit_length()


PANE_SLOTS_MAX: Final = 1_024
"""A short window held back for long would have more: they take memory and time in every look-up."""
PANE_SLOTS: Final = min(
    PANE_SLOTS_MAX,  # beyond, the declarations are refused
    max(compute_pane_slots(WINDOWS_MS[n], longest_hold_ms(s.entity, n)) for n in LEVELS for s in ENTITIES),
)
MERGED_SLOTS: Final = 2 * PANE_SLOTS
"""Other partitions may be ahead of or behind ours by about a window before their panes contend for a slot."""
MERGED_RING: Final = 2_048
"""Ring events of other partitions kept apart per entity; beyond (64 busy partitions) they are merged by pane."""
ID_SLOTS: Final = 4_096
"""Ids remembered per card; beyond 4,096 payments of one card within 24 h the oldest is forgotten first."""
ID_MASK: Final = ID_SLOTS - 1

N_ATTRIBUTES: Final = 3
N_FLAGS: Final = 4
FLAG_DECLINED: Final = 1
FLAG_ONLINE: Final = 2
FLAG_FOREIGN: Final = 4
FLAG_SMALL: Final = 8
FLAG_REFUND: Final = 128
"""Not counted like the flags: it says whose windows an event belongs to. An amount may round to 0, so it is kept."""
RING_FLAGS: Final = FLAG_REFUND | (1 << N_FLAGS) - 1
"""Bits of an event's mark that are its flags; the others say which attributes repeat."""
FLAGS: Final[tuple[str, ...]] = ("declined", "online", "foreign", "small")

BITMAP_BITS: Final = 256
BITMAP_BYTES: Final = BITMAP_BITS // 8
BITS_IN_BYTE: Final = np.array([value.bit_count() for value in range(256)], dtype=np.int64)
SPARSE_BITS: Final = 32
"""Below 32 set bits a bitmap is a list of positions, which is shorter than its 32 bytes."""
DENSE_BITMAP: Final = 255

PANE_INDEX: Final = 0
PANE_COUNT: Final = 1
PANE_SUM: Final = 2
PANE_SQUARES: Final = 3
PANE_MIN: Final = 4
PANE_MAX: Final = 5
PANE_REFUNDS: Final = 6
PANE_REFUND_SUM: Final = 7
PANE_FLAGS: Final = 8
PANE_FIELDS: Final = PANE_FLAGS + N_FLAGS

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

assert RING_SLOTS <= 256, "the number of events in the ring is one byte"  # our own bug if a declaration breaks it
assert all(level % PANES_PER_WINDOW == 0 for level in WINDOWS_MS.values()), "panes are whole milliseconds"
