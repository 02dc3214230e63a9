"""The shipped stream is, byte for byte, what was declared before streams were values.

``tests/golden/expected/payments.json`` was written from the declarations of then. A release that changes them writes
it again with the other fixtures; until it does, what compares with them is skipped (``tests/golden/shipped.py``).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests import payments as face
from tests.golden.contracts import observe_declarations
from tests.golden.kept import load
from tests.golden.log import EXPECTED
from tests.golden.shipped import of_the_fixtures
from weir.schemas.declarations_hash import compute_hash, describe_shape, with_placeholders
from weir.schemas.expression import col
from weir.schemas.placeholders import Placeholders
from weir.schemas.stream import Flag, Measure, Stream
from weir.schemas.streams.payments import card, device, merchant, payments

GOLDEN: dict[str, Any] = json.loads((EXPECTED / "payments.json").read_text())


@of_the_fixtures
def test_names_order_windows_and_reasons_are_those_of_before() -> None:
    listed = [[f.name, f.entity, f.measure, f.aggregate, f.window, f.hold_ms // face.DAY_MS, f.why]
              for f in payments.all_features]  # fmt: skip
    assert listed == GOLDEN["features"]
    assert list(payments.windows_ms.items()) == list(GOLDEN["windows_ms"].items())
    assert payments.horizon_ms == GOLDEN["horizon_ms"]


@of_the_fixtures
def test_the_hash_is_the_one_that_state_was_built_under() -> None:
    assert payments.declarations_hash == face.DECLARATIONS_HASH == GOLDEN["declarations_hash"]


@of_the_fixtures
def test_code_that_takes_no_stream_sees_what_it_saw() -> None:
    assert json.loads(json.dumps(observe_declarations())) == GOLDEN
    assert [entity.name for entity in payments.entities] == [e for e in face.Entity if e != payments.event]
    names = {entity.name: entity for entity in payments.entities}
    assert names[face.Entity.CARD] is card


@of_the_fixtures
def test_reason_codes_ids_and_topics_are_those_of_before() -> None:
    kept = load("contracts")["reason codes"]
    assert [f"{name} {code}" for name, code in payments.reason_codes.items()] == kept
    assert payments.id_fields == (
        "transaction_id", "card_id", "customer_id", "merchant_id", "device_id", "ip",
    )  # fmt: skip
    assert payments.zero_fields == {"device_id", "ip"}
    topics = payments.topics
    assert (topics.events, topics.labels, topics.features, topics.decisions) == (
        "transactions", "labels", "features", "decisions",
    )  # fmt: skip
    assert (topics.dlq, topics.labels_dlq, topics.features_dlq) == ("transactions.dlq", "labels.dlq", "features.dlq")


CHANGES: dict[str, dict[str, Any]] = {
    "a feature": {"features": [*payments.all_features, card.event.count("2h")]},
    "their order": {"features": payments.all_features[::-1]},
    "a flag": {"flags": [*payments.flags[:-1], Flag("small", col("amount") <= 300)]},
    "the order of flags": {"flags": payments.flags[::-1]},
    "a measure": {"measures": [Measure("amount", col("amount_minor"), bound=100)]},
    "an entity": {"entities": payments.entities[:-1]},
    "who is shared": {"entities": [replace(card, shared=True), *payments.entities[1:]]},
    "how many are recent": {"entities": [replace(card, recent=48), *payments.entities[1:]]},
    "what is told apart": {"entities": [replace(card, tells_apart=["country"]), *payments.entities[1:]]},
    "whose zeros are ids": {"entities": [replace(card, zeros_are_ids=False), *payments.entities[1:]]},
    "the id": {"id": "customer_id"},
    "the time": {"time": "amount_minor"},
    "the key": {"key": merchant},
    "ids": {"ids": []} | {"entities": [card, device, merchant]},
    "the reversal": {"reversal": None},
    "the position": {"position": None},
    "the labels": {"labels": replace(payments.labels, hold="8d") if payments.labels else None},
    "who has labels": {"labels": replace(payments.labels, on=[device]) if payments.labels else None},
    "how long ids are known": {"duplicates": "2d"},
    "a value": {"values": payments.values[1:]},
}


def _changed(changes: dict[str, Any]) -> Stream:
    stateful = [feature for feature in payments.all_features if feature.aggregate != "value"]
    return replace(payments, **({"features": stateful} | changes))


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_whatever_shapes_state_or_features_changes_the_hash(changes: dict[str, Any]) -> None:
    assert _changed({}).declarations_hash == payments.declarations_hash
    assert _changed(changes).declarations_hash != payments.declarations_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "cards"}, {"schema": "other.avsc"}, {"reasons": {}}, {"keep": []}, {"topic_prefix": "x."},
        {"checks": [col("mcc") > 5]}, {"groups": []},
    ],
)  # fmt: skip
def test_names_and_what_is_passed_on_are_no_part_of_the_hash(changes: dict[str, Any]) -> None:
    assert _changed(changes).declarations_hash == payments.declarations_hash


def test_what_is_pinned_is_the_shape_of_now_and_nothing_else() -> None:
    shape = describe_shape(payments)
    assert json.loads(json.dumps(shape)) == shape
    assert compute_hash(_changed({"features": []})) not in {payments.declarations_hash, GOLDEN["declarations_hash"]}


@of_the_fixtures
def test_added_placeholders_change_the_hash_as_before() -> None:
    added = Placeholders.adding(["pos-default"])
    assert with_placeholders(payments.declarations_hash, added) == face.declarations_hash(added)
    assert load("contracts")["declarations"] == [payments.declarations_hash, face.declarations_hash(added)]
