"""The measure of window errors: the truth that it takes is the truth, and no window counts too little."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.bench.windows import Stream, compute_true, draw
from tests.payments import DAY_MS, FEATURES, HOUR_MS, Aggregate

BY_NAME = {feature.name: column for column, feature in enumerate(FEATURES)}


@pytest.fixture(scope="module")
def drawn() -> tuple[Stream, np.ndarray]:
    return draw(cards=40, days=50)


def true(name: str, stream: Stream) -> np.ndarray:
    return compute_true(FEATURES[BY_NAME[name]], stream)


def test_the_truth_of_five_payments_is_counted_by_hand() -> None:
    columns = {
        "card_id": np.array(["c", "c", "d", "c", "c"], object),
        "merchant_id": np.array(["m", "n", "m", "m", "m"], object),
        "outcome": np.array(["DECLINED", "ACCEPTED", "ACCEPTED", "ACCEPTED", "DECLINED"], object),
    }
    times = np.array([0, 1, 2, HOUR_MS, HOUR_MS + 1], np.int64)
    stream = Stream(times, np.array([100.0, 200.0, 50.0, 300.0, 400.0]), columns, pa.table({}))
    assert true("card_event_count_1h", stream).tolist() == [1, 2, 1, 2, 2]
    assert true("card_amount_sum_1h", stream).tolist() == [100, 300, 50, 500, 700]
    assert true("card_merchant_distinct_1h", stream).tolist() == [1, 2, 1, 2, 1]
    assert true("card_declined_ratio_1h", stream).tolist() == [1, 0.5, 0, 0, 0.5]


def test_no_window_of_a_log_in_order_counts_too_little_and_short_ones_of_quiet_cards_are_exact(
    drawn: tuple[Stream, np.ndarray],
) -> None:
    stream, features = drawn
    for name, column in BY_NAME.items():
        feature = FEATURES[column]
        if feature.aggregate is Aggregate.COUNT and feature.measure == "event":
            expected = true(name, stream)
            known = ~np.isnan(expected)
            assert (features[known, column] >= expected[known]).all(), name
    for name in ("card_event_count_1h", "card_event_count_1d", "customer_event_count_1d"):
        np.testing.assert_array_equal(features[:, BY_NAME[name]], true(name, stream))


def test_a_risk_is_true_to_a_pane(drawn: tuple[Stream, np.ndarray]) -> None:
    stream, features = drawn
    expected, found = true("merchant_label_risk_30d", stream), features[:, BY_NAME["merchant_label_risk_30d"]]
    both = ~np.isnan(expected) & ~np.isnan(found)
    assert both.sum() > 1_000
    assert np.quantile(np.abs(expected[both] - found[both]), 0.5) < 0.05
    assert stream.times[both].min() >= stream.times[0] + 7 * DAY_MS
