"""The payments that every contender reads."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.bench.peers.payments import count
from tests.bench.records import draw_payments

NOW_MS = 1_790_000_000_000


def test_a_tenth_of_the_payments_is_on_ten_merchants() -> None:
    payments = draw_payments(2_000, 10_000, now_ms=NOW_MS)
    merchants = Counter(payments["merchant_id"].to_pylist())
    busy = [number for name, number in merchants.items() if name.startswith("mer_busy_")]
    assert payments.num_rows == 10_000
    assert len(busy) == 10
    assert sum(busy) / 10_000 == pytest.approx(0.1, abs=0.015)


def test_the_payments_end_now_in_order_and_none_comes_twice() -> None:
    payments = draw_payments(2_000, 10_000, now_ms=NOW_MS)
    times = payments["event_time_ms"].to_pylist()
    assert times == sorted(times)
    assert NOW_MS - 86_400_000 < times[-1] < NOW_MS
    assert len(set(payments["transaction_id"].to_pylist())) == 10_000


def test_the_same_moment_gives_the_same_payments() -> None:
    assert draw_payments(500, 1_000, now_ms=NOW_MS).equals(draw_payments(500, 1_000, now_ms=NOW_MS))


@pytest.mark.parametrize(("hours_later", "counts"), [(0, (2, 2, 2)), (1, (1, 2, 2)), (24, (1, 1, 2)), (168, (1, 1, 1))])
def test_the_peers_windows_start_anew_at_their_own_widths(hours_later: int, counts: tuple[int, int, int]) -> None:
    # a moment at which all three windows begin
    begin_ms = 604_800_000 * 3_000
    state: dict[str, list[int]] = {}
    count(state, {"event_time_ms": begin_ms, "amount_minor": 5})
    found = count(state, {"event_time_ms": begin_ms + hours_later * 3_600_000, "amount_minor": 7})
    assert tuple(found[f"count_{name}"] for name in ("1h", "24h", "7d")) == counts
    assert found["sum_7d"] == (12 if counts[2] == 2 else 7)
