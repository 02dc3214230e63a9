"""Random schedules of the protocol end right, and without any one of its rules some end wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.model.protocol import run_schedule
from tests.model.world import Guard

SEEDS = 2_000
"""Some six seconds on one core."""
SEEDS_WITHOUT_A_GUARD = 1_000
"""Ten times and more what any guard needed to be missed when this was written."""

MET_PER_SEED_MIN = {
    "aborts": 0.5,
    "computed while a commit is under way": 5.0,
    "merged writes": 0.2,
    "refused writes": 0.5,
    "unanswered writes": 0.05,
    "evictions while writes are on their way": 0.5,
    "cold reads before the confirmation": 0.2,
}


def test_every_schedule_ends_with_one_output_per_offset_and_the_fold_of_the_log_in_redis() -> None:
    met: Counter[str] = Counter()
    wrong = {}
    for seed in range(SEEDS):
        ending = run_schedule(seed)
        met += ending.met
        if ending.wrong:
            wrong[seed] = ending.wrong
    assert wrong == {}
    rare = {what: met[what] for what, per_seed in MET_PER_SEED_MIN.items() if met[what] < per_seed * SEEDS}
    assert rare == {}, "the schedules do not meet what they are for"


@pytest.mark.parametrize("guard", Guard, ids=lambda guard: guard.name.lower())
def test_without_a_guard_some_schedule_ends_wrong(guard: Guard) -> None:
    assert any(run_schedule(seed, guard).wrong for seed in range(SEEDS_WITHOUT_A_GUARD))
