"""The delay curve against a slow computation, and against the truth that it cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.quality.worlds import DAY
from weir.training.quality.delays import DelayCurve


def _reported(seed: int, events: int, *, per_key: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw what is reported of events of the last 25 days, each within 20 days; events of a key come together."""
    rng = np.random.default_rng(seed)
    keys = np.arange(events) // per_key
    delays = (rng.beta(1.5, 3, events) * 20 * DAY).astype(np.int64)[keys * per_key]
    elapsed = (rng.random(events) * 25 * DAY).astype(np.int64)[keys * per_key]
    came = delays <= elapsed
    return delays[came], elapsed[came], keys[came].astype(np.uint64)


def _slow_share(delays: np.ndarray, elapsed: np.ndarray, at: int) -> float:
    share = 1.0
    for delay in sorted(set(delays.tolist())):
        if delay > at:
            at_risk = sum(1 for d, e in zip(delays, elapsed, strict=True) if d <= delay <= e)
            share *= 1 - sum(1 for d in delays if d == delay) / at_risk
    return share


def test_the_curve_is_the_product_over_reverse_time_hazards() -> None:
    delays, elapsed, keys = _reported(1, 150)
    delays, elapsed = delays // DAY, elapsed // DAY  # so that some are equal
    curve = DelayCurve(delays, elapsed, keys, horizon_ms=100)
    for at in range(22):
        slow = _slow_share(delays, elapsed, at)
        assert curve.share(np.array([at]))[0] == pytest.approx(slow, abs=1e-12), at


def test_the_curve_finds_delays_that_young_events_hide() -> None:
    delays, elapsed, keys = _reported(2, 40_000)
    curve = DelayCurve(delays, elapsed, keys, horizon_ms=20 * DAY)
    truth = np.sort(np.random.default_rng(3).beta(1.5, 3, 100_000) * 20 * DAY)
    naive = []
    for days in (2, 5, 10):
        true = np.searchsorted(truth, days * DAY) / len(truth)
        assert curve.share(np.array([days * DAY]))[0] == pytest.approx(true, abs=0.01)
        naive.append((delays <= days * DAY).mean() - true)
    assert max(naive) > 0.03


@pytest.mark.parametrize("per_key", [1, 4])
def test_the_error_is_how_much_the_curve_varies_from_sample_to_sample(per_key: int) -> None:
    at = 3 * DAY
    curves = [DelayCurve(*_reported(seed, 1_200, per_key=per_key), horizon_ms=20 * DAY) for seed in range(10, 130)]
    logs = [np.log(curve.share(np.array([at]))[0]) for curve in curves]
    said = np.mean([curve.error(at) for curve in curves])
    assert said == pytest.approx(np.std(logs), rel=0.2)
