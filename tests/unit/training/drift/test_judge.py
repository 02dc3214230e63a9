"""Drift is seen within two days, and hardly ever where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.drift.worlds import NAMES, World, count_false_alarms, list_drifted
from weir.schemas.errors import Refused
from weir.training.drift.histograms import Histograms
from weir.training.drift.judge import DAYS, find_drift
from weir.training.drift.measures import compute_psi
from weir.training.drift.reference import read_reference

YEAR_DAYS = 365
FALSE_ALARMS_MAX = 2
SHIFT = 0.5
"""Standard deviations of a normal column: a stability index of 0.25."""


def test_a_simulated_year_has_two_false_alarms_at_most_over_all_columns() -> None:
    assert count_false_alarms(World(1), YEAR_DAYS) <= FALSE_ALARMS_MAX


@pytest.mark.parametrize("seed", range(10))
def test_a_shift_of_one_feature_is_seen_after_two_days_and_named_alone(seed: int) -> None:
    world = World(seed, shifted_from=0, shift=SHIFT)
    reference = world.build_reference()
    days = [world.count_day(reference, number) for number in (1, 0)]
    assert list_drifted(reference, days) == [NAMES[30]]
    planted = find_drift(reference, days)[0]
    assert planted.psi == pytest.approx(0.25, abs=0.12)


def test_the_planted_shift_has_the_index_that_is_promised_to_be_seen() -> None:
    world = World(0, shifted_from=0, shift=SHIFT)
    reference = world.build_reference()
    counts = [world.count_day(reference, number).counts[30] for number in range(60)]
    assert compute_psi(reference.features[NAMES[30]].found, np.sum(counts, axis=0)) == pytest.approx(0.25, abs=0.03)


def test_one_strange_day_is_no_drift() -> None:
    world = World(4, shifted_from=7, shift=1.5)
    reference = world.build_reference()
    usual, strange = (world.count_day(reference, number) for number in (0, 7))
    assert list_drifted(reference, [strange, usual]) == list_drifted(reference, [usual, strange]) == []
    assert list_drifted(reference, [strange, strange]) == [NAMES[30]]


def test_a_weekday_moves_from_day_to_day_as_it_did_before() -> None:
    world = World(5)
    reference = world.build_reference()
    assert reference.features[NAMES[2]].usual > 1
    assert reference.features[NAMES[50]].usual < 0.05


def test_too_few_keys_are_refused_with_what_was_found() -> None:
    world = World(6)
    reference = world.build_reference()
    day = world.count_day(reference, 0)
    few = Histograms([column.bins for column in reference.columns.values()])
    with pytest.raises(Refused, match=f"expected 100 keys or more in each of the last {DAYS} days, found 0"):
        find_drift(reference, [day, few])


def test_a_reference_is_the_same_after_its_way_through_a_manifest_and_a_bad_one_is_refused() -> None:
    reference = World(7).build_reference()
    document = reference.model_dump(mode="json")
    read = read_reference(document, "1")
    assert read == reference
    np.testing.assert_array_equal(read.score.bins, reference.score.bins)
    with pytest.raises(Refused, match="expected reference histograms in the bundle 1, found none"):
        read_reference(None, "1")
    document["score"]["counts"].pop()
    with pytest.raises(Refused, match=r"bundle 1: drift.score: .* two more counts; train again"):
        read_reference(document, "1")
