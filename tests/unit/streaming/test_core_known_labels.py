"""History sees each label from the first row at which it was known, however the log is cut, and not one row before."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import DAY_MS, FEATURE_NAMES, HOUR_MS
from tests.unit.streaming.streams import START_MS, Event, event, record_batch
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core import backfill as history
from weir.streaming.core.backfill import backfill
from weir.streaming.kernels import shipped_kernel
from weir.training.history import replay

Label = dict[str, Any]
RISKS = {
    ("merchant_id", "merchant_label_risk_1d"): DAY_MS,
    ("merchant_id", "merchant_label_risk_7d"): 7 * DAY_MS,
    ("merchant_id", "merchant_label_risk_30d"): 30 * DAY_MS,
    ("device_id", "device_label_risk_1d"): DAY_MS,
    ("device_id", "device_label_risk_7d"): 7 * DAY_MS,
    ("device_id", "device_label_risk_30d"): 30 * DAY_MS,
}


def label_of(payment: Event, *, known_ms: int, is_fraud: bool | None = True) -> Label:
    names = ("transaction_id", "card_id", "merchant_id", "device_id", "event_time_ms")
    return {name: payment[name] for name in names} | {"label_time_ms": known_ms, "is_fraud": is_fraud}


def label_table(labels: list[Label]) -> pa.Table:
    schema = pa.schema(
        [(name, pa.string()) for name in ("transaction_id", "card_id", "merchant_id", "device_id")]
        + [("event_time_ms", pa.int64()), ("label_time_ms", pa.int64()), ("is_fraud", pa.bool_())]
    )
    return pa.Table.from_pylist(labels, schema=schema)


def risk_at(labels: list[Label], field: str, payment: Event, window_ms: int, clock_ms: int) -> float:
    """By the newest label of each payment that is known by the clock; whole panes, held back for seven days."""
    newest: dict[str, Label] = {}
    rank = {False: 0, True: 1, None: 2}
    for one in labels:
        if one["label_time_ms"] > clock_ms:
            continue
        best = newest.get(one["transaction_id"])
        if best is None or (one["label_time_ms"], rank[one["is_fraud"]]) > (
            best["label_time_ms"],
            rank[best["is_fraud"]],
        ):
            newest[one["transaction_id"]] = one
    pane_ms, end_ms = window_ms // 30, payment["event_time_ms"] - 7 * DAY_MS
    verdicts = []
    for one in newest.values():
        pane_end = one["event_time_ms"] // pane_ms * pane_ms + pane_ms
        inside = end_ms // pane_ms * pane_ms - window_ms < pane_end <= end_ms
        if one[field] == payment[field] is not None and one["is_fraud"] is not None and inside:
            verdicts.append(one["is_fraud"])
    return sum(verdicts) / len(verdicts) if verdicts else math.nan


def expected_risks(events: list[Event], labels: list[Label]) -> list[list[float]]:
    clock_ms, rows = 0, []
    for payment in events:
        clock_ms = max(clock_ms, payment["event_time_ms"])
        rows.append([risk_at(labels, field, payment, ms, clock_ms) for (field, _), ms in RISKS.items()])
    return rows


def found_risks(batches: list[pa.RecordBatch], labels: list[Label], partitions: int) -> np.ndarray[Any, Any]:
    columns = [FEATURE_NAMES.index(name) for _, name in RISKS]
    steps = [
        step.features[:, columns]
        for _, step in backfill(
            shipped_kernel(), batches, label_table(labels), partitions=partitions, placeholders=BUILT_IN
        )
    ]
    return np.concatenate(steps)


@st.composite
def labelled_logs(draw: st.DrawFn) -> tuple[list[Event], list[Label]]:
    """Payments over 30 days, somewhat out of order, with labels that come days later, are corrected or withdrawn."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    events, labels, now_ms = [], [], START_MS
    for number in range(draw(st.integers(20, 90))):
        now_ms += int(rng.exponential(10 * HOUR_MS))
        payment = event(
            now_ms - int(rng.exponential(HOUR_MS)) * int(rng.integers(2)),
            transaction_id=f"t-{number}",
            card_id=f"c-{rng.integers(6)}",
            merchant_id=f"m-{rng.integers(3)}",
            device_id=[None, "d-1", "d-2"][int(rng.integers(3))],
        )
        events.append(payment)
        for _ in range(int(rng.choice([0, 1, 1, 2]))):
            known_ms = now_ms + DAY_MS + int(rng.exponential(6 * DAY_MS))
            labels.append(
                label_of(payment, known_ms=known_ms, is_fraud=[True, False, None][int(rng.choice([0, 0, 1, 1, 2]))])
            )
    return events, [labels[i] for i in rng.permutation(len(labels))]


@settings(max_examples=20, deadline=None)
@given(log=labelled_logs(), cuts=st.lists(st.integers(1, 90), max_size=5), partitions=st.integers(1, 3))
def test_every_row_sees_exactly_the_labels_known_by_its_time_whatever_the_cuts(
    log: tuple[list[Event], list[Label]], cuts: list[int], partitions: int
) -> None:
    events, labels = log
    bounds = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    batches = [record_batch(events[begin:end]) for begin, end in pairwise(bounds)]
    found = found_risks(batches, labels, partitions)
    np.testing.assert_allclose(found, np.array(expected_risks(events, labels)), rtol=1e-6, equal_nan=True)


def test_the_logs_above_hold_rows_with_a_risk_and_rows_whose_risk_changes_within_a_slice() -> None:
    events = [event(START_MS + day * DAY_MS, transaction_id=f"t-{day}") for day in range(30)]
    labels = [
        label_of(one, known_ms=one["event_time_ms"] + 8 * DAY_MS, is_fraud=i % 2 == 0) for i, one in enumerate(events)
    ]
    risks = found_risks([record_batch(events)], labels, 1)[
        :, list(RISKS).index(("merchant_id", "merchant_label_risk_30d"))
    ]
    assert np.isnan(risks[:8]).all()
    assert not np.isnan(risks[9:]).any()
    assert len(set(risks[9:].tolist())) > 5


@pytest.mark.parametrize("between", [0, 1, 1_998, 1_999, 19_998, 19_999])
def test_a_label_known_after_seven_days_is_seen_after_twenty_however_many_payments_lie_between(between: int) -> None:
    #   a .... 7 d: label of a .... (others, of another merchant) .... 20 d: b
    a = event(START_MS, transaction_id="a", card_id="c-1")
    others = [
        event(START_MS + 1 + i, transaction_id=f"o-{i}", card_id=f"x-{i % 50}", merchant_id="m-9")
        for i in range(between)
    ]
    b = event(START_MS + 20 * DAY_MS, transaction_id="b", card_id="c-2")
    labels = [label_of(a, known_ms=START_MS + 7 * DAY_MS)]
    column = FEATURE_NAMES.index("merchant_label_risk_30d")
    assert (
        found_risks([record_batch([a, *others, b])], labels, 1)[
            -1, list(RISKS).index(("merchant_id", "merchant_label_risk_30d"))
        ]
        == 1.0
    )
    assert (
        replay(shipped_kernel(), [record_batch([a, *others, b])], label_table(labels), BUILT_IN).features[-1, column]
        == 1.0
    )


def test_a_label_is_seen_at_the_very_millisecond_it_was_known_and_not_one_before() -> None:
    #   a .............. known - 1: no     known: yes     late by an hour, but after it in the log: yes
    known_ms = START_MS + 20 * DAY_MS
    a = event(START_MS, transaction_id="a")
    times = (known_ms - 1, known_ms, known_ms - HOUR_MS)
    rows = [a, *(event(ms, transaction_id=f"t-{i}") for i, ms in enumerate(times))]
    risks = found_risks([record_batch(rows)], [label_of(a, known_ms=known_ms)], 1)
    by_row = risks[1:, list(RISKS).index(("merchant_id", "merchant_label_risk_30d"))].tolist()
    assert math.isnan(by_row[0])
    assert by_row[1:] == [1.0, 1.0]


def test_the_size_of_a_slice_changes_no_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(START_MS + i * HOUR_MS, transaction_id=f"t-{i}", card_id=f"c-{i % 7}") for i in range(700)]
    labels = [
        label_of(one, known_ms=one["event_time_ms"] + (5 + i % 9) * DAY_MS, is_fraud=i % 3 == 0)
        for i, one in enumerate(events)
    ]
    whole = found_risks([record_batch(events)], labels, 2)
    for rows in (1, 13, 256):
        monkeypatch.setattr(history, "SLICE_ROWS", rows)
        np.testing.assert_array_equal(found_risks([record_batch(events)], labels, 2), whole)
