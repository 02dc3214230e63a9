"""Rows are later than what taught both models, mature, and labelled; what is not is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.inference.bundles import BURST, write_bundle
from weir.inference.bundle import Manifest, load_bundle
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.streams.payments import payments
from weir.training.dataset import Examples
from weir.training.gates import measure
from weir.training.gates.archived import Logged
from weir.training.split import plan_split


def _manifest(folder: Path, **changes: Any) -> Manifest:
    return load_bundle(write_bundle(folder, **changes), stream=payments).manifest


def test_a_model_was_taught_until_its_thresholds_were_chosen(tmp_path: Path) -> None:
    split = plan_split(payments, first_ms=0, last_ms=200 * DAY_MS, end_ms=200 * DAY_MS)
    taught = [split.train.from_ms, split.train.to_ms]
    found = measure.find_taught_until(_manifest(tmp_path / "a", training_interval_ms=taught), payments)
    assert found == pytest.approx(split.validation.to_ms, abs=2)
    assert found < split.test.from_ms
    manifest = _manifest(tmp_path / "b", training_interval_ms=None)
    with pytest.raises(Refused, match="has no training_interval_ms, so no row is known to be later"):
        measure.find_taught_until(manifest, payments)


def _examples(count: int) -> Examples:
    features = np.zeros((count, len(FEATURE_NAMES)), np.float32)
    features[:, 0] = np.arange(count)
    keys = pa.array([f"{number}" for number in range(count)])
    return Examples(features, np.arange(count, dtype=np.int64) * DAY_MS, keys)


def test_only_mature_labelled_rows_after_the_time_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    known = np.tile(np.array([1, 0, -1], np.int8), 40)
    monkeypatch.setattr(measure, "join_labels", lambda *_, **__: known)
    monkeypatch.setattr(measure, "UNKNOWN", -1)
    labels = pa.table({payments.labels.time: pa.array([0])}) if payments.labels else pa.table({})
    found = measure.pick_later(_examples(120), labels, payments, after_ms=30 * DAY_MS, maturity_ms=20 * DAY_MS)
    taken = [number for number in range(30, 100) if number % 3 != 2]
    assert found.features[:, 0].tolist() == taken
    assert found.positive.tolist() == [int(number % 3 == 0) for number in taken]
    with pytest.raises(Refused, match="expected 10 or more known frauds later than what taught the models, found 4"):
        measure.pick_later(_examples(120), labels, payments, after_ms=90 * DAY_MS, maturity_ms=20 * DAY_MS)


def test_logged_vectors_are_scored_again_by_name(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "b"), stream=payments)
    features = np.array([[1.0], [3.0]], np.float32)
    scores = 1 / (1 + np.exp(4 - features[:, 0].astype(np.float64)))
    found = measure.reproduce(bundle, Logged(features, (BURST,), scores))
    assert found.rows == 2
    assert found.difference < 1e-6
    assert measure.reproduce(bundle, Logged(features, (BURST,), scores + 0.1)).difference == pytest.approx(
        0.1, abs=1e-6
    )
    with pytest.raises(Refused, match="the archive has no decision with a score by 1"):
        measure.reproduce(bundle, Logged(features[:0], (BURST,), scores[:0]))
