"""Labels: any order gives the same counts, and risk looks only at what is held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import DAY_MS, LABEL_HOLD_MS, PANES_PER_WINDOW, Entity
from tests.unit.streaming.streams import START_MS
from weir.schemas.placeholders import BUILT_IN
from weir.streaming.core.labels import LabelBatch
from weir.streaming.kernels import shipped_kernel

Label = dict[str, Any]
HORIZON_END_MS = START_MS + 60 * DAY_MS


def label(number: int = 1, **changes: Any) -> Label:
    base: Label = {
        "transaction_id": f"t-{number}", "card_id": "c-1", "merchant_id": "m-1", "device_id": "d-1",
        "event_time_ms": START_MS, "label_time_ms": START_MS + DAY_MS, "is_fraud": True, "source": "chargeback",
    }  # fmt: skip
    return base | changes


def build_batch(labels: Sequence[Label]) -> LabelBatch:
    schema = pa.schema(
        [(name, pa.string()) for name in ("transaction_id", "card_id", "merchant_id", "device_id")]
        + [("event_time_ms", pa.int64()), ("label_time_ms", pa.int64()), ("is_fraud", pa.bool_())]
    )
    columns = [pa.array([one[name] for one in labels], schema.field(name).type) for name in schema.names]
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    return shipped_kernel().build_labels(batch, partition=0, placeholders=BUILT_IN)


class Labels:
    """Holds label partials of one partition, as the processor and Redis would."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], bytes] = {}

    def fold(self, labels: Sequence[Label]) -> None:
        batch = build_batch(labels)
        indexes = {entity: batch.entities[entity] for entity in shipped_kernel().label_entities}
        own = {e: [self.states.get((e, key), b"") for key in index.ids] for e, index in indexes.items()}
        for entity, values in shipped_kernel().fold_labels(batch, own).items():
            self.states |= {(entity, k): v for k, v in zip(indexes[entity].ids, values, strict=True) if v}

    def risk(self, entity: Entity, key: str, window: str, at_ms: int) -> float | None:
        return shipped_kernel().read(entity, [], [self.states.get((entity, key), b"")], at_ms)[
            f"{entity}_label_risk_{window}"
        ]


def naive_risk(labels: Sequence[Label], field: str, key: str, window_ms: int, at_ms: int) -> float | None:
    """The newest label of each transaction; whole panes within (at - hold - window, at - hold]."""
    newest: dict[str, Label] = {}
    order = {False: 0, True: 1, None: 2}
    for one in labels:
        best = newest.get(one["transaction_id"])
        rank = (one["label_time_ms"], order[one["is_fraud"]])
        if best is None or rank > (best["label_time_ms"], order[best["is_fraud"]]):
            newest[one["transaction_id"]] = one
    pane_ms = window_ms // PANES_PER_WINDOW
    end_ms = at_ms - LABEL_HOLD_MS
    known = []
    for one in newest.values():
        pane_end = one["event_time_ms"] // pane_ms * pane_ms + pane_ms
        if one[field] == key and one["is_fraud"] is not None and end_ms - window_ms < pane_end <= end_ms:
            known.append(one["is_fraud"])
    return sum(known) / len(known) if known else None


@st.composite
def label_streams(draw: st.DrawFn) -> list[Label]:
    """Labels of a few transactions within retention, repeated, corrected and withdrawn, in any order."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    facts: list[dict[str, Any]] = [
        {
            "card_id": f"c-{rng.integers(3)}",
            "merchant_id": f"m-{rng.integers(3)}",
            "device_id": [None, "d-1", "d-2"][int(rng.integers(3))],
            "event_time_ms": START_MS + int(rng.integers(30 * DAY_MS)),
        }
        for _ in range(12)
    ]
    labels = []
    for _ in range(draw(st.integers(1, 40))):
        number = int(rng.integers(len(facts)))
        code = [True, False, None][int(rng.integers(3))]
        later_ms = int(rng.integers(4)) * DAY_MS
        time_ms = facts[number]["event_time_ms"] + later_ms
        labels.append(label(number, is_fraud=code, label_time_ms=time_ms, **facts[number]))
    return labels


@settings(max_examples=40, deadline=None)
@given(labels=label_streams(), data=st.data())
def test_any_order_and_any_cut_of_labels_gives_the_same_bytes(labels: list[Label], data: st.DataObject) -> None:
    in_order, shuffled = Labels(), Labels()
    in_order.fold(labels)
    again = data.draw(st.permutations([*labels, labels[0]]))
    cut = data.draw(st.integers(0, len(again)))
    shuffled.fold(again[:cut])
    shuffled.fold(again[cut:])
    assert in_order.states == shuffled.states


@settings(max_examples=25, deadline=None)
@given(labels=label_streams(), day=st.integers(0, 75))
def test_risk_is_the_fraud_share_of_the_newest_labels(labels: list[Label], day: int) -> None:
    folded = Labels()
    folded.fold(labels)
    newest_ms = max(one["event_time_ms"] for one in labels)
    at_ms = max(newest_ms, START_MS + day * DAY_MS)
    for window, window_ms in (("1d", DAY_MS), ("7d", 7 * DAY_MS), ("30d", 30 * DAY_MS)):
        for key in ("m-0", "m-1", "m-2"):
            expected = naive_risk(labels, "merchant_id", key, window_ms, at_ms)
            assert folded.risk(Entity.MERCHANT, key, window, at_ms) == pytest.approx(expected), (window, key)
        expected = naive_risk(labels, "device_id", "d-1", window_ms, at_ms)
        assert folded.risk(Entity.DEVICE, "d-1", window, at_ms) == pytest.approx(expected)


def test_risk_is_held_back_for_seven_days_by_the_transactions_own_times() -> None:
    #   transaction .... 7 d hold .... visible for one day and a pane at most
    labels = Labels()
    labels.fold([label()])
    pane_ms = DAY_MS // PANES_PER_WINDOW
    assert labels.risk(Entity.MERCHANT, "m-1", "1d", START_MS + LABEL_HOLD_MS - 1) is None
    assert labels.risk(Entity.MERCHANT, "m-1", "1d", START_MS + LABEL_HOLD_MS + pane_ms) == 1.0
    assert labels.risk(Entity.MERCHANT, "m-1", "1d", START_MS + LABEL_HOLD_MS + DAY_MS + pane_ms) is None


def test_a_withdrawn_label_is_as_if_there_had_been_none() -> None:
    labels = Labels()
    at_ms = START_MS + LABEL_HOLD_MS + DAY_MS
    labels.fold([label(1), label(2, is_fraud=False)])
    assert labels.risk(Entity.MERCHANT, "m-1", "30d", at_ms) == 0.5
    labels.fold([label(1, is_fraud=None, label_time_ms=START_MS + 2 * DAY_MS)])
    assert labels.risk(Entity.MERCHANT, "m-1", "30d", at_ms) == 0.0


def test_a_label_older_than_any_window_is_ignored() -> None:
    labels = Labels()
    labels.fold([label(1, event_time_ms=HORIZON_END_MS)])
    before = dict(labels.states)
    labels.fold([label(2, event_time_ms=START_MS)])
    assert labels.states == before


def test_an_empty_batch_of_labels_changes_nothing() -> None:
    labels = Labels()
    labels.fold([])
    assert labels.states == {}


def test_a_transaction_that_only_another_unit_knows_is_found_there() -> None:
    """Of three units: ours, and two that hold a key's labels from before partitions were added."""
    ours, first, second = Labels(), Labels(), Labels()
    ours.fold([label(1), label(2)])
    first.fold([label(2), label(3)])
    second.fold([label(4), label(5, card_id="c-2")])
    asked = build_batch([label(number) for number in range(1, 6)] + [label(5, card_id="c-2")])
    key = shipped_kernel().key
    cards = asked.entities[key].ids
    own = [ours.states.get((key, card), b"") for card in cards]
    others = [[unit.states.get((key, card), b"") for unit in (first, second)] for card in cards]
    # ours knows 1 and 2; 3 is in the first of the others, 4 in the second; 5 is another card's there
    assert shipped_kernel().find_known_elsewhere(asked, own, others).tolist() == [-1, -1, 0, 1, -1, 1]
    assert shipped_kernel().find_known_elsewhere(asked, own, [[] for _ in cards]).tolist() == [-1] * 6
