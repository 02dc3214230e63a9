from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.payments import DAY_MS
from tests.unit.generators.worlds import END_MS, events, history, population
from weir.generators.labels import compute_labels


@cache
def all_labels() -> pa.RecordBatch:
    return compute_labels(events(), population())


def fraud_delays_days(source: str | None = None) -> np.ndarray:
    labels = all_labels()
    kept = labels.filter(labels["is_fraud"] if source is None else pc.equal(labels["source"], source))
    return (kept["label_time_ms"].to_numpy() - kept["event_time_ms"].to_numpy()) / DAY_MS


def test_every_payment_gets_exactly_one_label_in_the_end() -> None:
    ids = all_labels()["transaction_id"]
    assert len(ids) == len(events())
    assert pc.count_distinct(ids).as_py() == len(ids)


def test_a_history_holds_only_labels_known_by_its_end_in_the_order_they_became_known() -> None:
    times = history().labels["label_time_ms"].to_numpy()
    assert 0 < len(times) < len(events())
    assert times[-1] <= END_MS
    assert (np.diff(times) >= 0).all()


def test_fraud_is_known_after_about_a_week_with_a_tail_of_months() -> None:
    delays = fraud_delays_days()
    assert 3 < np.median(delays) < 12
    assert np.quantile(delays, 0.99) > 30
    assert delays.max() <= 120


def test_analysts_are_quicker_than_customers_and_customers_than_chargebacks() -> None:
    analyst, customer, chargeback = (np.median(fraud_delays_days(s)) for s in ("analyst", "customer", "chargeback"))
    assert analyst < 0.6 < customer < 4 < chargeback


def test_no_label_is_known_before_its_payment() -> None:
    labels = all_labels()
    assert pc.min(pc.subtract(labels["label_time_ms"], labels["event_time_ms"])).as_py() > 0


def test_honest_payments_mature_after_ten_to_twenty_days() -> None:
    delays = fraud_delays_days("matured")
    assert 10 <= delays.min() < delays.max() <= 20


def test_a_few_labels_are_wrong() -> None:
    truth = dict(zip(history().truth["transaction_id"].to_pylist(), events().fraud.tolist(), strict=True))
    labels = all_labels()
    said = zip(labels["transaction_id"].to_pylist(), labels["is_fraud"].to_pylist(), strict=True)
    wrong = sum(truth[identity] != fraud for identity, fraud in said)
    assert 0 < wrong < 0.001 * len(events())


def test_a_payment_has_the_same_label_however_the_interval_was_cut() -> None:
    part = events().take(slice(100, 200))
    labels = all_labels()
    whole = dict(zip(labels["transaction_id"].to_pylist(), labels["label_time_ms"].to_pylist(), strict=True))
    cut = compute_labels(part, population())
    assert [whole[i] for i in cut["transaction_id"].to_pylist()] == cut["label_time_ms"].to_pylist()
