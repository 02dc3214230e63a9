"""What cannot be computed is said in a sentence before anything runs, and a hold is part of any declaration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weir.schemas.features import ENTITIES, FEATURES, Aggregate, Entity, EntitySpec, Feature
from weir.streaming.core.aggregates import KINDS
from weir.streaming.core.plans import find_faults

A, E = Aggregate, Entity


def declare(entity: Entity, measure: str, aggregate: Aggregate, window: str = "1d", *, hold: int = 0) -> Feature:
    return Feature(entity, measure, aggregate, window, "why", hold)


def faults_of(feature: Feature) -> list[str]:
    return list(find_faults([feature]))


def test_the_shipped_declarations_have_no_fault() -> None:
    assert list(find_faults(FEATURES)) == []


def test_every_aggregate_is_known_and_every_measure_of_it_can_be_declared() -> None:
    assert set(KINDS) | {A.VALUE} == set(Aggregate)
    for aggregate, kind in KINDS.items():
        for measure in kind.measures:
            named = "device" if measure.startswith("an ") else measure
            hold = 7 if aggregate is A.RISK else 0
            assert faults_of(declare(E.MERCHANT, named, aggregate, hold=hold)) == [], (aggregate, measure)


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        (declare(E.CARD, "amount", A.COUNT), "card_amount_count_1d: expected count of event, refund, found of amount"),
        (declare(E.CARD, "refund", A.MEAN), "expected mean of amount, found of refund"),
        (declare(E.CARD, "ip", A.DISTINCT), "expected distinct of country, device, merchant, found of ip"),
        (declare(E.CARD, "event", A.COUNT, "2h"), "expected a window of 1d, 1h, 1m, 30d, 5m, 7d, found '2h'"),
        (declare(E.CARD, "event", A.GAP, hold=7), "expected no hold, found 7 days; gap cannot be held back"),
        (declare(E.CARD, "event", A.COUNT, hold=-1), "expected no hold, found -1 days"),
        (declare(E.CARD, "label", A.RISK, hold=7), "expected an entity with has_labels, found card without"),
        (declare(E.MERCHANT, "label", A.RISK, hold=3), "expected hold=7, found 3"),
        (declare(E.CARD, "event", A.COUNT, "1m", hold=7), "expected a hold of fewer panes, found 1m held back 7 days"),
        (declare(E.TRANSACTION, "event", A.COUNT), "expected an entity of ENTITIES in schemas/features.py"),
        (declare(E.TRANSACTION, "fee", A.VALUE, ""), "found another; add it in streaming/core/values.py"),
        (declare(E.CARD, "amount", A.VALUE, ""), "expected entity transaction, no window and no hold"),
    ],
)
def test_a_declaration_that_nothing_computes_is_named_with_what_is_missing(feature: Feature, sentence: str) -> None:
    (found, *_) = faults_of(feature)
    assert sentence in found
    assert found.startswith((feature.name, "card:"))


def test_an_aggregate_without_code_is_named_with_the_file_where_it_belongs() -> None:
    feature = declare(E.CARD, "amount", "over_mean")  # type: ignore[arg-type] # as a new name in the list would be
    (found,) = faults_of(feature)
    assert found.startswith("card_amount_over_mean_1d: expected an aggregate of KINDS in streaming/core/aggregates.py")
    assert found.endswith("found over_mean; add it there")


def test_a_feature_declared_twice_and_a_second_half_life_are_named() -> None:
    twice = [declare(E.CARD, "event", A.COUNT)] * 2
    assert list(find_faults(twice)) == ["card_event_count_1d: expected one declaration, found 2"]
    halves = [declare(E.CARD, "event", A.DECAYED, window) for window in ("1h", "1d")]
    assert list(find_faults(halves)) == ["card: expected at most 1 half-lives, found 2"]


def test_an_entity_beyond_the_kernels_room_is_named() -> None:
    crowd: list[EntitySpec] = [replace(ENTITIES[0], recent=500), *ENTITIES[1:]]
    assert list(find_faults([], crowd)) == ["card: expected at most 255 recent events, found 500"]
    holds = [declare(E.CARD, "event", A.COUNT, "30d", hold=days) for days in (1, 2, 3, 4)]
    assert list(find_faults(holds)) == ["card: expected at most 3 holds, found 4"]


def test_a_hold_is_in_the_name_and_label_risk_has_its_own() -> None:
    assert declare(E.MERCHANT, "event", A.COUNT, "30d", hold=7).name == "merchant_event_count_30d_held_7d"
    assert declare(E.MERCHANT, "label", A.RISK, "30d", hold=7).name == "merchant_label_risk_30d"
