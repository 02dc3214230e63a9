"""Holds an exported graph to the model it came from, on every export.

Compared are real rows, the same rows with values knocked out, a row where everything is missing, and rows placed on
and just next to the trees' own thresholds, where a rounding error would show. A graph that answers the same score to
everything is refused too: a constant agrees with nothing that was worth training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from weir.schemas.errors import WeirError
from weir.training.models import SEED, Deployable, Matrix, Scores

DIFFERENCE_MAX = 1e-4
"""Float32 sums of 200 leaves differ from float64 ones by about 1e-7; anything near this bound is another tree path."""
SPREAD_MIN = 1e-6
_KNOCKED_OUT_SHARE = 0.3
_ROWS_MAX = 10_000
_ZERO = np.float32(1e-35)
"""LightGBM reads anything this small as 0, and splits of negative from other values at exactly its negative."""


def check_parity(
    model: Any,
    source: Deployable,
    features: Matrix,
    *,
    output_name: str,
    input_name: str,
    difference_max: float = DIFFERENCE_MAX,
) -> float:
    """Return the largest absolute difference of score between the graph and the source model.

    Args:
        model: ``onnx.ModelProto``.
        source: what it was exported from.
        features: real rows, float32, shape (n, n_features); at most 10,000 evenly spaced ones are used.
        output_name: read by name, so that no other output can be taken for the score.
        input_name: the graph's one input.
        difference_max: that is taken for rounding.

    Raises:
        WeirError: the difference is above it, a score is no probability, or scores do not vary.
    """
    rows = build_parity_rows(features, source)
    exported = run_onnx(model, rows, output_name=output_name, input_name=input_name)
    if exported.shape != (len(rows),) or not bool(np.all((exported >= 0) & (exported <= 1))):
        raise WeirError(f"parity: expected {len(rows)} scores in [0, 1], found shape {exported.shape}; export refused")
    if float(np.ptp(exported)) < SPREAD_MIN:
        raise WeirError(f"parity: expected scores that vary, found {exported[0]:g} for every row; export refused")
    difference = float(np.abs(exported - source.score(rows)).max())
    if not difference <= difference_max:
        raise WeirError(f"parity: expected at most {difference_max:g}, found {difference:g}; export refused")
    return difference


def run_onnx(model: Any, features: Matrix, *, output_name: str, input_name: str) -> Scores:
    """Score rows with ONNX Runtime on one thread, as the scorer does; float64, shape (n,)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (scores,) = session.run([output_name], {input_name: features})
    flat: Scores = np.asarray(scores, dtype=np.float64).reshape(len(features), -1)[:, -1]
    return flat


def build_parity_rows(features: Matrix, source: Deployable) -> Matrix:
    """Return real, incomplete, empty and threshold rows, float32, shape (m, n_features)."""
    real = features[:: max(1, len(features) // _ROWS_MAX)][:_ROWS_MAX]
    incomplete = real.copy()
    incomplete[np.random.default_rng(SEED).random(real.shape) < _KNOCKED_OUT_SHARE] = np.nan
    empty = np.full((1, real.shape[1]), np.nan, np.float32)
    return np.concatenate([real, incomplete, empty, _threshold_rows(real, source)])


def _threshold_rows(real: Matrix, source: Deployable) -> Matrix:
    """Return real rows with one value each moved to a split's threshold and to its float32 neighbours."""
    columns, splits = source.list_splits()
    bounds = np.finfo(np.float32)
    thresholds = np.clip(splits, bounds.min, bounds.max).astype(np.float32)
    values = _with_neighbours(thresholds)
    values[np.abs(values) <= _ZERO] = 0.0
    rows = real[np.arange(len(values)) % len(real)].copy()
    rows[np.arange(len(values)), np.tile(columns, 3)] = values
    return rows


def _with_neighbours(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    bounds = np.finfo(np.float32)
    return np.concatenate([np.nextafter(values, bounds.min), values, np.nextafter(values, bounds.max)])
