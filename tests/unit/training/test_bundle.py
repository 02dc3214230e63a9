from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.payments import DECLARATIONS_HASH, FEATURE_NAMES
from weir.schemas.errors import Refused
from weir.training.bundle import Manifest, compute_reference, promote, write_bundle
from weir.training.thresholds import Thresholds


def _manifest(version: str) -> Manifest:
    reference: list[float | None] = [None] * len(FEATURE_NAMES)
    return Manifest(
        "fraud",
        version,
        1,
        Thresholds(0.2, 0.8),
        (0, 10),
        {},
        FEATURE_NAMES,
        reference,
        1e-7,
        DECLARATIONS_HASH,
        {},
        {},
        {},
        None,
    )


def _write(folder: Path, version: str) -> Path:
    return write_bundle(folder, _manifest(version), model_bytes=b"model", card="# card\n", plots={})


def test_a_bundle_says_which_features_in_which_order_and_the_digest_of_its_model(tmp_path: Path) -> None:
    bundle = _write(tmp_path, "1")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["features"] == list(FEATURE_NAMES)
    assert manifest["declarations_hash"] == DECLARATIONS_HASH
    assert manifest["model_sha256"] == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    assert sorted(path.name for path in bundle.iterdir()) == ["manifest.json", "model.onnx", "model_card.md"]


def test_nothing_but_the_bundle_is_left_behind(tmp_path: Path) -> None:
    promote(_write(tmp_path, "1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["champion", "fraud-1"]


def test_promotion_replaces_the_champion_and_keeps_the_former_bundle(tmp_path: Path) -> None:
    first, second = _write(tmp_path, "1"), _write(tmp_path, "2")
    assert promote(first).resolve() == first.resolve()
    champion = promote(second)
    assert champion.is_symlink()
    assert champion.resolve() == second.resolve()
    assert (first / "model.onnx").is_file()


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    _write(tmp_path, "1")
    with pytest.raises(Refused, match="expected a new version"):
        _write(tmp_path, "1")


def test_the_reference_is_the_median_and_null_where_missing_is_typical() -> None:
    nan = np.nan
    rows = np.array([[1, nan, nan], [3, nan, 7], [5, nan, 9]], np.float32)
    assert compute_reference(rows) == [3.0, None, 8.0]
