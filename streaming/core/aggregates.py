"""What each declared aggregate means, given the view of an entity's other events and the event at hand.

``plans.py`` turns the declarations of one entity kind into a table of operations; ``evaluate`` runs it. To add an
aggregate: name it in ``schemas/entity.py``, give it a code here, a line in ``KINDS`` and a branch in one of the
families. What it may be declared of is checked before anything runs, in ``limits.py``.

A window includes the event at hand, except where the aggregate compares the event with the others (NEW, GAP, ZSCORE,
SPEED). NaN is missing. Measures are integers.

Windows are of the events that are no reversals. At a reversal they are those of the events before it, and what weighs
the value or the place at hand (ZSCORE, OVER_MIN, SPEED) is missing; the windows of reversals include it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from weir.schemas.entity import Aggregate
from weir.streaming.core.fold import compute_decayed
from weir.streaming.core.jit import leaf
from weir.streaming.core.layout import (
    BITMAP_BITS,
    BITS_IN_BYTE,
    DECAY_ONE,
    INT64_MAX,
    NEVER,
    NO_COORDINATE,
)
from weir.streaming.core.panes import add_saturating
from weir.streaming.core.risk import compute_risk
from weir.streaming.core.varint import byte_at
from weir.streaming.core.working_memory import Record

COUNT: Final = 0
SUM: Final = 1
MEAN: Final = 2
STD: Final = 3
MIN: Final = 4
MAX: Final = 5
REVERSAL_COUNT: Final = 6
REVERSAL_SUM: Final = 7
RATIO: Final = 10
DISTINCT: Final = 11
NEW: Final = 12
GAP: Final = 13
AGE: Final = 14
ZSCORE: Final = 20
OVER_MIN: Final = 21
DECAYED: Final = 22
SPEED: Final = 23
RISK: Final = 24

EVENT: Final = "event"
MEASURE: Final = "measure"
FLAG: Final = "flag"
ATTRIBUTE: Final = "attribute"
REVERSAL: Final = "reversal"
POSITION: Final = "position"
LABEL: Final = "label"
"""Kinds of what can be measured about an entity; a stream declares the names of some of them."""


@dataclass(frozen=True)
class Kind:
    """What an aggregate can be declared of.

    Attributes:
        subjects: the code of each kind of subject it knows.
        can_hold: its window can end before the event.
        needs_event: it says nothing without an event at hand, so a live look-up leaves it out.
    """

    subjects: Mapping[str, int]
    can_hold: bool = True
    needs_event: bool = False


KINDS: Final[Mapping[Aggregate, Kind]] = {
    Aggregate.COUNT: Kind({EVENT: COUNT, REVERSAL: REVERSAL_COUNT}),
    Aggregate.SUM: Kind({MEASURE: SUM, REVERSAL: REVERSAL_SUM}),
    Aggregate.MEAN: Kind({MEASURE: MEAN}),
    Aggregate.STD: Kind({MEASURE: STD}),
    Aggregate.MIN: Kind({MEASURE: MIN}),
    Aggregate.MAX: Kind({MEASURE: MAX}),
    Aggregate.RATIO: Kind({FLAG: RATIO}),
    Aggregate.DISTINCT: Kind({ATTRIBUTE: DISTINCT}),
    Aggregate.NEW: Kind({ATTRIBUTE: NEW}, needs_event=True),
    Aggregate.GAP: Kind({EVENT: GAP}, can_hold=False),
    Aggregate.AGE: Kind({EVENT: AGE}, can_hold=False),
    Aggregate.ZSCORE: Kind({MEASURE: ZSCORE}, can_hold=False, needs_event=True),
    Aggregate.OVER_MIN: Kind({MEASURE: OVER_MIN}, can_hold=False, needs_event=True),
    Aggregate.DECAYED: Kind({EVENT: DECAYED}, can_hold=False),
    Aggregate.SPEED: Kind({POSITION: SPEED}, can_hold=False, needs_event=True),
    Aggregate.RISK: Kind({LABEL: RISK}, can_hold=False),
}
"""Every aggregate of ``schemas/entity.py`` but the stateless value, which is an expression."""
_WRAPS_BACK_MAX: Final = 2.0**62  # half of what an int64 holds: the float that is compared with it is not exact

EARTH_RADIUS_KM: Final = 6371.0088
SPEED_FLOOR_MS: Final = 60_000
"""Two terminals within a minute: clocks differ by about that, and a shorter interval would only magnify it."""

LINEAR_COUNTS: Final = np.array(
    [
        round(-BITMAP_BITS * math.log((BITMAP_BITS - set_bits) / BITMAP_BITS)) if set_bits < BITMAP_BITS else 1_597
        for set_bits in range(BITMAP_BITS + 1)
    ],
    dtype=np.int64,
)
"""Number of set bits -> estimated number of distinct values. A full bitmap reads as if half a bit were free."""


@leaf
def _compute_deviation(count: int, total: int, squares: int, least: int, most: int) -> float:
    """Population standard deviation from integers; exactly 0 when all values are equal.

    For large values that differ little, the two terms agree in all the digits that a float has.
    """
    if least >= most:
        return 0.0
    spread = float(count) * squares - float(total) * total
    if spread < _WRAPS_BACK_MAX and squares < INT64_MAX:
        # the products may wrap around, but their difference is below 2^63, so it comes out exact
        spread = float(count * squares - total * total)
    return math.sqrt(max(0.0, spread)) / count


@leaf
def _compute_moment(code: int, count: int, level: int, measure: int, view: Record, row: Record) -> float:
    value = row.values[measure]
    total = view.sum[level, measure] + row.present * value
    least = min(view.min[level, measure], value) if row.present == 1 else view.min[level, measure]
    most = max(view.max[level, measure], value) if row.present == 1 else view.max[level, measure]
    if code == MEAN:
        return total / count
    if code == MIN:
        return float(least)
    if code == MAX:
        return float(most)
    squares = add_saturating(view.squares[level, measure], row.present * value * value)
    return _compute_deviation(count, total, squares, least, most)


@leaf
def _compute_total(code: int, level: int, measure: int, view: Record, row: Record) -> float:
    count = view.count[level] + row.present
    if code == COUNT:
        return float(count)
    if code == SUM:
        return float(view.sum[level, measure] + row.present * row.values[measure])
    if code == REVERSAL_COUNT:
        return float(view.reversals[level] + row.reversal)
    if code == REVERSAL_SUM:
        return float(view.reversed[level] + row.reversal * abs(row.values[measure]))
    if count == 0:
        return math.nan
    return _compute_moment(code, count, level, measure, view, row)


@leaf
def _compute_distinct(level: int, attribute: int, view: Record, row: Record) -> float:
    value_hash = row.hashes[attribute] if row.present == 1 else 0
    if view.coarse[level] == 0:
        return float(view.distinct[level, attribute] + (value_hash != 0 and view.seen_level[attribute] > level))
    bits = view.bits[level, attribute]
    total = 0
    for byte in bits:
        total += BITS_IN_BYTE[byte]
    if value_hash != 0:
        bit = value_hash % BITMAP_BITS
        total += 1 - ((byte_at(bits, bit >> 3) >> (bit & 7)) & 1)
    return float(LINEAR_COUNTS[total])


@leaf
def _compute_new(level: int, attribute: int, view: Record, row: Record) -> float:
    if row.hashes[attribute] == 0:
        return math.nan
    seen = view.seen_level[attribute] <= level or view.seen_in_panes[level, attribute] == 1
    return 0.0 if seen else 1.0


@leaf
def _compute_gap(plan: Record, level: int, view: Record, row: Record) -> float:
    """From the ring if any of its events is in the window, else from the end of the newest pane."""
    newest = view.newest
    if newest == NEVER or row.time - newest >= plan.level_ms[level]:
        newest = view.pane_newest[level]
    return math.nan if newest == NEVER else (row.time - newest) / 1000.0


@leaf
def _compute_age(level: int, view: Record, row: Record) -> float:
    if view.oldest[level] == INT64_MAX:
        return 0.0 if row.present == 1 else math.nan
    return (row.time - view.oldest[level]) / 1000.0


@leaf
def _compute_presence(plan: Record, code: int, level: int, subject: int, view: Record, row: Record) -> float:
    if code == RATIO:
        count = view.count[level] + row.present
        carrying = view.flags[level, subject] + row.present * ((row.flags >> subject) & 1)
        return carrying / count if count > 0 else math.nan
    if code == DISTINCT:
        return _compute_distinct(level, subject, view, row)
    if code == NEW:
        return _compute_new(level, subject, view, row)
    return _compute_gap(plan, level, view, row) if code == GAP else _compute_age(level, view, row)


@leaf
def _compute_zscore(level: int, measure: int, view: Record, row: Record) -> float:
    count, total = view.count[level], view.sum[level, measure]
    if count < 2 or row.present == 0:
        return math.nan
    least, most = view.min[level, measure], view.max[level, measure]
    deviation = _compute_deviation(count, total, view.squares[level, measure], least, most)
    if deviation == 0.0:
        return math.nan
    return (row.values[measure] - total / count) / deviation


@leaf
def compute_distance_km(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Great-circle distance by the haversine formula; arguments in 1e-5 degrees."""
    scale = math.pi / 180.0 / 1e5
    half_lat = (lat_b - lat_a) * scale / 2.0
    half_lon = (lon_b - lon_a) * scale / 2.0
    across = math.cos(lat_a * scale) * math.cos(lat_b * scale) * math.sin(half_lon) ** 2
    return 2.0 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, math.sin(half_lat) ** 2 + across)))


@leaf
def _compute_speed(plan: Record, level: int, own: Record, merged: Record, row: Record) -> float:
    time, lat, lon = own.position_time, own.lat, own.lon
    if merged.position_time > time:
        time, lat, lon = merged.position_time, merged.lat, merged.lon
    if row.lat == NO_COORDINATE or time == NEVER or abs(row.time - time) >= plan.level_ms[level]:
        return math.nan
    hours = max(abs(row.time - time), SPEED_FLOOR_MS) / 3_600_000.0
    return compute_distance_km(float(lat), float(lon), float(row.lat), float(row.lon)) / hours


@leaf
def _compute_decayed_count(plan: Record, own: Record, merged: Record, row: Record) -> float:
    """Faded to the event's cell, or to the newest one known if the event is out of order."""
    at = row.time // plan.cell_ms
    latest = max(at, merged.decayed_cell)
    total = 0
    if own.newest != NEVER:
        latest = max(latest, own.newest // plan.cell_ms)
        total += compute_decayed(own.decayed, latest - own.newest // plan.cell_ms)
    if merged.decayed_cell != NEVER:
        total += compute_decayed(merged.decayed, latest - merged.decayed_cell)
    if row.present == 1:
        total += compute_decayed(DECAY_ONE, latest - at)
    return total / DECAY_ONE


@leaf
def _compute_habit(code: int, level: int, measure: int, view: Record, row: Record) -> float:
    if code == ZSCORE:
        return _compute_zscore(level, measure, view, row)
    value = row.values[measure]
    return value / max(1, min(view.min[level, measure], value)) if row.present == 1 else math.nan


@leaf
def evaluate(
    plan: Record,
    view: Record,
    own: Record,
    merged: Record,
    risk: Record,
    row: Record,
    span: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write the entity's features of one look to their columns.

    Args:
        plan: the operations.
        view: the other events, filled by ``look`` for this row.
        own: our partition's partial before this row.
        merged: the other partitions'.
        risk: label counts.
        row: the event at hand.
        span: which operations read this look.
        out: float32, one value per declared feature.
    """
    for position in range(span[0], span[1]):
        code, level = plan.ops[position, 0], plan.ops[position, 1]
        subject, column = plan.ops[position, 2], plan.ops[position, 3]
        if code < RATIO:
            out[column] = _compute_total(code, level, subject, view, row)
        elif code < ZSCORE:
            out[column] = _compute_presence(plan, code, level, subject, view, row)
        elif code < DECAYED:
            out[column] = _compute_habit(code, level, subject, view, row)
        elif code == DECAYED:
            out[column] = _compute_decayed_count(plan, own, merged, row)
        elif code == SPEED:
            out[column] = _compute_speed(plan, level, own, merged, row)
        else:
            out[column] = compute_risk(plan, risk, level, row.time)
