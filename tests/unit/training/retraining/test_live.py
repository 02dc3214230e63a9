"""A shadow is held against the champion on the same events, and what decided too little is not taken for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.inference.bundles import write_bundle
from weir.inference.published.bundles import read_folder
from weir.training.choosing.guard import Decision, Guard
from weir.training.retraining.live import Enough, Pair, read_shadow
from weir.training.thresholds import Thresholds


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    folders = [
        write_bundle(tmp_path / each, version=each, thresholds={"review": 0.1, "decline": decline})
        for each, decline in (("new", 0.6), ("old", 0.9))
    ]
    return Pair(read_folder(folders[0]), read_folder(folders[1]), None)


def _read(pair: Pair) -> list[Decision]:
    batch = pa.record_batch(
        {
            "card_id": ["a", "b", "c", "d"],
            "shadow_model_name": ["tiny", "tiny", "tiny", None],
            "shadow_model_version": ["new", "new", "other", None],
            "shadow_score": [0.7, None, 0.7, None],
            "score": [0.7, 0.95, 0.7, 0.7],
        }
    )
    return list(read_shadow(batch, pair, "card_id"))


def test_a_row_of_the_shadow_is_two_decisions_each_by_its_own_threshold(pair: Pair) -> None:
    found = _read(pair)
    assert [each[:4] for each in found] == [
        ("a", True, True, False),
        ("a", False, False, False),
        ("b", True, False, True),
        ("b", False, True, False),
    ]
    assert np.isnan(found[2].score)


def test_published_thresholds_stand_before_those_of_both(pair: Pair) -> None:
    found = _read(Pair(pair.chosen, pair.champion, Thresholds(0.1, 0.5)))
    assert [each.declined for each in found] == [True, True, False, True]


def _guard(rows: int) -> Guard:
    guard = Guard(None, None, declined_points_max=0.5)
    both: Any = [Decision(f"card-{n}", by, False, False, 0.1) for n in range(rows) for by in (True, False)]
    guard.add(both)
    return guard


def test_it_is_over_when_enough_was_decided_by_enough_keys_or_when_patience_ends() -> None:
    clock = [0.0]
    enough = Enough(200, 60.0, monotonic=lambda: clock[0])
    is_over = enough.start()
    assert not is_over(_guard(150))
    assert is_over(_guard(200))
    assert enough.lack(_guard(200)) == ""
    clock[0] = 61.0
    assert is_over(_guard(150))
    assert enough.lack(_guard(150)) == "expected 200 decisions in 60 s, found 150"
