"""What is remembered of a key's labels, so that repeats, corrections and withdrawals count once in any order.

A ledger is the key's partial in a label unit::

    u8 version, zv newest event time in ms, uv number of entries; per entry, newest first (ties: larger key first)
        uv ms before the previous one (before the newest event time for the first)
        u64 key, u8 code (0 legitimate, 1 fraud, 2 withdrawn), zv label time - event time in ms
    u32 seal

The entry's key is a hash of the event's id, its time and the entities on which risk is kept: a label that names
another merchant for the same payment is about another fact, since only the counts of the label's own merchant can be
corrected.
Of two labels with one key the later label time wins, on a tie the larger code. Entries at or before the newest event
time less (horizon + hold) are dropped and older labels ignored: no risk window reaches them.

**Cost:** a look-up scans the ledger backwards; labels come in about the order of their events.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.streaming.core.jit import SOURCE_STAMP, entry, leaf
from weir.streaming.core.layout import NEVER, VERSION
from weir.streaming.core.passes import Groups, Partials, make_room
from weir.streaming.core.risk import RISK_SIZE_BOUND, Changes, decode_risk, encode_risk, fold_change, reset_risk
from weir.streaming.core.seal import put_seal
from weir.streaming.core.varint import Bytes, byte_at, get_u64, get_uv, get_zv, put_u64, put_uv, put_zv
from weir.streaming.core.working_memory import Record

LEDGER_SLOTS: Final = 8_192
"""Labels remembered per key within horizon and hold; beyond, the oldest event is forgotten first."""
LEGITIMATE: Final = 0
FRAUD: Final = 1
WITHDRAWN: Final = 2
_ENTRY_BYTES: Final = 29

LEDGER = np.dtype(
    [
        (SOURCE_STAMP, "i8"),
        ("newest", "i8"),
        ("count", "i8"),
        ("time", "i8", (LEDGER_SLOTS,)),
        ("key", "i8", (LEDGER_SLOTS,)),
        ("label_time", "i8", (LEDGER_SLOTS,)),
        ("code", "i8", (LEDGER_SLOTS,)),
    ],
    align=True,
)
"""A decoded ledger, entries in ascending order of (time, key)."""


class LabelColumns(NamedTuple):
    """Labels in log order; what they change is written to the last three."""

    time: NDArray[np.int64]
    label_time: NDArray[np.int64]
    key: NDArray[np.int64]
    code: NDArray[np.uint8]
    kept: NDArray[np.bool_]
    count_change: NDArray[np.int8]
    fraud_change: NDArray[np.int8]


@leaf
def _decode_ledger(data: Bytes, at: int, end: int, ledger: Record) -> None:
    ledger.newest = NEVER
    ledger.count = 0
    if at == end:
        return
    if data[at] != VERSION:
        raise ValueError("expected a ledger of this version, found other bytes; rebuild the view from the log")
    ledger.newest, at = get_zv(data, at + 1)
    ledger.count, at = get_uv(data, at)
    time = ledger.newest
    for i in range(ledger.count - 1, -1, -1):
        delta, at = get_uv(data, at)
        time -= delta
        ledger.time[i] = time
        ledger.key[i], at = get_u64(data, at)
        ledger.code[i] = byte_at(data, at)
        delay, at = get_zv(data, at + 1)
        ledger.label_time[i] = time + delay


@leaf
def _encode_ledger(ledger: Record, keep_ms: int, data: Bytes, at: int, seed: np.uint64) -> int:
    begin, first = at, 0
    while first < ledger.count and ledger.time[first] <= ledger.newest - keep_ms:
        first += 1
    data[at] = VERSION
    at = put_zv(data, at + 1, ledger.newest)
    at = put_uv(data, at, ledger.count - first)
    time = ledger.newest
    for i in range(ledger.count - 1, first - 1, -1):
        at = put_uv(data, at, time - ledger.time[i])
        time = ledger.time[i]
        at = put_u64(data, at, ledger.key[i])
        data[at] = ledger.code[i]
        at = put_zv(data, at + 1, ledger.label_time[i] - time)
    return put_seal(data, begin, at, seed)


@leaf
def _is_after(ledger: Record, i: int, time: int, key: int) -> bool:
    return ledger.time[i] > time or (ledger.time[i] == time and ledger.key[i] > key)


@leaf
def _forget_oldest(ledger: Record) -> None:
    """Make room for one entry when the ledger is full."""
    if ledger.count == LEDGER_SLOTS:
        for i in range(1, ledger.count):
            _move(ledger, i, i - 1)
        ledger.count -= 1


@leaf
def _move(ledger: Record, source: int, to: int) -> None:
    ledger.time[to] = ledger.time[source]
    ledger.key[to] = ledger.key[source]
    ledger.label_time[to] = ledger.label_time[source]
    ledger.code[to] = ledger.code[source]


@leaf
def _find_place(ledger: Record, time: int, key: int) -> int:
    """Index of the first entry after (time, key)."""
    at = ledger.count
    while at > 0 and _is_after(ledger, at - 1, time, key):
        at -= 1
    return at


@leaf
def _write_change(columns: LabelColumns, i: int, before: int, after: int) -> None:
    columns.count_change[i] = int(after != WITHDRAWN) - int(before != WITHDRAWN)
    columns.fraud_change[i] = int(after == FRAUD) - int(before == FRAUD)


@leaf
def _fold_label(ledger: Record, keep_ms: int, columns: LabelColumns, i: int) -> None:
    """Enter one label and note what it changes; withdrawn and never labelled count alike."""
    time, key, code = columns.time[i], columns.key[i], byte_at(columns.code, i)
    columns.kept[i] = ledger.newest == NEVER or time > ledger.newest - keep_ms
    if not columns.kept[i]:
        return
    ledger.newest = max(ledger.newest, time)
    at = _find_place(ledger, time, key)
    if at > 0 and ledger.time[at - 1] == time and ledger.key[at - 1] == key:
        newer = columns.label_time[i] > ledger.label_time[at - 1]
        if newer or (columns.label_time[i] == ledger.label_time[at - 1] and code > ledger.code[at - 1]):
            _write_change(columns, i, ledger.code[at - 1], code)
            ledger.label_time[at - 1] = columns.label_time[i]
            ledger.code[at - 1] = code
        return
    _forget_oldest(ledger)
    at = _find_place(ledger, time, key)
    for other in range(ledger.count, at, -1):
        _move(ledger, other - 1, other)
    ledger.time[at], ledger.key[at] = time, key
    ledger.label_time[at], ledger.code[at] = columns.label_time[i], code
    ledger.count += 1
    _write_change(columns, i, WITHDRAWN, code)


@entry
def run_ledgers(
    ledger: Record, keep_ms: int, columns: LabelColumns, groups: Groups, own: Partials
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Enter a batch of labels into the ledgers of its keys; return the new ones end to end, and their offsets.

    Args:
        ledger: working memory.
        keep_ms: horizon and hold: what is older than the newest event time by more goes.
        columns: the labels.
        groups: their rows by key.
        own: one ledger per key.
    """
    size = len(groups.starts) - 1
    out = np.empty(len(own.data) + _ENTRY_BYTES * (len(groups.order) + 1), dtype=np.uint8)
    offsets = np.zeros(size + 1, dtype=np.int64)
    at = 0
    for entity in range(size):
        _decode_ledger(own.data, own.offsets[entity], own.offsets[entity + 1], ledger)
        for i in groups.order[groups.starts[entity] : groups.starts[entity + 1]]:
            _fold_label(ledger, keep_ms, columns, i)
        out = make_room(out, at, 32 + _ENTRY_BYTES * ledger.count)
        at = _encode_ledger(ledger, keep_ms, out, at, groups.seeds[entity])
        offsets[entity + 1] = at
    return out[:at], offsets


@leaf
def _is_known(ledger: Record, columns: LabelColumns, i: int) -> bool:
    time, key = columns.time[i], columns.key[i]
    at = _find_place(ledger, time, key)
    return at > 0 and ledger.time[at - 1] == time and ledger.key[at - 1] == key


@entry
def find_known_elsewhere(
    ledger: Record, columns: LabelColumns, groups: Groups, own: Partials, others: Partials
) -> NDArray[np.int64]:
    """Return per label which of its key's other ledgers knows the fact that our own does not; -1 for none."""
    where = np.full(len(columns.time), -1, dtype=np.int64)
    for entity in range(len(groups.starts) - 1):
        first, last = others.first[entity], others.first[entity + 1]
        rows = groups.order[groups.starts[entity] : groups.starts[entity + 1]]
        for k in range(first, last):
            _decode_ledger(others.data, others.offsets[k], others.offsets[k + 1], ledger)
            for i in rows:
                if _is_known(ledger, columns, i):
                    where[i] = k - first
        if last > first:
            _decode_ledger(own.data, own.offsets[entity], own.offsets[entity + 1], ledger)
            for i in rows:
                if _is_known(ledger, columns, i):
                    where[i] = -1
    return where


@entry
def run_risks(
    plan: Record, risk: Record, changes: Changes, own: Partials, seeds: NDArray[np.uint64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Count what labels changed in the entities that they name; results as ``run_ledgers``."""
    size = len(changes.first)
    out = np.empty(2 * len(own.data) + 64 * (len(changes.time) + 1), dtype=np.uint8)
    offsets = np.zeros(size + 1, dtype=np.int64)
    at = 0
    for entity in range(size):
        reset_risk(risk)
        decode_risk(plan, own.data, own.offsets[entity], own.offsets[entity + 1], risk)
        for i in range(changes.first[entity], changes.end[entity]):
            fold_change(plan, risk, changes, i)
        if risk.newest != NEVER:
            out = make_room(out, at, RISK_SIZE_BOUND)
            at = encode_risk(plan, risk, out, at, seeds[entity])
        offsets[entity + 1] = at
    return out[:at], offsets
