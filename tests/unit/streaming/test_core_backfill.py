"""History through the kernel: the stream's numbers, and no label from the future."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from tests.payments import DAY_MS, FEATURE_NAMES, MINUTE_MS
from tests.unit.streaming.streams import START_MS, Driver, Event, event, random_stream, record_batch
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.backfill import backfill
from weir.streaming.core.hashing import compute_partitions
from weir.streaming.kernels import shipped_kernel


def test_history_gives_the_numbers_that_the_stream_gave() -> None:
    events = [e | {"append_ms": e["event_time_ms"]} for e in random_stream(3, 150) if "t-" in e["transaction_id"]]
    unique = list({e["transaction_id"]: e for e in events}.values())
    streamed = Driver().run(unique, [20, 75])
    replayed = [
        step
        for _, step in backfill(
            shipped_kernel(), [record_batch(unique[:60]), record_batch(unique[60:])], None, placeholders=BUILT_IN
        )
    ]
    np.testing.assert_array_equal(np.concatenate([s.features for s in replayed]), streamed.features)
    np.testing.assert_array_equal(np.concatenate([s.late for s in replayed]), streamed.late)


def test_partitioned_history_gives_a_cards_own_windows_bit_for_bit() -> None:
    events = random_stream(4, 150, cards=8, disorder=False)
    own = [column for column, name in enumerate(FEATURE_NAMES) if name.startswith("card_")]
    one = [step for _, step in backfill(shipped_kernel(), [record_batch(events)], None, placeholders=BUILT_IN)]
    four = [
        step
        for _, step in backfill(shipped_kernel(), [record_batch(events)], None, partitions=4, placeholders=BUILT_IN)
    ]
    whole, cut = (np.concatenate([step.features[:, own] for step in steps]) for steps in (one, four))
    np.testing.assert_array_equal(whole, cut)


def test_partitioned_history_gives_the_numbers_that_as_many_partitions_gave_the_stream() -> None:
    events = [e | {"append_ms": e["event_time_ms"]} for e in random_stream(6, 400, cards=12)]
    events = [e for e in events if "t-" in e["transaction_id"]]
    partitions = compute_partitions(pa.array([e["card_id"] for e in events]), 3).tolist()
    unique = {e["transaction_id"]: e | {"partition": p} for e, p in zip(events, partitions, strict=True)}.values()
    placed, cuts = list(unique), [0, 90, 200, len(unique)]
    streamed = Driver(partitions=3).run(placed, [*cuts, *seconds_apart(placed, cuts)])
    batches = [record_batch(placed[begin:end]) for begin, end in pairwise(cuts)]
    replayed = [step for _, step in backfill(shipped_kernel(), batches, None, partitions=3, placeholders=BUILT_IN)]
    assert len(set(partitions)) == 3
    np.testing.assert_array_equal(np.concatenate([s.features for s in replayed]), streamed.features)
    np.testing.assert_array_equal(np.concatenate([s.late for s in replayed]), streamed.late)


def seconds_apart(events: list[Event], cuts: list[int]) -> list[int]:
    """Where a row is more than a second of the log's own time after the first row since the last cut."""
    found, clock_ms, begun_ms = [], 0, 0
    for at, one in enumerate(events):
        clock_ms = max(clock_ms, one["event_time_ms"])
        if at in cuts or clock_ms > begun_ms + 1_000:
            found.append(at)
            begun_ms = clock_ms
    return found


def test_a_small_partitioned_history_sees_what_other_partitions_counted_a_moment_before() -> None:
    #   one merchant, a payment a minute, cards of four partitions: each sees all before it
    events = [event(START_MS + i * MINUTE_MS, transaction_id=f"t-{i}", card_id=f"c-{i % 12}") for i in range(40)]
    column = FEATURE_NAMES.index("merchant_event_count_1h")
    steps = [
        step
        for _, step in backfill(shipped_kernel(), [record_batch(events)], None, partitions=4, placeholders=BUILT_IN)
    ]
    counts = np.concatenate([step.features[:, column] for step in steps])
    np.testing.assert_array_equal(counts, np.arange(1, 41))


def test_a_label_is_not_seen_before_it_was_known() -> None:
    known_ms = START_MS + 20 * DAY_MS
    labels = pa.table(
        {
            "transaction_id": ["t-0"],
            "card_id": ["c-1"],
            "merchant_id": ["m-1"],
            "device_id": pa.array([None], pa.string()),
            "event_time_ms": [START_MS],
            "label_time_ms": [known_ms],
            "is_fraud": [True],
        }
    )
    batches = [record_batch([event(time_ms)]) for time_ms in (START_MS, known_ms - 1, known_ms)]
    column = FEATURE_NAMES.index("merchant_label_risk_30d")
    risks = [
        float(step.features[0, column])
        for _, step in backfill(shipped_kernel(), batches, labels, placeholders=BUILT_IN)
    ]
    assert np.isnan(risks[:2]).all()
    assert risks[2] == 1.0


def test_partitions_are_those_of_kafkas_murmur2() -> None:
    keys = ["21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string", "abc"]
    expected = [-973932308, -790332482, -985981536, -1486304829, 479470107]  # from Apache Kafka's own unit tests
    found = compute_partitions(pa.array(keys), 2**31 - 1).tolist()
    assert found == [value & 0x7FFFFFFF for value in expected]
