"""What cannot be computed is said in a sentence before anything runs, and a hold is part of any declaration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weir.schemas.checks.declaration import ATTRIBUTES_MAX, ENTITIES_MAX, FLAGS_MAX, MEASURES_MAX
from weir.schemas.entity import Aggregate, Entity, Feature
from weir.schemas.errors import Refused
from weir.schemas.expression import col
from weir.schemas.stream import Flag, Labels, Measure, Stream
from weir.schemas.streams.payments import card, customer, device, ip, merchant, payments
from weir.streaming.core.aggregates import ATTRIBUTE, KINDS, LABEL
from weir.streaming.core.kernel import Kernel
from weir.streaming.core.limits import find_faults
from weir.streaming.core.plans import list_subjects

A = Aggregate
OTHERS = [customer, device, ip, merchant]


def declare(
    entity: Entity, measure: str, aggregate: str, windows: str = "1d", *, hold: str = ""
) -> tuple[Feature, ...]:
    return entity.subject(measure).declare(aggregate, windows, hold=hold)


def faults_of(*features: tuple[Feature, ...]) -> list[str]:
    return list(find_faults(replace(payments, features=features, values=[])))


def test_the_shipped_declarations_have_no_fault() -> None:
    assert list(find_faults(payments)) == []


def test_every_aggregate_is_known_and_can_be_declared_of_everything_it_says() -> None:
    assert set(KINDS) | {A.VALUE} == set(Aggregate)
    subjects = list_subjects(payments, merchant)
    for aggregate, kind in KINDS.items():
        for subject in kind.subjects:
            assert faults_of(declare(merchant, subjects[subject][0], aggregate)) == [], (aggregate, subject)


def test_a_stream_without_a_subject_cannot_measure_it() -> None:
    bare = replace(payments, reversal=None, position=None, labels=None, measures=[], flags=[], values=[], features=[])
    left = {kind for kind, names in list_subjects(bare, merchant).items() if names}
    assert left == {"event", ATTRIBUTE}
    (found,) = find_faults(replace(bare, features=[card.position.speed("1d")]))
    assert found == "card_position_speed_1d: expected speed of nothing that is declared, found of position"


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (declare(card, "amount", A.COUNT), "card_amount_count_1d: expected count of event, refund, found of amount"),
        (declare(card, "refund", A.MEAN), "expected mean of amount, found of refund"),
        (declare(card, "ip", A.DISTINCT), "expected distinct of country, device, merchant, found of ip"),
        (declare(card, "event", A.COUNT, "2q"), "expected a window like '5m', '1h' or '30d', found '2q'"),
        (declare(card, "event", A.COUNT, "1s"), "expected a window of 30 panes of whole ms, found '1s'"),
        (declare(card, "event", A.GAP, hold="7d"), "expected no hold, found '7d'; gap cannot be held back"),
        (declare(card, "event", A.COUNT, hold="-1d"), "expected no hold, found '-1d'"),
        (declare(card, "label", A.RISK), "expected risk of nothing that is declared, found of label"),
        (declare(merchant, "label", A.RISK, hold="3d"), "expected the hold of the labels, found '3d'"),
        (declare(merchant, "label", A.RISK, "1h"), "merchant: expected longer windows of label risk, found 1h"),
        (declare(card, "event", A.COUNT, "1m", hold="7d"), "expected a hold of fewer panes, found 1m held back too"),
        (declare(Entity("shop", "shop_id"), "event", A.COUNT), "expected an entity of the stream, found shop"),
        (declare(card, "amount", "over_mean"), "expected an aggregate of KINDS in streaming/core/aggregates.py"),
    ],
)
def test_a_declaration_that_nothing_computes_is_named_with_what_is_missing(
    features: tuple[Feature, ...], sentence: str
) -> None:
    found = next(fault for fault in faults_of(features) if sentence in fault)
    assert found.startswith((features[0].name, f"{features[0].entity}:"))
    with pytest.raises(Refused, match="declarations: "):
        Kernel(replace(payments, features=features, values=[]))


def test_a_feature_declared_twice_and_a_second_half_life_are_named() -> None:
    twice = [declare(card, "event", A.COUNT)] * 2
    assert faults_of(*twice) == ["card_event_count_1d: expected one declaration, found 2"]
    halves = declare(card, "event", A.DECAYED, "1h 1d")
    assert faults_of(halves) == ["card: expected at most 1 half lives, found 2"]


def _crowded(**changes: object) -> Stream:
    return replace(payments, features=[], values=[], **changes)  # type: ignore[arg-type]


def _measures(count: int) -> list[Measure]:
    return [payments.measures[0], *(Measure(f"m{i}", col("mcc"), bound=9) for i in range(1, count))]


def _entities(count: int) -> list[Entity]:
    return [card, *OTHERS, *(Entity(f"e{i}", "ip") for i in range(5, count))]


@pytest.mark.parametrize(
    ("at_the_bound", "above", "sentence"),
    [
        (
            {"flags": [Flag(f"f{i}", col("mcc") == i) for i in range(FLAGS_MAX)]},
            {"flags": [Flag(f"f{i}", col("mcc") == i) for i in range(FLAGS_MAX + 1)]},
            "transactions: expected at most 16 flags, found 17",
        ),
        (
            {"measures": _measures(MEASURES_MAX)},
            {"measures": _measures(MEASURES_MAX + 1)},
            "transactions: expected at most 4 measures, found 5",
        ),
        (
            {"entities": _entities(ENTITIES_MAX)},
            {"entities": _entities(ENTITIES_MAX + 1)},
            "transactions: expected at most 8 entities, found 9",
        ),
        (
            {"entities": [card, *OTHERS, Entity("wide", "ip", [f"a{i}" for i in range(ATTRIBUTES_MAX)])]},
            {"entities": [card, *OTHERS, Entity("wide", "ip", [f"a{i}" for i in range(ATTRIBUTES_MAX + 1)])]},
            "wide: expected at most 8 attributes, found 9",
        ),
        (
            {"entities": [card, *OTHERS, Entity("busy", "ip", recent=255)]},
            {"entities": [card, *OTHERS, Entity("busy", "ip", recent=256)]},
            "busy: expected at most 255 recent events, found 256",
        ),
    ],
)
def test_what_is_at_a_bound_is_taken_and_what_is_above_is_named(
    at_the_bound: dict[str, object], above: dict[str, object], sentence: str
) -> None:
    assert list(find_faults(_crowded(**at_the_bound))) == []
    assert list(find_faults(_crowded(**above))) == [sentence]


def test_an_entity_beyond_the_kernels_room_is_named() -> None:
    holds = [declare(card, "event", A.COUNT, "30d", hold=f"{days}d") for days in (1, 2, 3, 4)]
    assert faults_of(*holds) == ["card: expected at most 3 holds, found 4"]
    windows = [f"{minutes}m" for minutes in range(1, 66)]
    assert faults_of(*(declare(card, "event", A.COUNT, window) for window in windows)) == [
        "card: expected at most 64 features, found 65"
    ]


def test_labels_on_the_key_are_refused() -> None:
    on_key = replace(payments, features=[], labels=Labels("labels.avsc", "is_fraud", on=[card]))
    assert list(find_faults(on_key)) == ["card: expected labels on other entities than the key, found them on the key"]
    assert list_subjects(on_key, card)[LABEL] == ["label"]


def test_a_hold_is_in_the_name_and_label_risk_has_its_own() -> None:
    assert declare(merchant, "event", A.COUNT, "30d", hold="7d")[0].name == "merchant_event_count_30d_held_7d"
    assert declare(merchant, "label", A.RISK, "30d", hold="7d")[0].name == "merchant_label_risk_30d"
