"""From named feature columns to the matrix a model eats. By name, never by position. Pure.

A missing feature is NaN and stays NaN: what a model does with it is part of the model's graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Matrix = npt.NDArray[np.float32]
"""float32, shape (rows, features), columns in the order of the list of names it was built for."""

DECLARATIONS_DIFFER = "declarations"
"""Cause of a degraded decision: the row was computed under other declarations than the model was trained on."""
NO_MODEL = "no_model"
"""Cause of a degraded decision: the stream has no model, and lists and rules decided alone."""


def select_columns(features: Matrix, source: Sequence[str], names: Sequence[str]) -> Matrix:
    """Reorder a matrix whose columns are ``source`` to ``names``; a name it lacks becomes NaN.

    >>> select_columns(np.array([[1.0, 2.0]], dtype=np.float32), ["a", "b"], ["b", "a"]).tolist()
    [[2.0, 1.0]]
    """
    if tuple(source) == tuple(names):
        return features
    position = {name: index for index, name in enumerate(source)}
    picked = np.full((features.shape[0], len(names)), np.nan, dtype=np.float32)
    for index, name in enumerate(names):
        if name in position:
            picked[:, index] = features[:, position[name]]
    return picked


def build_degraded(rows: pa.RecordBatch, declarations_hash: str, lacking: Sequence[str] = ()) -> pa.ListArray:
    """Return per row what it was made without: what its processor noted, and whether its declarations are another's.

    Args:
        rows: feature rows with ``degraded`` and ``declarations_hash``.
        declarations_hash: of the model.
        lacking: causes that hold for every row.
    """
    noted, hashes = rows.column("degraded"), rows.column("declarations_hash")
    if hashes.unique().to_pylist() == [declarations_hash] and not lacking:
        return noted
    degraded_by = [
        [*causes, *([] if found == declarations_hash else [DECLARATIONS_DIFFER]), *lacking]
        for causes, found in zip(noted.to_pylist(), hashes.to_pylist(), strict=True)
    ]
    return pa.array(degraded_by, noted.type)
