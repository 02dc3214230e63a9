"""Writes a model bundle: ``model.onnx``, ``manifest.json``, ``model_card.md``, and names one of them the champion.

**Delivery:** all or nothing. The files are written and flushed in a hidden folder next to the final one, which then
takes its name; the champion is a symbolic link that is replaced in one step. A crash leaves at most a hidden folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from weir.schemas.errors import Refused
from weir.training.drift.reference import Reference, read_reference
from weir.training.export import INPUT_NAME, OUTPUT_NAME
from weir.training.models import Matrix
from weir.training.thresholds import Thresholds

CHAMPION = "champion"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What a scorer must know of a model; see ``manifest.json`` of any bundle.

    Attributes:
        created_time_ms: UTC epoch milliseconds.
        training_interval_ms: event times of the rows that taught, ``[from, to)``.
        features: names, in the order of the model's input.
        reference: a typical legitimate value per feature; None where missing is typical.
        parity_max_abs_diff: largest difference of score between the graph and its source model.
        declarations_hash: of the features that it was taught.
        drift: histograms of rows and scores where it was judged, which `weir monitor` compares with.
        dataset: what it was made of, with the digest of it; empty where nobody checked.
        labels: what its labels were like, which `weir retrain` compares with.
        calibration: what a score is worth, as ``inference.core.calibration`` reads it; None where nobody could tell.
        weights: by interval, what the weights of its rows follow from.
    """

    name: str
    version: str
    created_time_ms: int
    thresholds: Thresholds
    training_interval_ms: tuple[int, int]
    metrics: dict[str, Any]
    features: Sequence[str]
    reference: list[float | None]
    parity_max_abs_diff: float
    declarations_hash: str
    drift: dict[str, Any]
    dataset: dict[str, Any]
    labels: dict[str, Any]
    calibration: dict[str, Any] | None
    weights: dict[str, Any] = field(default_factory=dict)

    def to_json(self, model_bytes: bytes) -> str:
        """Return the manifest of these model bytes."""
        document = {
            "name": self.name,
            "version": self.version,
            "created_time_ms": self.created_time_ms,
            "model_sha256": hashlib.sha256(model_bytes).hexdigest(),
            "declarations_hash": self.declarations_hash,
            "features": list(self.features),
            "input_name": INPUT_NAME,
            "output_name": OUTPUT_NAME,
            "dtype": "float32",
            "thresholds": {"review": self.thresholds.review, "decline": self.thresholds.decline},
            "training_interval_ms": list(self.training_interval_ms),
            "metrics": self.metrics,
            "reference": self.reference,
            "parity_max_abs_diff": self.parity_max_abs_diff,
            "drift": self.drift,
            "dataset": self.dataset,
            "labels": self.labels,
            "calibration": self.calibration,
            "weights": self.weights,
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def read_last_reference(models_dir: Path) -> Reference | None:
    """Return the histograms of the champion of a models folder; None where there is none that has some."""
    try:
        manifest = json.loads((models_dir / CHAMPION / MANIFEST_FILE).read_text())
        return read_reference(manifest["drift"], str(manifest["version"]))
    except (OSError, ValueError, KeyError, TypeError, Refused):
        return None


def compute_reference(legitimate: Matrix) -> list[float | None]:
    """Return the median of each feature over legitimate rows; None where more than half of them miss it."""
    typical: list[float | None] = []
    for column in legitimate.T:
        present = column[~np.isnan(column)]
        typical.append(float(np.median(present)) if 2 * len(present) >= max(1, len(column)) else None)
    return typical


def write_bundle(
    models_dir: Path, manifest: Manifest, *, model_bytes: bytes, card: str, plots: Mapping[str, str]
) -> Path:
    """Write a bundle and return its folder, ``<models_dir>/<name>-<version>``; plots are by the names of their files.

    Raises:
        Refused: that version exists; versions are never overwritten.
    """
    files = {
        "model.onnx": model_bytes,
        "model_card.md": card.encode(),
        **{name: plot.encode() for name, plot in plots.items()},
        MANIFEST_FILE: manifest.to_json(model_bytes).encode(),
    }
    return write_files(models_dir, f"{manifest.name}-{manifest.version}", files)


def write_files(models_dir: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write the files of a bundle as a folder of that name, whole or not at all, and return it.

    Raises:
        Refused: it exists; versions are never overwritten.
    """
    folder = models_dir / name
    if folder.exists():
        raise Refused(f"bundle: expected a new version, found {folder.name} already there; train again in a second")
    staging = models_dir / f".{folder.name}.{os.getpid()}"
    staging.mkdir(parents=True)
    for file, content in files.items():
        _write_flushed(staging / file, content)
    staging.rename(folder)
    _flush_folder(models_dir)
    return folder


def promote(bundle: Path) -> Path:
    """Make a bundle the champion of its models folder, in one step; return the link."""
    champion = bundle.parent / CHAMPION
    staging = bundle.parent / f".{CHAMPION}.{os.getpid()}"
    staging.unlink(missing_ok=True)
    staging.symlink_to(bundle.name)
    staging.replace(champion)
    _flush_folder(bundle.parent)
    return champion


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make renames inside the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
