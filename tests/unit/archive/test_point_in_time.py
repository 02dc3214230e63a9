"""A point-in-time join gives each asked key the row that a search through all rows gives, whatever their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weir.archive.point_in_time import Asked, NewestRows, find_latest

SCHEMA = pa.schema(
    [
        ("card", pa.string()),
        ("time_ms", pa.int64()),
        ("value", pa.float32()),
        ("append_ms", pa.int64()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
    ]
)
CARDS = st.sampled_from(["a", "b", "c", None])
TIMES = st.integers(0, 12)
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
Row = dict[str, Any]


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Rows with few keys and few times, so that many share one; a place is of one row."""
    places = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), unique=True, max_size=25))
    return [
        {
            "card": draw(CARDS),
            "time_ms": draw(TIMES),
            "value": float(number),
            "append_ms": draw(TIMES),
            "partition": partition,
            "offset": offset,
        }
        for number, (partition, offset) in enumerate(places)
    ]


def search(rows: list[Row], card: str | None, newest: int, oldest: int, known: int | None) -> float | None:
    """Return the value that is wanted, found by looking at every row."""
    best: Row | None = None
    for row in rows:
        if card is None or row["card"] != card or not oldest <= row["time_ms"] <= newest:
            continue
        if known is not None and row["append_ms"] > known:
            continue
        if best is None or _order(row) > _order(best):
            best = row
    return None if best is None else best["value"]


def _order(row: Row) -> tuple[int, ...]:
    return row["time_ms"], row["append_ms"], row["partition"], row["offset"]


def join(rows: list[Row], asked: Asked, parts: int) -> list[float | None]:
    newest = NewestRows(asked, SCHEMA, key="card", time="time_ms")
    for part in range(parts):
        newest.add(pa.Table.from_pylist(rows[part::parts], SCHEMA))
    return newest.rows()["value"].to_pylist()


@BUSY
@given(
    rows=tables(),
    asked=st.lists(st.tuples(CARDS, st.integers(-1, 13), st.integers(0, 13)), max_size=12),
    parts=st.integers(1, 9),
    is_known=st.booleans(),
)
def test_each_asked_row_finds_what_a_search_through_all_rows_finds(
    rows: list[Row], asked: list[tuple[str | None, int, int]], parts: int, is_known: bool
) -> None:
    cards = pa.array([card for card, _, _ in asked], pa.string())
    newest = np.array([time for _, time, _ in asked], np.int64)
    oldest = newest - np.array([ttl for _, _, ttl in asked], np.int64)
    found = join(rows, Asked(cards, newest, oldest, newest if is_known else None), parts)
    assert found == [search(rows, card, time, time - ttl, time if is_known else None) for card, time, ttl in asked]


@BUSY
@given(rows=tables())
def test_the_latest_row_of_each_key_is_the_one_that_a_search_finds(rows: list[Row]) -> None:
    latest = find_latest(pa.Table.from_pylist(rows, SCHEMA), ["card"], "time_ms")
    cards = sorted({row["card"] for row in rows if row["card"] is not None})
    assert dict(zip(latest["card"].to_pylist(), latest["value"].to_pylist(), strict=True)) == {
        card: search(rows, card, 12, 0, None) for card in cards
    }
    assert latest["card"].to_pylist() == cards


def test_a_value_comes_back_bit_for_bit() -> None:
    bits = np.array([0x00000001, 0x80000000, 0x7FC00123, 0x3DCCCCCD], np.uint32)
    rows = pa.table(
        {
            "card": pa.array(list("abcd")),
            "time_ms": pa.array([1, 2, 3, 4]),
            "value": pa.array(bits.view(np.float32)),
            "append_ms": pa.array([1, 2, 3, 4]),
            "partition": pa.array([0, 0, 0, 0], pa.int32()),
            "offset": pa.array([0, 1, 2, 3]),
        }
    )
    newest = NewestRows(
        Asked(pa.array(list("dcba")), np.full(4, 9), np.full(4, 0)), rows.schema, key="card", time="time_ms"
    )
    newest.add(rows)
    assert newest.rows()["value"].to_numpy().view(np.uint32).tolist() == bits[::-1].tolist()


@pytest.mark.parametrize("parts", [1, 40])
def test_what_is_kept_does_not_grow_with_the_rows_that_were_seen(parts: int) -> None:
    times = np.arange(4_000)
    rows = pa.table(
        {
            "card": pa.array(["a"] * len(times)),
            "time_ms": pa.array(times),
            "value": pa.array(times.astype(np.float32)),
            "append_ms": pa.array(times),
            "partition": pa.array(np.zeros(len(times), np.int32)),
            "offset": pa.array(times),
        }
    )
    asked = Asked(pa.array(["a"] * 3), np.array([10, 1_999, 9_999]), np.zeros(3, np.int64))
    newest = NewestRows(asked, rows.schema, key="card", time="time_ms")
    for part in range(parts):
        newest.add(rows.slice(part * len(times) // parts, len(times) // parts))
        assert len(newest._kept) <= 6
    assert newest.rows()["value"].to_pylist() == [10.0, 1_999.0, 3_999.0]
