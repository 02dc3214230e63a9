from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from weir.generators.schedule import BLOCK_RECORDS_MAX, PERIOD_SECONDS, SHAPES, SPIKE_SECONDS, due_ms
from weir.generators.seeds import Floats


def schedule(shape: str, *, rate: float = 100.0, seconds: float = 120.0) -> Floats:
    return np.concatenate(list(due_ms(rate_per_second=rate, seconds=seconds, shape=shape)))


@pytest.mark.parametrize("shape", SHAPES)
def test_send_times_ascend_over_blocks_and_end_in_time(shape: str) -> None:
    due = schedule(shape)
    assert due[0] == 0
    assert (np.diff(due) > 0).all()
    assert due[-1] < 120_000


@pytest.mark.parametrize("rate", [0.5, 3.0, 200.0, 33_333.3])
def test_a_constant_rate_is_evenly_spaced(rate: float) -> None:
    due = schedule("constant", rate=rate, seconds=10.0)
    assert len(due) == np.ceil(rate * 10)
    np.testing.assert_allclose(due, np.arange(len(due)) * 1000 / rate, atol=1e-3)


def test_a_wave_keeps_the_mean_rate_and_swings_around_it() -> None:
    per_second = np.bincount((schedule("wave") / 1000).astype(int))
    assert per_second.sum() == pytest.approx(100 * 120, rel=0.01)
    assert per_second.max() > 160
    assert per_second.min() < 40


def test_a_spike_is_five_times_the_rate_for_some_seconds_of_each_period() -> None:
    """
              ####
    ##########    ########   one period
    """
    per_second = np.bincount((schedule("spike") / 1000).astype(int))
    middle = int(PERIOD_SECONDS / 2)
    np.testing.assert_allclose(per_second[middle : middle + int(SPIKE_SECONDS)], 500, atol=2)
    np.testing.assert_allclose(per_second[: middle - 1], 100, atol=2)


def test_blocks_are_bounded_however_high_the_rate() -> None:
    blocks = list(islice(due_ms(rate_per_second=1_000_000, seconds=0, shape="spike"), 5))
    assert max(len(block) for block in blocks) <= BLOCK_RECORDS_MAX + 1


def test_zero_seconds_go_on_for_ever() -> None:
    assert len(list(islice(due_ms(rate_per_second=10, seconds=0, shape="constant"), 100))) == 100
