from __future__ import annotations

import numpy as np
import pytest

from tests.payments import DAY_MS, LABEL_HOLD_MS
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training.split import Split, plan_split

MATURITY_MS = 14 * DAY_MS


def _plan(days: int, *, end_ms: int | None = None) -> Split:
    last_ms = days * DAY_MS
    return plan_split(payments, first_ms=0, last_ms=last_ms, end_ms=end_ms or last_ms, maturity_ms=MATURITY_MS)


@pytest.mark.parametrize("days", [48, 60, 90, 400])
def test_intervals_follow_each_other_with_the_hold_and_the_maturity_between(days: int) -> None:
    split = _plan(days)
    assert 0 < split.train.from_ms < split.train.to_ms
    assert split.validation.from_ms - split.train.to_ms == LABEL_HOLD_MS
    assert split.validation.from_ms < split.validation.to_ms
    assert split.test.from_ms - split.validation.to_ms == MATURITY_MS
    assert split.test.from_ms < split.test.to_ms


@pytest.mark.parametrize("days", [48, 90])
def test_every_event_is_mature_at_the_moment_its_label_is_read(days: int) -> None:
    split = _plan(days)
    assert split.cut_ms == split.test.from_ms
    assert split.cut_ms - (split.validation.to_ms - 1) >= MATURITY_MS
    assert split.end_ms - (split.test.to_ms - 1) >= MATURITY_MS


def test_labels_that_arrived_long_after_the_last_event_let_the_test_reach_the_last_event() -> None:
    split = _plan(60, end_ms=200 * DAY_MS)
    assert split.test.to_ms == 60 * DAY_MS + 1


def test_a_history_that_is_too_short_is_refused_with_the_length_it_needs() -> None:
    with pytest.raises(Refused, match=r"expected 4\d days or more, found 30.0"):
        _plan(30)
    assert _plan(47).test.to_ms > 0


def test_an_interval_includes_its_start_and_not_its_end() -> None:
    interval = _plan(90).train
    times = np.array([interval.from_ms - 1, interval.from_ms, interval.to_ms - 1, interval.to_ms])
    assert interval.mask(times).tolist() == [False, True, True, False]
