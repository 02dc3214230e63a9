from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.payments import DAY_MS
from tests.unit.training.worlds import START_MS, build_world
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training.labels import number_keys
from weir.training.parts import build_parts
from weir.training.search.config import Config
from weir.training.search.folds import Fold, build_folds, plan_folds
from weir.training.split import MATURITY_MS, Interval, Split

MATURITY_DAYS = MATURITY_MS // DAY_MS


def _build(labels: pa.Table | None = None, **asked: object) -> list[Fold]:
    examples, found, _ = build_world(rows=8_000)
    labels = found if labels is None else labels
    split, _ = build_parts(examples, labels, MATURITY_MS)
    return build_folds(examples, labels, split, Config(**asked), payments, MATURITY_MS)  # type: ignore[arg-type]


def _days(positions: np.ndarray) -> np.ndarray:
    return (build_world(rows=8_000)[0].event_time_ms[positions] - START_MS) / DAY_MS


def test_what_judges_is_later_than_what_teaches_by_the_maturity_of_labels() -> None:
    folds = _build()
    assert len(folds) == 3
    for fold in folds:
        gap = _days(fold.judges).min() - _days(fold.teaches).max()
        assert MATURITY_DAYS - 0.1 <= gap <= MATURITY_DAYS + 0.1


def test_folds_roll_on_in_time_and_no_event_judges_twice() -> None:
    folds = _build()
    for earlier, later in pairwise(folds):
        assert earlier.judges.max() < later.judges.min()
        assert len(later.teaches) > len(earlier.teaches)


def test_nothing_of_the_test_interval_teaches_or_judges() -> None:
    examples, labels, _ = build_world(rows=8_000)
    split, _ = build_parts(examples, labels, MATURITY_MS)
    last = max(int(np.concatenate([fold.teaches, fold.judges]).max()) for fold in _build())
    assert examples.event_time_ms[last] < split.validation.to_ms < split.test.from_ms


def test_a_label_that_comes_after_a_fold_begins_to_judge_teaches_nothing_in_it() -> None:
    _, labels, _ = build_world(rows=8_000)
    first = _build()[0]
    begins = int(build_world(rows=8_000)[0].event_time_ms[first.judges[0]])
    late = pc.greater(labels["label_time_ms"], begins)
    flipped = pc.if_else(late, pc.invert(labels["is_fraud"]), labels["is_fraud"])
    changed = _build(labels.set_column(labels.schema.get_field_index("is_fraud"), "is_fraud", flipped))[0]
    np.testing.assert_array_equal(changed.taught, first.taught)
    assert (changed.truth != first.truth).any()


def test_keys_that_are_kept_apart_judge_no_fold_that_they_teach() -> None:
    keys = number_keys(build_world(rows=8_000)[0].keys)
    for fold in _build(keys_apart=True, folds=2):
        assert not set(keys[fold.teaches]) & set(keys[fold.judges])
    assert set(keys[_build()[0].teaches]) & set(keys[_build()[0].judges])


def test_too_many_folds_for_a_history_are_refused_with_what_is_needed() -> None:
    days = Split(Interval(0, 20 * DAY_MS), Interval(27 * DAY_MS, 37 * DAY_MS), Interval(51 * DAY_MS, 60 * DAY_MS), 0, 0)
    assert len(plan_folds(days, 11, MATURITY_MS)) == 11
    with pytest.raises(Refused, match=r"folds: expected 38 days or more before the test, found 37.0; bring a longer"):
        plan_folds(days, 12, MATURITY_MS)


def test_a_fold_with_hardly_any_fraud_is_refused() -> None:
    _, labels, is_fraud = build_world(rows=8_000)
    is_fraud[np.setdiff1d(np.arange(len(is_fraud)), _build(folds=4)[0].judges)] = False
    kept = labels.filter(pa.array(~is_fraud))
    with pytest.raises(Refused, match=r"fold 1: expected 10 or more known frauds that judge it, found \d"):
        _build(kept, folds=4)
