"""What goes wrong on purpose: late and repeated events, and records that must end in the dead letter queue.

Malformed records are made from copies of good events and come on top of them, so that the good ones remain
countable: each of them gets a decision, each malformed one a dead letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from weir.generators.encoding import Encoder
from weir.generators.outgoing import Outgoing
from weir.generators.seeds import Ints
from weir.schemas.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

Row = dict[str, Any]
TEST_CARD_NUMBER = "4111111111111111"
"""The payment industry's published test number: it passes the check digit and belongs to nobody."""
_UNREGISTERED_ID = 0x7FFF_FFF0


@dataclass(frozen=True)
class Faults:
    """Shares of the events, 0 to 1: sent late, out of order, twice, or followed by a malformed copy."""

    late: float = 0.0
    out_of_order: float = 0.0
    duplicates: float = 0.0
    malformed: float = 0.0


NO_FAULTS = Faults()


def compute_shifted_ms(
    rng: np.random.Generator, times_ms: Ints, faults: Faults, horizon_ms: int = payments.horizon_ms
) -> tuple[Ints, Counter[str]]:
    """Return event times of which some are older than when they are sent: out of order, or beyond the horizon."""
    draw = rng.random(len(times_ms))
    late = draw < faults.late
    behind = ~late & (draw < faults.late + faults.out_of_order)
    shifted = times_ms - np.where(behind, rng.integers(SECOND_MS, 30 * MINUTE_MS, len(times_ms)), 0)
    shifted -= np.where(late, horizon_ms + rng.integers(HOUR_MS, 72 * HOUR_MS, len(times_ms)), 0)
    return shifted, Counter(late=int(late.sum()), out_of_order=int(behind.sum()))


def draw_duplicates(rng: np.random.Generator, block: Outgoing, share: float) -> Outgoing:
    """Return some records again, byte for byte, due at any moment between theirs and the block's last."""
    rows = np.flatnonzero(rng.random(len(block)) < share)
    due = block.due_ms[rows] + rng.random(len(rows)) * (block.due_ms[-1] - block.due_ms[rows])
    return _copies(block, rows[np.argsort(due)], np.sort(due), Counter(duplicate=len(rows)))


def _copies(block: Outgoing, rows: Ints, due_ms: Any, kinds: Counter[str]) -> Outgoing:
    numbers = rows.tolist()
    return Outgoing(
        block.topic, due_ms, [block.keys[row] for row in numbers], [block.values[row] for row in numbers], kinds
    )


def draw_malformed(
    rng: np.random.Generator,
    block: Outgoing,
    events: pa.RecordBatch,
    encoder: Encoder,
    share: float,
    *,
    stream: Stream = payments,
) -> Outgoing:
    """Return malformed copies of some of a block's events, the kinds in turn, each due right after its original."""
    rows = np.flatnonzero(rng.random(len(block)) < share)
    names = list(malformed_of(stream))
    first = int(rng.integers(0, len(names)))
    chosen = [names[(first + turn) % len(names)] for turn in range(len(rows))]
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    for name, row in zip(chosen, events.take(pa.array(rows)).to_pylist(), strict=True):
        key, value = make_malformed(name, row, encoder, stream)
        keys.append(key)
        values.append(value)
    return Outgoing(block.topic, block.due_ms[rows], keys, values, Counter(f"malformed.{name}" for name in chosen))


def make_malformed(
    name: str, event: Row, encoder: Encoder, stream: Stream = payments
) -> tuple[bytes | None, bytes | None]:
    """Return key and value of a malformed copy of an event.

    Args:
        name: a key of ``malformed_of``.
        event: the fields of a good event.
        encoder: of the stream's events.
        stream: whose event it is.
    """
    # an id of its own, or the copy would be refused as a repeated event before its own fault is found
    own_id = event if name == "id_reused" else event | {stream.id: f"{event[stream.id]}-{name}"}
    malformed = malformed_of(stream)[name]
    row = malformed.change_row(own_id)
    value = encoder.encode(pa.RecordBatch.from_pylist([row], schema=encoder.arrow_schema))[0]
    key = str(row[stream.key.field]).encode() if malformed.key is None else malformed.key
    return key, malformed.change_bytes(value)


def _same_row(row: Row) -> Row:
    return row


def _same_bytes(value: bytes) -> bytes:
    return value


@dataclass(frozen=True)
class Malformed:
    """One way to be wrong: in a field, in the bytes, or in the key, which is the event's own where it is None."""

    change_row: Callable[[Row], Row] = _same_row
    change_bytes: Callable[[bytes], bytes | None] = _same_bytes
    key: bytes | None = None


def _with(**changes: object) -> Malformed:
    return Malformed(change_row=lambda row: row | changes)


def _another_amount(row: Row) -> Row:
    return row | {"amount_minor": row["amount_minor"] + 1}


_OF_BYTES: dict[str, Malformed] = {
    "empty_value": Malformed(change_bytes=lambda _: b""),
    "null_value": Malformed(change_bytes=lambda _: None),
    "wrong_magic": Malformed(change_bytes=lambda value: b"\x01" + value[1:]),
    "unknown_schema_id": Malformed(change_bytes=lambda v: v[:1] + _UNREGISTERED_ID.to_bytes(4, "big") + v[5:]),
    "truncated": Malformed(change_bytes=lambda value: value[: len(value) // 2]),
    "trailing_bytes": Malformed(change_bytes=lambda value: value + b"\x00\x00\x00"),
    "key_mismatch": Malformed(key=b"key_of_somebody_else"),
}
_OF_PAYMENTS: dict[str, Malformed] = {
    "absurd_refund": _with(amount_minor=-(10**15)),
    "absurd_amount": _with(amount_minor=10**15),
    "unknown_currency": _with(currency="ZZZ"),
    "oversized_id": _with(merchant_id="m" * 10_000),
    "not_a_position": _with(lat=float("nan"), lon=float("nan")),
    "card_number": _with(card_id=TEST_CARD_NUMBER),
    "id_reused": Malformed(change_row=_another_amount),
}


def _of_fields(stream: Stream) -> dict[str, Malformed]:
    """Return what can be wrong with the fields that every event has: id, key and time."""

    def at(change: Callable[[int], int]) -> Malformed:
        return Malformed(change_row=lambda row: row | {stream.time: change(row[stream.time])})

    return {
        f"empty_{stream.id}": _with(**{stream.id: ""}),
        f"empty_{stream.key.field}": _with(**{stream.key.field: ""}),
        # by more than a late event lies in the past, or the copy of one would be sound
        "future_time": at(lambda time_ms: time_ms + 365 * DAY_MS),
        "time_in_seconds": at(lambda time_ms: time_ms // 1_000),
        "time_in_microseconds": at(lambda time_ms: time_ms * 1_000),
    }


def malformed_of(stream: Stream) -> dict[str, Malformed]:
    """Return every way to be wrong that ``--malformed`` mixes into a stream, by name."""
    return _OF_BYTES | _of_fields(stream) | (_OF_PAYMENTS if stream == payments else {})
