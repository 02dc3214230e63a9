"""A stream is a value: how it is written, what is derived from it, and where each part was written."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from inspect import currentframe
from typing import Any

import pytest

from weir.schemas.durations import DAY_MS, HOUR_MS
from weir.schemas.entity import Entity, Feature
from weir.schemas.expression import col, money
from weir.schemas.stream import Check, Flag, Labels, Measure, Position, Reversal, Stream, Value
from weir.schemas.streams.payments import payments

card = Entity("card", field="card_id", tells_apart=["merchant_id", "device_id", "country"])
device = Entity("device", field="device_id", tells_apart=["card_id", "customer_id", "merchant_id"], shared=True)
merchant = Entity("merchant", field="merchant_id", tells_apart=["card_id", "device_id", "country"], shared=True)


def build(**changes: object) -> Stream:
    """The example of the documentation."""
    parts: dict[str, object] = {
        "name": "transactions",
        "schema": "transactions.avsc", "id": "transaction_id", "time": "event_time_ms", "key": card,
        "entities": [card, device, merchant],
        "measures": [Measure("amount", money("amount_minor", "currency"))],
        "flags": [
            Flag("declined", col("outcome") == "DECLINED"),
            Flag("foreign", col("issuer_country") != col("country")), Flag("small", col("amount") <= 200),
        ],
        "position": Position("lat", "lon"),
        "checks": [col("mcc").between(0, 9_999), col("country").matches("[A-Z]{2}")],
        "labels": Labels("labels.avsc", verdict="is_fraud", on=[device, merchant]),
        "keep": ["mcc", "channel", "currency", "country"],
        "features": [
            card.event.count("1m 5m 1h 1d 7d 30d", why="a burst compared with the card's own baseline"),
            card.amount.sum("1h 1d 7d 30d", why="how fast a card is being drained"),
            merchant.event.count("30d", hold="7d", why="volume when labels are known"),
            device.card.distinct("1h 1d 7d", why="many cards on one device"),
            merchant.label.risk("1d", why="a compromised merchant shows only when labels arrive"),
            card.position.speed("30d"), card.amount.zscore("30d"), card.event.gap("30d"), card.event.age("30d"),
            card.event.decayed("1h"), card.declined.ratio("1h"),
        ],
    }  # fmt: skip
    return Stream(**(parts | changes))  # type: ignore[arg-type]


def test_an_owner_is_the_features_own_or_the_streams_and_changes_no_hash() -> None:
    features = [card.event.count("1h"), card.amount.sum("1h", owner="treasury")]
    values = [Value("mcc", col("mcc"), owner="merchants")]
    plain = build(features=[card.event.count("1h"), card.amount.sum("1h")], values=[Value("mcc", col("mcc"))])
    owned = build(features=features, values=values, owner="card risk")
    assert [feature.owner for feature in owned.all_features] == ["merchants", "card risk", "treasury"]
    assert owned == plain
    assert hash(owned) == hash(plain)
    assert owned.declarations_hash == plain.declarations_hash
    assert {feature.owner for feature in plain.all_features} == {""}


def test_names_are_derived_in_the_order_of_the_declarations() -> None:
    names = build(values=[Value("mcc", col("mcc"))], event="payment").feature_names
    assert names[:3] == ("payment_mcc", "card_event_count_1m", "card_event_count_5m")
    assert names[11:17] == (
        "merchant_event_count_30d_held_7d", "device_card_distinct_1h", "device_card_distinct_1d",
        "device_card_distinct_7d", "merchant_label_risk_1d", "card_position_speed_30d",
    )  # fmt: skip
    assert len(names) == len(set(names)) == 22


def test_label_risk_takes_the_hold_of_the_labels_and_not_its_name() -> None:
    (risk,) = (f for f in build().all_features if f.aggregate == "risk")
    assert (risk.hold, risk.hold_ms, risk.name) == ("7d", 7 * DAY_MS, "merchant_label_risk_1d")


def test_windows_horizon_ids_and_topics_follow() -> None:
    stream = build(name="cards", ids=["customer_id"])
    assert list(stream.windows_ms) == ["1m", "5m", "1h", "1d", "7d", "30d"]
    assert stream.horizon_ms == 37 * DAY_MS
    assert build(features=[card.event.count("2h")]).windows_ms == {"2h": 2 * HOUR_MS}
    assert build(features=[card.event.count("2h")]).horizon_ms == 30 * DAY_MS
    assert stream.id_fields == ("transaction_id", "card_id", "customer_id", "device_id", "merchant_id")
    assert (stream.topics.events, stream.topics.features, stream.topics.labels_dlq) == (
        "cards", "cards.features", "cards.labels.dlq",
    )  # fmt: skip


def test_a_reason_code_is_derived_unless_the_stream_has_a_word() -> None:
    stream = build(
        reasons={"event.count": "BURST"}, values=[Value("mcc", col("mcc"), code="SHOP"), Value("n", col("mcc"))]
    )
    codes = {f.name: stream.reason_code(f) for f in stream.all_features}
    assert codes["card_amount_sum_1h"] == "CARD_AMOUNT_SUM"
    assert codes["card_event_count_1h"] == codes["card_event_count_1d"] == "CARD_BURST"
    assert (codes["event_mcc"], codes["event_n"]) == ("SHOP", "EVENT_N")


def test_every_part_knows_its_line_and_the_line_is_no_part_of_it() -> None:
    frame = currentframe()
    assert frame is not None
    here = frame.f_lineno
    parts: list[Any] = [
        Entity("a", "a_id"),
        card.event.count("1h")[0],
        card.event.cuont("1h")[0],
        Measure("m", col("m"), 5),
        Flag("f", col("f") == 1),
        Value("v", col("v")),
        Check(col("v") > 5),
        Reversal("r", col("r") < 0, of="m"),
        Position("lat", "lon"),
        Labels("labels.avsc", "is_fraud"),
    ]
    assert [part.where.line - here for part in parts] == list(range(2, 12))
    assert {part.where.file for part in parts} == {__file__}
    for part in parts:
        moved = replace(part, where=card.where)
        assert moved == part
        assert hash(moved) == hash(part)
        assert pickle.loads(pickle.dumps(part)) == copy.deepcopy(part) == part
    assert build() == build()
    assert build().where.file == __file__


def test_expressions_are_compared_by_what_they_say() -> None:
    assert Flag("f", col("a") == 1) == Flag("f", col("a") == 1)
    assert Flag("f", col("a") == 1) != Flag("f", col("a") == 2)
    assert Flag("f", col("a")) != Value("f", col("a"))
    assert build() != build(flags=[])


def test_a_subject_that_is_named_like_a_part_of_an_entity_is_reached_by_name() -> None:
    odd = Entity("shop", "shop_id", tells_apart=["name"])
    assert odd.subject("name").distinct("1d") == (Feature("shop", "name", "distinct", "1d"),)
    assert odd.attributes == {"name": "name"}
    with pytest.raises(AttributeError):
        odd._private  # noqa: B018
    with pytest.raises(AttributeError):
        odd.event._private  # noqa: B018


def test_money_has_a_bound_and_a_bare_check_has_a_reason() -> None:
    stream = build()
    assert stream.measures[0].bound == 100_000_000
    assert [check.reason for check in stream.all_checks] == ["bad_mcc", "bad_country"]
    assert stream.entity("card") is card
    with pytest.raises(KeyError):
        stream.entity("shop")
    assert stream.has_labels(device)
    assert not stream.has_labels(card)


def test_a_copy_of_a_stream_has_the_features_of_the_original() -> None:
    other = replace(payments, name="others")
    assert other.feature_names == payments.feature_names
    assert other.declarations_hash == payments.declarations_hash


def test_a_copy_with_another_part_has_nothing_left_of_the_old_one() -> None:
    other = replace(build(), keep=["mcc"], labels=Labels("labels.avsc", verdict="is_fraud", on=[merchant], hold="3d"))
    assert other.kept_in_decisions == ("transaction_id", "card_id", "mcc")
    assert other.kept_in_rows == ("transaction_id", "card_id", "mcc", "device_id", "merchant_id")
    holds = {each.name: each.hold for each in other.all_features}
    assert (holds["merchant_label_risk_1d"], holds["merchant_event_count_30d_held_7d"]) == ("3d", "7d")
    renamed = replace(build(values=[Value("mcc", col("mcc"))]), event="payment", values=[Value("code", col("mcc"))])
    assert renamed.feature_names[:2] == ("payment_code", "card_event_count_1m")
    assert replace(build(), name="others") == build(name="others")
