"""The training matrix, filled by ``training/history.py`` or ``training/topics.py``; no feature is computed here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weir.training.decided import Decided
from weir.training.gates.groups import join_groups

_HASHED_AT_ONCE = 100_000
"""Texts of a column in memory at a time."""


@dataclass(frozen=True)
class Examples:
    """Events as a model sees them, in event-time order.

    Attributes:
        features: float32, shape (n, n_features), columns in the order of the stream's features, NaN for missing.
        event_time_ms: int64, shape (n,).
        keys: Arrow text, length n, from ``weir.training.labels.build_keys``.
        groups: Arrow text, length n, by what the stream declares; the gates compare them, and no model sees them.
        decided: what was decided of them, where that is known; it says what a label stands for, and no model sees it.
    """

    features: npt.NDArray[np.float32]
    event_time_ms: npt.NDArray[np.int64]
    keys: Any
    groups: Mapping[str, Any] = field(default_factory=dict)
    decided: Decided | None = None

    def __len__(self) -> int:
        return len(self.event_time_ms)

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Examples:
        """Return the examples of a mask or of positions."""
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        at = pa.array(positions)
        groups = {name: each.take(at) for name, each in self.groups.items()}
        decided = None if self.decided is None else self.decided.take(positions.astype(np.int64))
        return Examples(self.features[positions], self.event_time_ms[positions], self.keys.take(at), groups, decided)


def hash_examples(examples: Examples, labels: pa.Table) -> str:
    """Return a digest of everything that a run is taught and judged by: SHA-256, in hex.

    Args:
        examples: in event-time order.
        labels: every label of the history, in any columns; their order counts.
    """
    digest = hashlib.sha256(np.ascontiguousarray(examples.features).data)
    digest.update(np.ascontiguousarray(examples.event_time_ms).data)
    for column in (examples.keys, *(labels[name] for name in sorted(labels.column_names))):
        for start in range(0, len(column), _HASHED_AT_ONCE):
            digest.update("\x1e".join(map(str, column.slice(start, _HASHED_AT_ONCE).to_pylist())).encode())
    if examples.decided is not None:
        digest.update(examples.decided.outcomes.tobytes())
        digest.update(examples.decided.propensities.tobytes())
    return digest.hexdigest()


def concatenate(parts: list[Examples]) -> Examples:
    """Join examples and put them in event-time order; equal times keep the given order."""
    times = np.concatenate([part.event_time_ms for part in parts])
    features = np.concatenate([part.features for part in parts])
    keys = pa.concat_arrays([part.keys for part in parts])
    joined = Examples(features, times, keys, join_groups([part.groups for part in parts]))
    if bool(np.all(times[1:] >= times[:-1])):
        return joined
    return joined.take(np.argsort(times, kind="stable"))
