"""The guard of a canary: rolls back what is worse, soon, and hardly ever what is not."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.training.drift.worlds import World
from weir.training.choosing.guard import Decision, Guard
from weir.training.choosing.watch import read_decisions, watch

KEYS = 3_000
SHARE = 0.2
BATCH = 1_000
ROWS = 20_000
READ = partial(read_decisions, version=("fraud", "2"), key="card_id")


def run_canary(seed: int, *, declined: float = 0.02, more: float = 0.0, failed: float = 0.0) -> tuple[str, int]:
    """Return why a canary was rolled back, and after how many decisions; keys differ in how often they are declined."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.5, 2 * declined, KEYS)
    activity = rng.gamma(0.7, 1, KEYS)  # some keys have ten times the rows of others
    activity /= activity.sum()
    own = rng.random(KEYS) < SHARE
    guard = Guard(None, None, declined_points_max=0.5)
    for begin in range(0, ROWS, BATCH):
        keys = rng.choice(KEYS, BATCH, p=activity)
        rate = rates[keys] + np.where(own[keys], more, 0)
        rows = zip(keys.tolist(), own[keys].tolist(), (rng.random(BATCH) < rate).tolist(), strict=True)
        guard.add([Decision(str(key), of, no, of and rng.random() < failed, 0.1) for key, of, no in rows])
        if reason := guard.judge():
            return reason, begin + BATCH
    return "", ROWS


def test_canaries_that_are_no_worse_stay() -> None:
    assert [seed for seed in range(20) if run_canary(seed)[0]] == []


@pytest.mark.parametrize("seed", range(5))
def test_one_that_declines_three_points_more_goes_before_all_is_decided(seed: int) -> None:
    reason, decided = run_canary(seed, more=0.03)
    assert "declined, of the champion's keys" in reason
    assert decided < ROWS


def test_one_that_gives_no_scores_goes_soon() -> None:
    reason, decided = run_canary(1, failed=0.2)
    assert "without a score" in reason
    assert decided <= 4_000


def _scored(guard: Guard, scores: np.ndarray, *, by_canary: bool) -> None:
    guard.add([Decision(f"{by_canary}-{n}", by_canary, False, False, score) for n, score in enumerate(scores.tolist())])


def test_scores_far_from_the_reference_go_unless_the_champions_went_as_far() -> None:
    world = World(1)
    reference = world.build_reference()
    _, usual, _ = world.build_day(0)
    alike, other, both = (Guard(reference, reference, declined_points_max=0.5) for _ in range(3))
    for guard, theirs, ours in ((alike, usual, usual), (other, usual, usual + 0.1), (both, usual + 0.1, usual + 0.1)):
        _scored(guard, theirs, by_canary=False)
        _scored(guard, ours, by_canary=True)
    assert alike.judge() == both.judge() == ""
    assert "farther from its reference than the champion's" in other.judge()


@pytest.mark.parametrize(("times", "rolled_back"), [(1.0, False), (1.5, True)], ids=["as far", "farther"])
def test_where_both_moved_far_only_what_is_farther_goes(times: float, rolled_back: bool) -> None:
    """New traffic moves both sides from their references; of few keys, two such indices differ by chance."""
    world = World(1)
    reference = world.build_reference()
    _, usual, _ = world.build_day(0)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        guard = Guard(reference, reference, declined_points_max=0.5)
        reasons = []
        for begin in range(0, 1_000, 50):
            for by_canary, own in ((False, 1.0), (True, times)):
                scores = rng.choice(usual, 50) * 1.5 * own
                rows = enumerate(scores.tolist(), begin)
                guard.add([Decision(f"{by_canary}-{key}", by_canary, False, False, score) for key, score in rows])
            reasons.append(guard.judge())
        assert any(reasons) == rolled_back, (seed, reasons)


def test_a_watch_ends_with_the_reason_or_when_somebody_ends_the_canary() -> None:
    rng = np.random.default_rng(3)
    columns = {
        "card_id": [f"card-{n % 900}" for n in range(9_000)],
        "model_name": ["fraud"] * 9_000,
        "model_version": ["2" if n % 900 < 300 else "1" for n in range(9_000)],
        "decision": ["DECLINE" if n % 900 < 300 and rng.random() < 0.2 else "APPROVE" for n in range(9_000)],
        "decided_by": ["model"] * 9_000,
        "score": [None, *[0.5] * 8_999],
    }
    batch = pa.record_batch(columns)
    decisions = list(READ(batch))
    assert sum(each.by_canary for each in decisions) == 3_000
    assert np.isnan(decisions[0].score)
    guards = [Guard(None, None, declined_points_max=0.5) for _ in range(2)]
    batches, times = iter([batch.slice(0, 0), batch]), iter([0, 0, 0, 2])
    reason = watch(guards[0], batches, READ, lambda: False, lambda: next(times))
    assert "declined" in reason
    endless = iter(lambda: batch.slice(0, 0), None)
    asked = iter([False, False, True])
    times = iter(range(100))
    assert watch(guards[1], endless, READ, lambda: next(asked), lambda: next(times)) == ""
    assert guards[1].say().startswith("canary: 0 decisions of 0 keys")
