"""Placeholder ids join no strangers, in transactions, in labels and in what they tell apart; real ids do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments import FEATURE_NAMES, FEATURES, MINUTE_MS, Entity
from tests.unit.streaming.streams import START_MS, Driver, build, event, record_batch
from weir.schemas.avro.codec import BatchCodec
from weir.schemas.contracts import event_schemas
from weir.schemas.placeholders import BUILT_IN, Placeholders
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import merchant, payments
from weir.streaming.core.backfill import backfill
from weir.streaming.core.kernel import Kernel
from weir.streaming.kernels import shipped_kernel

IDS = {"customer_id": Entity.CUSTOMER, "merchant_id": Entity.MERCHANT, "device_id": Entity.DEVICE, "ip": Entity.IP}
VALUES = ("null", " UNKNOWN ", "N/A", "0.0.0.0", "(none)", "00000000-0000-0000-0000-000000000000", "-")


def _strangers(field: str, values: list[str | None]) -> list[dict[str, object]]:
    """Payments of strangers who share nothing but, perhaps, one id."""
    return [
        event(
            START_MS + number * MINUTE_MS,
            **{name: f"{name}-{number}" for name in ("card_id", *IDS)} | {field: value},
        )
        for number, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize("field", IDS)
@given(values=st.lists(st.sampled_from(VALUES), min_size=2, max_size=6))
@settings(max_examples=10, deadline=None)
def test_strangers_with_placeholders_never_see_each_other(field: str, values: list[str]) -> None:
    stepped = Driver().run(_strangers(field, list(values)))
    alone = Driver().run(_strangers(field, [None] * len(values)))
    assert stepped.features.tobytes() == alone.features.tobytes()
    own = [column for column, feature in enumerate(FEATURES) if feature.entity is IDS[field]]
    assert np.isnan(stepped.features[:, own]).all()


@pytest.mark.parametrize("field", IDS)
def test_strangers_with_one_real_id_do(field: str) -> None:
    last = Driver().run(_strangers(field, ["real"] * 3)).features[-1]
    assert last[FEATURE_NAMES.index(f"{IDS[field]}_event_count_1h")] == 3


@pytest.mark.parametrize("field", IDS)
def test_no_partial_is_kept_for_a_placeholder(field: str) -> None:
    events = _strangers(field, ["null", "real", "None", "real"])
    for partitions in ([0, 0, 0, 0], [0, 1, 2, 0]):
        batch = build([one | {"partition": at} for one, at in zip(events, partitions, strict=True)])
        index = batch.entities[IDS[field]]
        assert set(index.ids) == {"real"}
        assert [code >= 0 for code in index.codes.tolist()] == [False, True, False, True]


def test_a_placeholder_is_neither_distinct_nor_new() -> None:
    seen = [
        event(START_MS + number * MINUTE_MS, device_id=value) for number, value in enumerate(["d-1", "null", "nil"])
    ]
    last = Driver().run(seen).features[-1]
    assert last[FEATURE_NAMES.index("card_device_distinct_1d")] == 1
    missing = Driver().run([one | {"device_id": None if n else "d-1"} for n, one in enumerate(seen)]).features[-1]
    assert last.tobytes() == missing.tobytes()


def test_a_card_that_was_counted_under_a_placeholder_keeps_its_state() -> None:
    batch = build([event(card_id="null"), event(START_MS + 1, card_id="null")])
    assert batch.entities[Entity.CARD].ids == ["null"]
    assert batch.hashes[payments.attribute_fields.index("card_id")].tolist() == [0, 0]


def test_what_a_deployment_adds_joins_nobody_either() -> None:
    rows = record_batch(_strangers("device_id", ["POS-1", "pos-1 "]))
    column = FEATURE_NAMES.index("device_event_count_1h")
    for ours, expected in ((BUILT_IN, [1.0, 1.0]), (Placeholders.adding(["pos-1"]), [np.nan, np.nan])):
        found = np.concatenate(
            [done.features for _, done in backfill(shipped_kernel(), [rows], None, placeholders=ours)]
        )[:, column]
        np.testing.assert_array_equal(found, expected)


def test_zeros_are_an_id_unless_an_entity_says_otherwise() -> None:
    """Of devices of payments zeros are nobody; of clicks a device is an attribute, and nothing is said of it."""
    schema = BatchCodec(schema=event_schemas(clicks)[-1]).arrow_schema
    row = {"click_id": "c", "customer_id": "v", "event_time_ms": START_MS, "page": "/", "dwell_ms": 1, "device_id": "0"}
    batch = pa.RecordBatch.from_pylist([row], schema=schema)
    built = Kernel(clicks).build_events(
        batch,
        append_time_ms=np.array([START_MS]),
        partition=0,
        body_digest=np.zeros(1, np.uint32),
        placeholders=BUILT_IN,
    )
    assert (built.hashes[:, 0] != 0).all()


def test_zeros_of_a_label_are_an_id_unless_its_entity_says_otherwise() -> None:
    shops = replace(merchant, zeros_are_ids=False)
    known = []
    for shop in (merchant, shops):
        entities = [shop if entity is merchant else entity for entity in payments.entities]
        labels = replace(payments.labels, on=[shop])  # type: ignore[type-var] # payments have labels
        features = [f for f in payments.all_features if f.window and f.measure != "label"]
        stream = replace(payments, entities=entities, labels=labels, features=features)
        row = {
            "transaction_id": "t", "card_id": "c", "merchant_id": "0", "device_id": None, "event_time_ms": START_MS,
            "label_time_ms": START_MS, "is_fraud": True, "source": "analyst",
        }  # fmt: skip
        batch = pa.RecordBatch.from_pylist([row], schema=BatchCodec("labels").arrow_schema)
        built = Kernel(stream).label_folder.build(batch, partition=0, placeholders=BUILT_IN)
        known.append(len(built.entities["merchant"]))
    assert known == [1, 0]
